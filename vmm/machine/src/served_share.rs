//! A shared directory as its driver, a pause and the process that serves it leave it.
//!
//! A conversation that fails is the end of the share: the other process is hung up on, and ends; the guest's requests stay
//! unanswered, and the guest can still be stopped.

use std::io;
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use bulkhead_devices::GuestMemory;
use bulkhead_devices::virtio::fs::{self, FsState};
use bulkhead_devices::virtio::{Activation, ActiveState, Interrupt};
use bulkhead_kvm::Event;
use rustix::event::{PollFd, PollFlags};

use crate::devices::Share;
use crate::end::chain;
use crate::vhost_user::{Backend, Bells, VhostUserError};

/// See the module docs.
pub struct ServedShare {
    tag: String,
    memory: GuestMemory,
    interrupt: Arc<Interrupt>,
    /// Rung by the guest, heard by the other process.
    kicks: Vec<Arc<Event>>,
    /// Rung by the other process.
    call: Event,
    /// To see the other process's end, and to bring it about.
    socket: UnixStream,
    /// For each greeting, start and stop.
    limit: Duration,
    state: State,
}

enum State {
    /// Nothing was said yet: a machine starts without waiting for the other process.
    Silent(UnixStream),
    /// No driver.
    Ready(Backend),
    /// The other process has the driver's queues, as they were when it got them.
    Running(Backend, ActiveState),
    /// The machine stands still, and we have the queues.
    Suspended(Backend, ActiveState),
    /// The conversation failed.
    Broken,
}

impl ServedShare {
    /// Takes the share over; `kicks` are its queues' bells, and the other process must answer within `limit`.
    ///
    /// # Errors
    /// When the host has no descriptors left.
    pub fn new(
        share: Share,
        memory: GuestMemory,
        kicks: Vec<Arc<Event>>,
        limit: Duration,
    ) -> io::Result<Self> {
        Ok(Self {
            tag: share.tag,
            memory,
            interrupt: share.interrupt,
            kicks,
            call: Event::new()?,
            state: State::Silent(share.socket.try_clone()?),
            socket: share.socket,
            limit,
        })
    }

    /// What to wait for: see [`ServedShare::heard`].
    pub fn polled(&self) -> Vec<PollFd<'_>> {
        let mut polled = vec![PollFd::from_borrowed_fd(self.call.as_fd(), PollFlags::IN)];
        if !matches!(self.state, State::Broken) {
            // Only its end: an answer is read by who asked.
            polled.push(PollFd::new(&self.socket, PollFlags::RDHUP));
        }
        polled
    }

    /// Passes the other process's calls on, and notices its end. `gone` when what was polled said so.
    pub fn heard(&mut self, gone: bool) {
        self.pass_call();
        if gone && !matches!(self.state, State::Broken) {
            self.broken("the process that serves it is gone");
        }
    }

    /// The driver is ready.
    pub fn activate(&mut self, activation: Activation) {
        self.change(|share, state| {
            let backend = match state {
                State::Silent(socket) => Backend::greet(socket, &share.memory, share.limit)?,
                State::Ready(backend) => backend,
                // The transport lets no driver activate twice.
                other => return Ok(other),
            };
            match fs::claim(activation) {
                Some(driver) => share.start(backend, driver),
                None => Ok(State::Ready(backend)),
            }
        });
    }

    /// Takes the queues from the other process: when it returns, that one touches no guest memory, or is hung up on.
    pub fn reset(&mut self) {
        self.change(|_, state| match state {
            State::Running(mut backend, _) => {
                backend.stop(fs::QUEUES)?;
                Ok(State::Ready(backend))
            }
            State::Suspended(backend, _) => Ok(State::Ready(backend)),
            other => Ok(other),
        });
    }

    /// As [`ServedShare::reset`], and remembers where the queues stood. All interrupts that the other process asked for are raised.
    pub fn suspend(&mut self) {
        self.change(|share, state| match state {
            State::Running(mut backend, driver) => {
                let places = backend.stop(fs::QUEUES)?;
                let driver = fs::taken_back(driver, &places, &share.memory);
                Ok(State::Suspended(backend, driver))
            }
            other => Ok(other),
        });
        self.pass_call();
    }

    /// Gives the queues again to the other process, where they stood.
    pub fn resume(&mut self) {
        self.change(|share, state| match state {
            State::Suspended(backend, driver) => {
                let state = share.start(backend, driver)?;
                // The other process may have heard a notification and then lost the queue.
                for kick in &share.kicks {
                    // Counting up cannot fail before 2^64 - 1.
                    let _ = kick.ring();
                }
                Ok(state)
            }
            other => Ok(other),
        });
    }

    /// The device as plain data, while it is suspended.
    pub fn save(&self) -> FsState {
        match &self.state {
            State::Suspended(_, driver) => FsState::new(Some(driver.clone())),
            _ => FsState::new(None),
        }
    }

    fn start(&self, mut backend: Backend, driver: ActiveState) -> Result<State, VhostUserError> {
        let call = &self.call;
        let bells: Vec<_> = self.kicks.iter().map(|kick| Bells { kick, call }).collect();
        backend.start(&driver, &self.memory, &bells)?;
        Ok(State::Running(backend, driver))
    }

    fn change(&mut self, step: impl FnOnce(&Self, State) -> Result<State, VhostUserError>) {
        let state = std::mem::replace(&mut self.state, State::Broken);
        match step(self, state) {
            Ok(state) => self.state = state,
            Err(error) => self.broken(&chain(&error)),
        }
    }

    fn pass_call(&self) {
        if self.call.hear() {
            self.interrupt.signal_queue();
        }
    }

    fn broken(&mut self, why: &str) {
        eprintln!("vmm: share {}: {why}", self.tag);
        self.state = State::Broken;
        // It ends with its connection, and cannot write to guest memory any more. One that is gone hears nothing.
        let _ = self.socket.shutdown(Shutdown::Both);
        self.interrupt.request_reset();
    }
}

#[cfg(test)]
#[path = "served_share_test.rs"]
mod tests;
