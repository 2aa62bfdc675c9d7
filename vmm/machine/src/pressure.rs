//! Whether the host is short of memory.
//!
//! The kernel tells of shortage at most once in the trigger's window, as long as it lasts. It never tells of its end: the host is well
//! when it was not short for [`CALM`].

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

/// From the last word of shortage to its end: several windows, so that memory does not go to and fro.
const CALM: Duration = Duration::from_secs(10);

/// See the module docs.
#[derive(Debug)]
pub struct Pressure {
    trigger: OwnedFd,
    /// When the host is well again; none while it is.
    calm_at: Option<Instant>,
}

impl Pressure {
    /// Listens to a pressure stall trigger.
    pub fn of(trigger: OwnedFd) -> Self {
        let calm_at = None;
        Self { trigger, calm_at }
    }

    /// The host is short of memory now.
    pub fn is_felt(&mut self, now: Instant) {
        self.calm_at = Some(now + CALM);
    }

    /// How long until the host may be well, if it is not.
    pub fn left(&self, now: Instant) -> Option<Duration> {
        self.calm_at.map(|at| at.saturating_duration_since(now))
    }

    /// Whether the host has become well since the last call.
    pub fn has_passed(&mut self, now: Instant) -> bool {
        self.calm_at.take_if(|at| *at <= now).is_some()
    }
}

impl AsFd for Pressure {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.trigger.as_fd()
    }
}

#[cfg(test)]
#[path = "pressure_test.rs"]
mod tests;
