//! Waits that end.

use std::time::Duration;

/// How long a wait may become on a host that has more to do than it can, in its own lengths.
const PATIENCE: u32 = 8;

/// The end of a wait for somebody who has to do something.
#[derive(Debug, Clone, Copy)]
pub(super) struct TimeLimit {
    at: Duration,
    length: Duration,
    times: u32,
}

impl TimeLimit {
    pub(super) fn after(now: Duration, length: Duration) -> Self {
        Self {
            at: now + length,
            length,
            times: 1,
        }
    }

    pub(super) fn at(&self) -> Duration {
        self.at
    }

    pub(super) fn is_over(&self, now: Duration) -> bool {
        now >= self.at
    }

    /// As much time again, but no more than [`PATIENCE`] times in all.
    pub(super) fn extend(&mut self, now: Duration) {
        if self.times < PATIENCE {
            self.times += 1;
            self.at = now + self.length;
        }
    }

    /// All that was given.
    pub(super) fn given(&self) -> Duration {
        self.length * self.times
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_extended_eight_times_its_length_and_not_for_ever() {
        let length = Duration::from_secs(3);
        let mut limit = TimeLimit::after(Duration::from_secs(100), length);
        for times in 1..PATIENCE {
            let now = Duration::from_secs(100) + length * times;
            assert!(!limit.is_over(now - Duration::from_nanos(1)));
            assert!(limit.is_over(now));
            limit.extend(now);
        }
        limit.extend(limit.at());
        assert!(limit.is_over(Duration::from_secs(100) + length * PATIENCE));
        assert_eq!(limit.given(), length * PATIENCE);
    }
}
