//! How often something is tried, and after how long.

use std::future::Future;
use std::time::Duration;

use crate::pace::SLOWEST_BYTES;

/// An error that may pass.
pub(crate) trait MayPass {
    /// Whether another attempt may succeed.
    fn may_pass(&self) -> bool;
}

/// Attempts in a row of which none came further than the one before.
const ATTEMPTS: u32 = 6;

/// The wait after the first; each further one is twice as long: 15 s in all.
const FIRST_WAIT: Duration = Duration::from_millis(500);

/// Attempts that did not come further.
#[derive(Debug, Default)]
pub(crate) struct Attempts {
    failed: u32,
}

impl Attempts {
    /// So many bytes more have come, which count if they are not too few.
    pub(crate) fn came(&mut self, bytes: u64) {
        if bytes >= SLOWEST_BYTES {
            self.failed = 0;
        }
    }

    /// Waits for the next attempt, if there is to be one after this error.
    pub(crate) async fn after<E: MayPass>(&mut self, error: E) -> Result<(), E> {
        self.failed += 1;
        if !error.may_pass() || self.failed >= ATTEMPTS {
            return Err(error);
        }
        tokio::time::sleep(FIRST_WAIT * 2_u32.pow(self.failed - 1)).await;
        Ok(())
    }
}

/// Tries until it succeeds, or fails for good.
pub(crate) async fn until_done<T, E: MayPass, F>(mut attempt: impl FnMut() -> F) -> Result<T, E>
where
    F: Future<Output = Result<T, E>>,
{
    let mut attempts = Attempts::default();
    loop {
        match attempt().await {
            Ok(done) => return Ok(done),
            Err(error) => attempts.after(error).await?,
        }
    }
}
