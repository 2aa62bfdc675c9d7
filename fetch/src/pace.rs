//! Bodies of answers, as long as they come at a pace.

use std::time::Duration;

use futures_util::{Stream, StreamExt};
use tokio::time::{Instant, timeout};

/// Silence after which a connection counts as dead.
pub(crate) const SILENCE_LIMIT: Duration = Duration::from_secs(30);

/// Time in which at least [`SLOWEST_BYTES`] come, or the connection counts as dead: half a kibibyte a second.
const SLOWEST_TIME: Duration = Duration::from_secs(60);

/// What an attempt has to bring to count as one that came further, too: else whoever gives a byte a time is asked for ever.
pub(crate) const SLOWEST_BYTES: u64 = 32 << 10;

/// Nothing came, or too slowly.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooSlow;

/// What has come of a body lately.
pub(crate) struct Pace {
    since: Instant,
    bytes: u64,
}

impl Pace {
    pub(crate) fn begin() -> Self {
        Self {
            since: Instant::now(),
            bytes: 0,
        }
    }

    /// The next part of a body; none at its end.
    pub(crate) async fn next<S, B, E>(
        &mut self,
        body: &mut S,
    ) -> Result<Option<Result<B, E>>, TooSlow>
    where
        S: Stream<Item = Result<B, E>> + Unpin,
        B: AsRef<[u8]>,
    {
        let next = timeout(SILENCE_LIMIT, body.next()).await;
        let next = next.map_err(|_| TooSlow)?;
        if let Some(Ok(part)) = &next {
            self.bytes += part.as_ref().len() as u64;
        }
        if self.since.elapsed() > SLOWEST_TIME {
            if self.bytes < SLOWEST_BYTES {
                return Err(TooSlow);
            }
            *self = Self::begin();
        }
        Ok(next)
    }
}

#[cfg(test)]
#[path = "pace_test.rs"]
mod tests;
