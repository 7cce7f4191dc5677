//! Why a command failed, which decides its message and its exit code.

use rnnstep::Error;

/// Why a command failed.
pub enum Failure {
    /// The library returned an error.
    Library(Error),
    /// Flags that do not go together.
    Usage(String),
    /// The reader of stdout has closed it. The command ends without a message.
    ClosedPipe,
    /// A signal came while stdout accepted nothing. The command ends without a message.
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
            Self::ClosedPipe => Error::Invalid("the reader of the output has closed it".into()),
            Self::Interrupted => Error::Invalid("interrupted".into()),
        }
    }
}
