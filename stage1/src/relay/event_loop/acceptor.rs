//! Who accepts connections, as long as there are descriptors for them.

use std::time::Duration;

use rustix::io::Errno;

/// Between two tries while there are none: clients wait in the kernel's queue. Whoever gives some back, this process or another one, says
/// nothing of it.
const REST: Duration = Duration::from_millis(100);

/// Of one listening socket or of several.
#[derive(Debug, Default)]
pub(super) struct Acceptor {
    rests_until: Duration,
}

impl Acceptor {
    pub(super) fn rests(&self, now: Duration) -> bool {
        now < self.rests_until
    }

    /// When to try again.
    pub(super) fn deadline(&self, now: Duration) -> Option<Duration> {
        self.rests(now).then_some(self.rests_until)
    }

    /// What was accepted, if anything was.
    pub(super) fn take<T>(&mut self, accepted: Result<T, Errno>, now: Duration) -> Option<T> {
        // Any other error is of a client that has gone again.
        if let Err(Errno::MFILE | Errno::NFILE) = accepted {
            self.rests_until = now + REST;
        }
        accepted.ok()
    }
}

#[cfg(test)]
#[path = "acceptor_test.rs"]
mod tests;
