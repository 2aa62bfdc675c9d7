//! Orders to the thread that owns a device.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bulkhead_devices::virtio::blk::Extent;
use bulkhead_devices::virtio::{Activation, Slot};
use bulkhead_kvm::Event;

/// What an owner is to do with a device.
#[derive(Debug)]
pub enum Order {
    /// The driver is ready.
    Activate(Activation),
    /// The driver resets the device; tell the bus when it is done.
    Reset(Slot),
    /// A disk grows.
    Grow(Slot, Extent),
}

/// A queue of orders and a bell.
///
/// A guest cannot fill it: a device takes one activation until it is reset, and no register write counts until the owner
/// has carried out the reset. Growth comes from the host, a bounded number of times.
#[derive(Debug)]
pub struct Mailbox {
    orders: Mutex<VecDeque<Order>>,
    bell: Event,
}

impl Mailbox {
    /// An empty mailbox.
    ///
    /// # Errors
    /// When the system has no descriptors left.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            orders: Mutex::default(),
            bell: Event::new()?,
        })
    }

    /// Leaves an order and rings.
    pub fn send(&self, order: Order) {
        self.lock().push_back(order);
        self.ring();
    }

    /// Makes the owner look up, without an order.
    pub fn ring(&self) {
        // Counting up cannot fail before 2^64 - 1.
        let _ = self.bell.ring();
    }

    /// Stops the bell, then gives the orders one by one.
    pub fn take(&self) -> Option<Order> {
        self.bell.hear();
        self.lock().pop_front()
    }

    /// What to poll.
    pub fn bell(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Order>> {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
