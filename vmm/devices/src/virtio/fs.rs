//! virtio file system (virtio 1.2, section 5.11): registers alone. The queues are run by another process.
//!
//! Invariant: what that process gets to see of the driver has passed the same validation as for every device here:
//! negotiated features that were offered, and queues that lie in guest memory.

use std::sync::Arc;

use super::running::Running;
use super::{Activation, ActiveState, ConfigSpace, DeviceInfo, feature};

const DEVICE_TYPE: u32 = 26;

/// Bytes of the configuration's `tag`, padded with NULs.
const TAG_BYTES: usize = 36;

/// `num_request_queues`: the kernel takes one more for what must not wait, such as FORGET.
const REQUEST_QUEUES: u32 = 1;

/// The queue for urgent requests, and the one for all others. Linux fills the queue it is given with requests of up to
/// some dozens of descriptors each.
const QUEUE_SIZES: &[u16] = &[128, 512];

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
