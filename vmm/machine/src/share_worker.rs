//! The thread of one shared directory: it speaks to the process that serves it, and passes that one's calls on to the
//! guest. However slow that process is, it holds up this thread alone, and a pause for as long as a stop may take.

use std::io;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};

use bulkhead_devices::virtio::Slot;
use rustix::event::{PollFd, PollFlags};

use crate::end::chain;
use crate::mailbox::{Mailbox, Order};
use crate::served_share::ServedShare;
use crate::shared::Shared;

/// The conversation's messages are small.
const STACK_BYTES: usize = 128 << 10;

/// A share and what its thread listens to.
pub struct ShareWorker {
    /// Its place.
    pub slot: Slot,
    /// The device.
    pub share: ServedShare,
    /// Orders from vCPUs and the loop.
    pub mailbox: Arc<Mailbox>,
}

impl ShareWorker {
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
            self.carry_out_orders(shared);
            let goes_on = shared.workers.pass(|| {
                self.carry_out_orders(shared);
                self.share.suspend();
            });
            if !goes_on {
                return;
            }
            self.share.resume();
            self.share.heard(gone);
        }
    }

    /// Waits for something to do; says whether the other process is gone.
    fn wait(&self) -> io::Result<bool> {
        let mut polled = self.share.polled();
        polled.push(PollFd::from_borrowed_fd(self.mailbox.bell(), PollFlags::IN));
        match rustix::event::poll(&mut polled, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let gone = polled
            .iter()
            .any(|end| end.revents().contains(PollFlags::RDHUP));
        Ok(gone)
    }

    fn carry_out_orders(&mut self, shared: &Shared) {
        while let Some(order) = self.mailbox.take() {
            match order {
                Order::Activate(activation) => self.share.activate(activation),
                Order::Reset(slot) => {
                    self.share.reset();
                    shared.buses.mmio.reset_done(slot);
                }
                Order::Grow(..) => {}
            }
        }
    }
}
