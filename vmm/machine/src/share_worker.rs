//! The thread of one shared directory: it speaks to the process that serves it, and passes that one's calls on to the
//! guest. However slow that process is, it holds up this thread alone.
//!
//! A conversation that fails is the end of the share: the guest's requests stay unanswered, and the guest can still be
//! stopped. A pause does not reach the other process, which finishes what it has begun: a machine with shares must not be
//! saved while it is paused.

use std::io;
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};

use bulkhead_devices::GuestMemory;
use bulkhead_devices::virtio::{Activation, Interrupt, Slot, fs};
use bulkhead_kvm::Event;
use rustix::event::{PollFd, PollFlags};

use crate::devices::Share;
use crate::end::chain;
use crate::mailbox::{Mailbox, Order};
use crate::shared::Shared;
use crate::vhost_user::{ANSWER_LIMIT, Backend, Bells, VhostUserError};

/// The conversation's messages are small.
const STACK_BYTES: usize = 128 << 10;

/// A share and what its thread listens to.
pub struct ShareWorker {
    slot: Slot,
    tag: String,
    memory: GuestMemory,
    interrupt: Arc<Interrupt>,
    mailbox: Arc<Mailbox>,
    /// Rung by the guest, heard by the other process.
    kicks: Vec<Arc<Event>>,
    /// Rung by the other process.
    call: Event,
    /// To see the other process's end.
    socket: UnixStream,
    state: State,
}

enum State {
    /// Nothing was said yet: a machine starts without waiting for the other process.
    Silent(UnixStream),
    Ready(Backend),
    Running(Backend),
    /// The conversation failed.
    Broken,
}

impl ShareWorker {
    /// Takes the share over; `mailbox` is its owner's.
    ///
    /// # Errors
    /// When the host has no descriptors left.
    pub fn new(
        share: Share,
        memory: GuestMemory,
        mailbox: Arc<Mailbox>,
        shared: &Shared,
    ) -> io::Result<Self> {
        let line = &shared.lines[usize::from(share.slot.0)];
        Ok(Self {
            slot: share.slot,
            tag: share.tag,
            memory,
            interrupt: share.interrupt,
            mailbox,
            kicks: line.queues.clone(),
            call: Event::new()?,
            state: State::Silent(share.socket.try_clone()?),
            socket: share.socket,
        })
    }

    /// Starts the thread.
    ///
    /// # Errors
    /// When the host has no threads left.
    pub fn start(self, shared: &Arc<Shared>) -> io::Result<JoinHandle<()>> {
        let shared = Arc::clone(shared);
        Builder::new()
            .name(format!("share{}", self.slot))
            .stack_size(STACK_BYTES)
            .spawn(move || self.run(&shared))
    }

    fn run(mut self, shared: &Shared) {
        loop {
            let gone = match self.wait() {
                Ok(gone) => gone,
                Err(error) => {
                    let text = format!("cannot wait for a share's calls: {}", chain(&error));
                    return shared.end(crate::end::failure(&text));
                }
            };
            while let Some(order) = self.mailbox.take() {
                self.carry_out(order, shared);
            }
            if !shared.workers.pass() {
                return;
            }
            if self.call.hear() {
                self.interrupt.signal_queue();
            }
            if gone && !matches!(self.state, State::Broken) {
                eprintln!(
                    "vmm: share {}: the process that serves it is gone",
                    self.tag
                );
                self.state = State::Broken;
            }
        }
    }

    /// Waits for something to do; says whether the other process is gone.
    fn wait(&self) -> io::Result<bool> {
        let mut polled = vec![
            PollFd::from_borrowed_fd(self.mailbox.bell(), PollFlags::IN),
            PollFd::from_borrowed_fd(self.call.as_fd(), PollFlags::IN),
        ];
        if !matches!(self.state, State::Broken) {
            // Only its end: an answer is read by who asked.
            polled.push(PollFd::new(&self.socket, PollFlags::RDHUP));
        }
        match rustix::event::poll(&mut polled, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(polled.get(2).is_some_and(|end| !end.revents().is_empty()))
    }

    fn carry_out(&mut self, order: Order, shared: &Shared) {
        match order {
            Order::Activate(activation) => {
                let state = std::mem::replace(&mut self.state, State::Broken);
                match self.activate(state, activation) {
                    Ok(state) => self.state = state,
                    Err(error) => self.broken(&error),
                }
            }
            Order::Reset(slot) => {
                match std::mem::replace(&mut self.state, State::Broken) {
                    State::Running(mut backend) => match backend.stop(fs::QUEUES) {
                        Ok(_) => self.state = State::Ready(backend),
                        Err(error) => self.broken(&error),
                    },
                    other => self.state = other,
                }
                shared.buses.mmio.reset_done(slot);
            }
            Order::Grow(..) => {}
        }
    }

    fn activate(&self, state: State, activation: Activation) -> Result<State, VhostUserError> {
        let mut backend = match state {
            State::Silent(socket) => Backend::greet(socket, &self.memory, ANSWER_LIMIT)?,
            State::Ready(backend) => backend,
            // The transport lets no driver activate twice.
            other => return Ok(other),
        };
        let Some(driver) = fs::claim(activation) else {
            return Ok(State::Ready(backend));
        };
        let bells: Vec<_> = self.kicks.iter().map(|kick| self.bells(kick)).collect();
        backend.start(&driver, &self.memory, &bells)?;
        Ok(State::Running(backend))
    }

    fn bells<'a>(&'a self, kick: &'a Event) -> Bells<'a> {
        let call = &self.call;
        Bells { kick, call }
    }

    fn broken(&self, error: &VhostUserError) {
        eprintln!("vmm: share {}: {}", self.tag, chain(error));
        // It ends with its connection, and cannot write to guest memory any more. One that is gone hears nothing.
        let _ = self.socket.shutdown(Shutdown::Both);
        self.interrupt.request_reset();
    }
}
