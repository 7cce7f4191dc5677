//! How a command ends when it does not end well.

use rnnstep::Error;

/// How a command ends when it does not end well.
pub enum Failure {
    /// The library said no.
    Library(Error),
    /// Flags that do not go together.
    Usage(String),
    /// Whoever read stdout has gone: a silent end.
    ClosedPipe,
    /// A signal came while stdout took nothing: a silent end as well.
    Interrupted,
}

impl<E: Into<Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Library(error.into())
    }
}

impl Failure {
    /// The failure as an error that can be kept.
    pub fn into_error(self) -> Error {
        match self {
            Self::Library(error) => error,
            Self::Usage(message) => Error::Invalid(message),
            Self::ClosedPipe => Error::Invalid("whoever read the output has gone".into()),
            Self::Interrupted => Error::Invalid("interrupted".into()),
        }
    }
}
