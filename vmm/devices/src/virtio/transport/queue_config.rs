//! One queue as the driver describes it.

use serde::{Deserialize, Serialize};
use virtio_queue::Queue;

use crate::GuestMemory;
use crate::virtio::QueueSnapshot;

/// What the driver wrote for one queue: an allegation until the device is activated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueConfig {
    pub(super) size: u16,
    pub(super) ready: bool,
    pub(super) desc_table: u64,
    pub(super) avail_ring: u64,
    pub(super) used_ring: u64,
}

impl QueueConfig {
    pub(super) fn new(max_size: u16) -> Self {
        QueueConfig {
            size: max_size,
            ready: false,
            desc_table: 0,
            avail_ring: 0,
            used_ring: 0,
        }
    }

    /// A queue at its start, if these values describe one.
    pub(super) fn validate(
        &self,
        max_size: u16,
        features: u64,
        memory: &GuestMemory,
    ) -> Option<Queue> {
        let start = QueueSnapshot {
            size: self.size,
            next_avail: 0,
            next_used: 0,
            desc_table: self.desc_table,
            avail_ring: self.avail_ring,
            used_ring: self.used_ring,
            stopped: false,
        };
        if !self.ready {
            return None;
        }
        start.rebuild(max_size, features, memory)
    }
}
