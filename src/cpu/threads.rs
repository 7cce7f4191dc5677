//! Several threads, if the caller asked for them. Which thread computes what never changes a sum.

use core::ops::Range;
#[cfg(feature = "std")]
use core::sync::atomic::{AtomicUsize, Ordering};
#[cfg(feature = "std")]
use std::sync::{Mutex, PoisonError};

/// As many threads as the caller asked for. One is the calling thread; several are a pool, for which the calling thread
/// waits. None is ever started unasked.
#[derive(Debug, Default)]
pub struct Threads {
    #[cfg(feature = "std")]
    pool: Option<rayon::ThreadPool>,
}

#[cfg(feature = "std")]
impl Threads {
    /// `count` threads; 0 counts as 1.
    ///
    /// # Errors
    /// If the operating system does not give them.
    pub fn new(count: usize) -> crate::error::Result<Self> {
        if count <= 1 {
            return Ok(Self::default());
        }
        let pool = rayon::ThreadPoolBuilder::new().num_threads(count).build();
        let refused = |e| crate::error::Error::invalid(format!("threads {count}: the system refused: {e}; take fewer"));
        Ok(Self { pool: Some(pool.map_err(refused)?) })
    }

    /// How many there are, at least one.
    pub fn count(&self) -> usize {
        self.pool.as_ref().map_or(1, rayon::ThreadPool::current_num_threads)
    }

    /// Calls `work` with parts of `0..n`, at the same time. Together, the parts are all of it.
    pub fn split(&self, n: usize, work: impl Fn(Range<usize>) + Sync) {
        match &self.pool {
            Some(pool) if n > 1 => {
                let parts = pool.current_num_threads().min(n);
                // n · part / parts, written so that it does not overflow for a large n
                let begin = |part: usize| n / parts * part + n % parts * part / parts;
                pool.scope(|scope| {
                    for part in 0..parts {
                        let work = &work;
                        scope.spawn(move |_| work(begin(part)..begin(part + 1)));
                    }
                });
            }
            _ => work(0..n),
        }
    }

    /// Calls `work` with the numbers below `count`, where each thread takes the next one. Returns the results in order,
    /// and `None` where `stop` came first. Which thread does what changes no result.
    pub fn map<T: Send>(
        &self,
        count: usize,
        stop: impl Fn() -> bool + Sync,
        work: impl Fn(usize) -> T + Sync,
    ) -> Vec<Option<T>> {
        let (next, done) = (AtomicUsize::new(0), Mutex::new((0..count).map(|_| None).collect::<Vec<Option<T>>>()));
        self.split(self.count().min(count), |_| {
            while !stop() {
                let i = next.fetch_add(1, Ordering::Relaxed);
                if i >= count {
                    break;
                }
                let result = work(i);
                done.lock().unwrap_or_else(PoisonError::into_inner)[i] = Some(result);
            }
        });
        done.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(not(feature = "std"))]
impl Threads {
    /// How many there are: one.
    pub fn count(&self) -> usize {
        1
    }

    /// Calls `work` with all of `0..n`.
    pub fn split(&self, n: usize, work: impl Fn(Range<usize>) + Sync) {
        work(0..n);
    }
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;

    #[test]
    fn results_stand_in_order_whoever_found_them() {
        for threads in [1, 3, 8] {
            let threads = Threads::new(threads).unwrap();
            let found = threads.map(20, || false, |i| i * i);
            assert_eq!(found, (0..20).map(|i| Some(i * i)).collect::<Vec<_>>());
            assert!(threads.map(0, || false, |i| i).is_empty());
            assert_eq!(threads.map(3, || true, |i| i), [None; 3]);
        }
    }
}
