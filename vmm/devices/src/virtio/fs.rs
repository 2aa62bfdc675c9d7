//! virtio file system (virtio 1.2, section 5.11): registers alone. The queues are run by another process.
//!
//! Invariant: what that process gets to see of the driver has passed the same validation as for every device here:
//! negotiated features that were offered, and queues that lie in guest memory.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use vm_memory::{Bytes, GuestAddress};

use super::running::Running;
use super::{Activation, ActiveState, ConfigSpace, DeviceInfo, StateError, feature};
use crate::GuestMemory;

const DEVICE_TYPE: u32 = 26;

/// Bytes of the configuration's `tag`, padded with NULs.
const TAG_BYTES: usize = 36;

/// `num_request_queues`: the kernel takes one more for what must not wait, such as FORGET.
const REQUEST_QUEUES: u32 = 1;

/// The queue for urgent requests, and the one for all others. Linux fills the queue it is given with requests of up to
/// some dozens of descriptors each.
const QUEUE_SIZES: &[u16] = &[128, 512];

/// Where the index of a used ring lies in it (virtio 1.2, section 2.7.8).
const USED_INDEX: u64 = 2;

/// Number of queues of each such device.
pub const QUEUES: usize = QUEUE_SIZES.len();

/// What a transport must know of the device with this name. The features are those of every device here: who runs the
/// queues must have them all.
#[must_use]
pub fn info(tag: &str) -> DeviceInfo {
    DeviceInfo {
        device_type: DEVICE_TYPE,
        features: feature::COMMON,
        queue_sizes: QUEUE_SIZES,
        config: Arc::new(ConfigSpace::new(config(tag))),
    }
}

/// The features and queues of a driver that is ready, unless it has reset the device since.
#[must_use]
pub fn claim(activation: Activation) -> Option<ActiveState> {
    Some(Running::claim(activation)?.save())
}

/// What a driver has set up, now that another process has given its queues back: each goes on at its `place` of the available
/// ring, and where the used ring itself says.
#[must_use]
pub fn taken_back(mut driver: ActiveState, places: &[u16], memory: &GuestMemory) -> ActiveState {
    for (queue, place) in driver.queues.iter_mut().zip(places) {
        queue.next_avail = *place;
        let index = GuestAddress(queue.used_ring.saturating_add(USED_INDEX));
        // The ring lies in guest memory: so it was validated.
        queue.next_used = memory.read_obj(index).map_or(0, u16::from_le);
    }
    driver
}

/// The device as plain data. What the other process knows of the guest's open files is not in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FsState {
    active: Option<ActiveState>,
}

impl FsState {
    /// Of what a driver has set up, if there is one: queues that nobody serves at the moment.
    #[must_use]
    pub fn new(active: Option<ActiveState>) -> Self {
        Self { active }
    }

    /// What is to be given to whoever serves the queues from now on. Its first notifications may have been lost.
    ///
    /// # Errors
    /// Queues or features that no driver could have set up.
    pub fn restore(&self, memory: &GuestMemory) -> Result<Option<ActiveState>, StateError> {
        let rebuild = |saved| Ok(Running::restore(saved, &info(""), memory)?.save());
        self.active.as_ref().map(rebuild).transpose()
    }
}

/// `struct virtio_fs_config`: a longer name is cut.
fn config(tag: &str) -> Vec<u8> {
    let mut bytes: Vec<u8> = tag.bytes().take(TAG_BYTES).collect();
    bytes.resize(TAG_BYTES, 0);
    bytes.extend(REQUEST_QUEUES.to_le_bytes());
    bytes
}

#[cfg(test)]
#[path = "fs_test.rs"]
mod tests;
