//! Saved queues: plain data, rebuilt through the same validation as a driver's register writes.

use serde::{Deserialize, Serialize};
use thiserror::Error;
use virtio_queue::{Queue, QueueState, QueueT};

use super::{DeviceInfo, feature};
use crate::GuestMemory;

/// Why saved state is not that of such a device. The file's fault, never a guest's at run time.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum StateError {
    /// State of another kind of device.
    #[error("saved state is of device type {found}, expected {expected}")]
    DeviceType {
        /// In the state.
        found: u32,
        /// Of the device being restored.
        expected: u32,
    },
    /// Another number of queues.
    #[error("saved state has {found} queues, expected {expected}")]
    QueueCount {
        /// In the state.
        found: usize,
        /// Of the device being restored.
        expected: usize,
    },
    /// A queue that no driver could have set up.
    #[error("saved queue {index} is not valid in this guest's memory")]
    Queue {
        /// Position of the queue.
        index: usize,
    },
    /// Features that were never offered, or no VIRTIO_F_VERSION_1.
    #[error("saved features {found:#x} cannot come from an offer of {offered:#x}")]
    Features {
        /// In the state.
        found: u64,
        /// Offered by the device.
        offered: u64,
    },
    /// A status that the state machine cannot reach.
    #[error("saved device status {0:#x} cannot be reached")]
    Status(u8),
    /// The disk that was handed over is not the one that was saved.
    #[error("saved disk has {found} sectors, this one has {expected}")]
    Capacity {
        /// In the state.
        found: u64,
        /// Of the disk handed over.
        expected: u64,
    },
    /// The saved socket device had another address.
    #[error("saved guest cid is {found}, this machine has {expected}")]
    GuestCid {
        /// In the state.
        found: u32,
        /// Of the machine.
        expected: u32,
    },
}

/// A virtqueue of a running device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueSnapshot {
    /// Ring size, a power of two.
    pub size: u16,
    /// Next available entry to take.
    pub next_avail: u16,
    /// Next used entry to fill.
    pub next_used: u16,
    /// Guest address of the descriptor table.
    pub desc_table: u64,
    /// Guest address of the available ring.
    pub avail_ring: u64,
    /// Guest address of the used ring.
    pub used_ring: u64,
    /// The driver broke the ring; it is served no more until reset.
    pub stopped: bool,
}

/// What a running device holds of its driver.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActiveState {
    /// Negotiated features.
    pub features: u64,
    /// All queues, in order.
    pub queues: Vec<QueueSnapshot>,
}

impl QueueSnapshot {
    pub(super) fn rebuild(
        &self,
        max_size: u16,
        features: u64,
        memory: &GuestMemory,
    ) -> Option<Queue> {
        let queue = Queue::try_from(QueueState {
            max_size,
            next_avail: self.next_avail,
            next_used: self.next_used,
            event_idx_enabled: features & feature::EVENT_IDX != 0,
            size: self.size,
            ready: true,
            desc_table: self.desc_table,
            avail_ring: self.avail_ring,
            used_ring: self.used_ring,
        })
        .ok()?;
        // An available ring at address 0 is "not set up" to the queue library.
        (queue.is_valid(memory) && self.avail_ring != 0).then_some(queue)
    }
}

/// Whether a driver could have negotiated `found` with such a device.
pub(super) fn check_features(found: u64, offered: u64) -> Result<(), StateError> {
    if found & !offered == 0 && found & feature::VERSION_1 != 0 {
        Ok(())
    } else {
        Err(StateError::Features { found, offered })
    }
}

pub(super) fn check_queue_count(found: usize, info: &DeviceInfo) -> Result<(), StateError> {
    let expected = info.queue_count();
    if found == expected {
        Ok(())
    } else {
        Err(StateError::QueueCount { found, expected })
    }
}
