//! How a user leaves a terminal: `^]` three times within a second, as with systemd-nspawn.

use std::time::{Duration, Instant};

/// `^]`.
const KEY: u8 = 0x1d;

/// How often it is typed.
const TIMES: u32 = 3;

/// How fast.
const WITHIN: Duration = Duration::from_secs(1);

/// What has come of the sequence so far.
#[derive(Debug, Default)]
pub(crate) struct Escape {
    count: u32,
    first: Option<Instant>,
}

impl Escape {
    /// Whether the sequence ends among these bytes, typed now.
    pub(crate) fn is_in(&mut self, bytes: &[u8], now: Instant) -> bool {
        for byte in bytes {
            let in_time = self.first.is_some_and(|first| now - first <= WITHIN);
            if *byte != KEY {
                self.count = 0;
                self.first = None;
                continue;
            }
            if !in_time {
                self.count = 0;
                self.first = Some(now);
            }
            self.count += 1;
            if self.count == TIMES {
                return true;
            }
        }
        false
    }
}

#[cfg(test)]
#[path = "escape_test.rs"]
mod tests;
