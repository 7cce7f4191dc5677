//! When a running training is saved, and the message if it cannot be.

use rnnstep::Error;
use std::str::FromStr;
use std::time::{Duration, Instant};

/// The least time between two checkpoints, by default.
const PAUSE: Duration = Duration::from_secs(5);
/// It is also at least this many times as long as writing the last checkpoint took, so that checkpoints take no more
/// than a hundredth of the time.
const RARELY: u32 = 100;

/// The value of `--save-every`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum SaveEvery {
    /// Only when the training ends or is interrupted.
    Never,
    Steps(u64),
    Time(Duration),
}

impl FromStr for SaveEvery {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let time = text.strip_suffix('s').and_then(|seconds| seconds.trim_end().parse().ok());
        match (text.parse(), time.map(Duration::try_from_secs_f64)) {
            (Ok(0), _) => Ok(Self::Never),
            (Ok(steps), _) => Ok(Self::Steps(steps)),
            (_, Some(Ok(Duration::ZERO))) => Ok(Self::Never),
            (_, Some(Ok(time))) => Ok(Self::Time(time)),
            _ => Err("expected steps (500), seconds (10s) or 0 for never".into()),
        }
    }
}

/// Decides when the next checkpoint is due.
pub struct Saver {
    every: Option<SaveEvery>,
    /// When the last one was written, or the training began.
    last: Instant,
    /// How long to wait after it.
    pause: Duration,
    /// Whether the last one could not be written.
    failed: bool,
}

impl Saver {
    pub fn new(every: Option<SaveEvery>) -> Self {
        let pause = if let Some(SaveEvery::Time(time)) = every { time } else { PAUSE };
        Self { every, last: Instant::now(), pause, failed: false }
    }

    /// The number of steps, above `k`, at which the next checkpoint may be due.
    pub fn next(&self, k: u64) -> u64 {
        match self.every {
            Some(SaveEvery::Steps(steps)) => (k + 1).checked_next_multiple_of(steps).unwrap_or(u64::MAX),
            _ => u64::MAX,
        }
    }

    /// Whether a checkpoint is due after `k` steps.
    pub fn is_due(&self, k: u64) -> bool {
        match self.every {
            Some(SaveEvery::Never) => false,
            Some(SaveEvery::Steps(steps)) => k.is_multiple_of(steps),
            Some(SaveEvery::Time(_)) | None => self.last.elapsed() >= self.pause,
        }
    }

    /// Takes note of the outcome of a checkpoint that was begun at `start`, and returns a line for the user, if there
    /// is news. A full disk does not end a training, since there may be room again before its end. It is reported once,
    /// not each time.
    pub fn tried(&mut self, start: Instant, outcome: Result<(), Error>) -> Option<String> {
        self.last = Instant::now();
        if self.every.is_none() {
            self.pause = PAUSE.max((self.last - start).saturating_mul(RARELY));
        }
        match (outcome, std::mem::take(&mut self.failed)) {
            (Ok(()), false) => None,
            (Ok(()), true) => Some("checkpoints are written again".into()),
            (Err(error), before) => {
                self.failed = true;
                let warning = || format!("warning: {error}; the training continues and will try again");
                (!before).then(warning)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_asked_for() {
        let time = |seconds| Ok(SaveEvery::Time(Duration::from_secs_f64(seconds)));
        for (text, expected) in [
            ("0", Ok(SaveEvery::Never)),
            ("0s", Ok(SaveEvery::Never)),
            ("500", Ok(SaveEvery::Steps(500))),
            ("10s", time(10.0)),
            ("0.5 s", time(0.5)),
        ] {
            assert_eq!(text.parse(), expected, "{text}");
        }
        for text in ["", "s", "-1", "-1s", "5m", "1.5", "nans", "infs", "1e300s"] {
            assert!(text.parse::<SaveEvery>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_slow_disk_is_written_to_seldom() {
        let hour_ago = Instant::now().checked_sub(Duration::from_secs(3600));
        let Some(start) = hour_ago else { return };
        let mut saver = Saver::new(None);
        assert_eq!(saver.tried(start, Ok(())), None);
        assert!(saver.pause >= Duration::from_secs(360_000));
        // an interval that was given is kept
        let mut saver = Saver::new(Some(SaveEvery::Time(Duration::from_nanos(1))));
        assert_eq!(saver.tried(start, Ok(())), None);
        assert_eq!(saver.pause, Duration::from_nanos(1));
    }

    #[test]
    fn a_failure_is_reported_once() {
        let mut saver = Saver::new(Some(SaveEvery::Steps(3)));
        let mut tried = |works: bool| {
            let outcome = if works { Ok(()) } else { Err(Error::Invalid("m: full".into())) };
            saver.tried(Instant::now(), outcome).unwrap_or_default()
        };
        let lines = [true, false, false, true, true, false].map(&mut tried);
        let warning = "warning: m: full; the training continues and will try again";
        assert_eq!(lines, ["", warning, "", "checkpoints are written again", "", warning]);
        assert_eq!([0, 1, 2, 3].map(|k| saver.next(k)), [3, 3, 3, 6]);
        assert!(saver.is_due(6) && !saver.is_due(7) && !Saver::new(Some(SaveEvery::Never)).is_due(0));
    }
}
