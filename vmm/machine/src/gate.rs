//! Where threads stand still on request: the vCPUs' gate, and that of the disk workers.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use bulkhead_kvm::Event;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Open,
    Closed,
    /// Everybody goes home.
    Ended,
}

#[derive(Debug)]
struct State {
    mode: Mode,
    standing: usize,
}

/// A gate that `members` threads pass now and then. Whoever closes it also makes them come by: kicks the vCPU, rings the
/// worker's bell.
#[derive(Debug)]
pub struct Gate {
    members: usize,
    state: Mutex<State>,
    opened: Condvar,
    /// Rung when the last member stands still.
    all_stand: Arc<Event>,
}

impl Gate {
    /// An open gate. `all_stand` is written when all `members` stand still.
    pub fn new(members: usize, all_stand: Arc<Event>) -> Self {
        Self {
            members,
            state: Mutex::new(State {
                mode: Mode::Open,
                standing: 0,
            }),
            opened: Condvar::new(),
            all_stand,
        }
    }

    /// A member comes by: stands still while the gate is closed, having brought itself to rest by `settle`. `false` when
    /// it is to end.
    ///
    /// What was left for the member before the gate was closed is there when `settle` is called.
    pub fn pass(&self, settle: impl FnOnce()) -> bool {
        let closed = self.lock().mode == Mode::Closed;
        if closed {
            settle();
        }
        let mut state = self.lock();
        if closed && state.mode == Mode::Closed {
            state.standing += 1;
            self.tell_if_all_stand(&state);
            while state.mode == Mode::Closed {
                state = self
                    .opened
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner);
            }
            state.standing -= 1;
        }
        state.mode != Mode::Ended
    }

    /// Closes the gate. Whoever comes by from now on stands still; whoever has not left since it opened still does.
    pub fn close(&self) {
        let mut state = self.lock();
        if state.mode == Mode::Open {
            state.mode = Mode::Closed;
            self.tell_if_all_stand(&state);
        }
    }

    /// Opens it again.
    pub fn open(&self) {
        let mut state = self.lock();
        if state.mode == Mode::Closed {
            state.mode = Mode::Open;
            self.opened.notify_all();
        }
    }

    /// Sends everybody home, for good.
    pub fn end(&self) {
        self.lock().mode = Mode::Ended;
        self.opened.notify_all();
    }

    /// Whether all members stand still.
    pub fn all_stand(&self) -> bool {
        let state = self.lock();
        state.mode == Mode::Closed && state.standing == self.members
    }

    fn tell_if_all_stand(&self, state: &State) {
        if state.standing == self.members {
            // Counting up cannot fail before 2^64 - 1.
            let _ = self.all_stand.ring();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[path = "gate_test.rs"]
mod tests;
