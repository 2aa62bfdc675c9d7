//! The thread of one disk: a host file that is slow holds up this thread alone.

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};

use bulkhead_devices::virtio::{Blk, Progress, Slot, VirtioDevice};
use bulkhead_kvm::Event;
use rustix::event::{PollFd, PollFlags};

use crate::end::chain;
use crate::mailbox::{Mailbox, Order};
use crate::shared::Shared;

/// A request's buffer is on the heap; the stack carries calls alone.
const STACK_BYTES: usize = 128 << 10;

/// A disk's only queue.
const QUEUE: usize = 0;

/// A disk and what its thread listens to.
pub struct DiskWorker {
    /// Its place.
    pub slot: Slot,
    /// The device.
    pub disk: Blk,
    /// Orders from vCPUs and the loop.
    pub mailbox: Arc<Mailbox>,
    /// The guest's notification.
    pub queue: Arc<Event>,
}

impl DiskWorker {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the host has no threads left.
    pub fn start(self, shared: &Arc<Shared>) -> io::Result<JoinHandle<()>> {
        let shared = Arc::clone(shared);
        Builder::new()
            .name(format!("disk{}", self.slot))
            .stack_size(STACK_BYTES)
            .spawn(move || self.run(&shared))
    }

    fn run(mut self, shared: &Shared) {
        let mut again = false;
        loop {
            if !again && let Err(error) = self.wait() {
                let text = format!("cannot wait for a disk's requests: {}", chain(&error));
                return shared.end(crate::end::failure(&text));
            }
            self.carry_out_orders(shared);
            if !shared.workers.pass(|| self.carry_out_orders(shared)) {
                return;
            }
            if self.queue.hear() || again {
                again = self.disk.handle_queue(QUEUE) == Progress::Again;
                shared.publish_counters(self.slot, self.disk.counters());
            }
        }
    }

    fn carry_out_orders(&mut self, shared: &Shared) {
        while let Some(order) = self.mailbox.take() {
            carry_out(&mut self.disk, order, shared);
        }
    }

    fn wait(&self) -> io::Result<()> {
        let mut polled = [
            PollFd::from_borrowed_fd(self.mailbox.bell(), PollFlags::IN),
            PollFd::from_borrowed_fd(self.queue.as_fd(), PollFlags::IN),
        ];
        match rustix::event::poll(&mut polled, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// Carries out an order for a disk, in whichever thread owns it.
pub fn carry_out(disk: &mut Blk, order: Order, shared: &Shared) {
    match order {
        Order::Activate(activation) => disk.activate(activation),
        Order::Reset(slot) => {
            disk.reset();
            shared.buses.mmio.reset_done(slot);
        }
        Order::Grow(slot, extent) => {
            if let Err(error) = disk.append(extent) {
                eprintln!(
                    "vmm: cannot grow the disk in slot {slot}: {}",
                    chain(&error)
                );
            }
        }
    }
}
