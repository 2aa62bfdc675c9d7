//! Virtio 1.x over MMIO: the registers ([`Transport`]) and, apart from them, the devices that run queues.
//!
//! Life of a device, as the types show it:
//!
//! ```text
//!   guest registers                         owner's thread
//!   Transport (negotiating)
//!      │ DRIVER_OK, queues valid
//!      ▼
//!   Transport (active) ──Effect::Activate──▶ VirtioDevice::activate
//!      │ status := 0                         VirtioDevice::handle_queue …
//!      ▼
//!   Transport (resetting) ─Effect::ResetDevice─▶ VirtioDevice::reset
//!      ▲────────────── reset_done ◀──────────────┘
//! ```

mod activation;
pub mod balloon;
pub mod blk;
#[cfg(test)]
#[path = "chassis_test.rs"]
mod chassis;
mod config_space;
#[cfg(test)]
mod fake_driver;
pub mod fs;
mod interrupt;
mod queue;
pub mod rng;
mod running;
mod state;
mod transport;
pub mod vsock;

use serde::{Deserialize, Serialize};

pub use activation::Activation;
pub use balloon::Balloon;
pub use blk::Blk;
pub use config_space::ConfigSpace;
pub use interrupt::{Interrupt, Trigger};
pub use queue::MAX_SEGMENTS;
use queue::{BadBuffer, Chain, DeviceQueue, GuestBuffer, Next, QueueStopped};
pub use rng::Rng;
pub use state::{ActiveState, QueueSnapshot, StateError};
pub use transport::{MMIO_QUEUE_NOTIFY, QueueConfig, Transport, TransportState};
pub use vsock::Vsock;

use std::sync::Arc;

/// Feature bits that every device here offers or demands (virtio 1.2, section 6).
pub mod feature {
    /// `VIRTIO_F_INDIRECT_DESC`: a descriptor may point to a table of descriptors.
    pub const INDIRECT_DESC: u64 = 1 << 28;
    /// `VIRTIO_F_EVENT_IDX`: each side says at which index it wants to be told.
    pub const EVENT_IDX: u64 = 1 << 29;
    /// `VIRTIO_F_VERSION_1`: mandatory; there is no legacy interface.
    pub const VERSION_1: u64 = 1 << 32;
    /// What a transport adds to a device's own features.
    pub const COMMON: u64 = INDIRECT_DESC | EVENT_IDX | VERSION_1;
}

/// Which of the machine's virtio devices: its position, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Slot(pub u8);

impl std::fmt::Display for Slot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// What a transport must know of its device.
#[derive(Debug, Clone)]
pub struct DeviceInfo {
    /// Device type of virtio 1.2, section 5.
    pub device_type: u32,
    /// Offered features, [`feature::COMMON`] included.
    pub features: u64,
    /// Largest size of each queue, powers of two.
    pub queue_sizes: &'static [u16],
    /// Device-specific configuration, shared with the device.
    pub config: Arc<ConfigSpace>,
}

impl DeviceInfo {
    /// Number of queues, each with its own notification.
    #[must_use]
    pub fn queue_count(&self) -> usize {
        self.queue_sizes.len()
    }
}

/// What is left after one call of [`VirtioDevice::handle_queue`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "a queue that is not called again after `Again` stays stuck"]
pub enum Progress {
    /// Nothing; the next notification is armed.
    Idle,
    /// The budget of one call is used up: call again, after other work.
    Again,
}

/// A device that runs queues. It does not know who calls: no thread, lock or event loop is its own.
pub trait VirtioDevice: Send {
    /// What its transport must know.
    fn info(&self) -> DeviceInfo;
    /// Takes the queues of a driver that is ready, and serves what waits in them: a notification that overtook the
    /// activation on its way to this thread is not lost. An activation that a reset overtook is dropped.
    fn activate(&mut self, activation: Activation);
    /// Gives the queues up: when it returns, the device touches no guest memory until it is activated again.
    fn reset(&mut self);
    /// Serves a queue after its notification; an index that does not exist or a device that is not
    /// active is nothing to do.
    fn handle_queue(&mut self, queue: usize) -> Progress;
    /// Whether it holds queues.
    fn is_active(&self) -> bool;
}

/// Serves all that waits in a device's queues, within a bound for a driver that fills them at the same time.
fn serve_waiting(device: &mut dyn VirtioDevice) {
    for (queue, size) in device.info().queue_sizes.iter().enumerate() {
        // Each call serves at least one request.
        let mut calls = 0..*size;
        while calls.next().is_some() && device.handle_queue(queue) == Progress::Again {}
    }
}
