//! virtio block (virtio 1.2, section 5.2): one disk, made of extents of several files.
//!
//! Guest view: 512-byte sectors; read, flush and identify; on a writable disk also write, discard and write zeroes.
//! The disk may grow while it runs (capacity and configuration interrupt). Without `VIRTIO_BLK_F_FLUSH` every write
//! is durable when it returns; a temporary disk does not offer it, and is as durable as this host. What a request may not do comes back as IOERR, what the device does not know as
//! UNSUPP; a request without room for a status byte comes back with length 0.
//!
//! Invariant: a request's effects lie within the disk and end before its answer; host memory for it
//! is one buffer of [`BOUNCE_BYTES`], allocated at the first transfer.

mod disk;
mod request;
mod wire;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use disk::{Access, Disk, DiskError, EXTENT_ALIGNMENT, Extent, MAX_DISK_BYTES, MAX_EXTENTS};
pub use request::{BOUNCE_BYTES, BlkCounters, MAX_REQUEST_BYTES};

use self::request::{LIMITS, Requests};
use self::wire::{DEVICE_TYPE, ID_BYTES, SECTOR};
use super::running::Running;
use super::{
    Activation, ActiveState, ConfigSpace, DeviceInfo, Interrupt, Progress, StateError,
    VirtioDevice, feature, serve_waiting,
};
use crate::GuestMemory;

const QUEUE_SIZES: &[u16] = &[128];
/// Requests in one call, so that other devices of the same thread get their turn.
const CALL_BUDGET: usize = 16;
/// The device as plain data. The disk's content is not in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlkState {
    sectors: u64,
    active: Option<ActiveState>,
}

/// See the module docs.
pub struct Blk {
    // Fixed configuration.
    id: [u8; ID_BYTES],
    // Runtime glue.
    memory: GuestMemory,
    interrupt: Arc<Interrupt>,
    config: Arc<ConfigSpace>,
    // Volatile state.
    requests: Requests,
    running: Option<Running>,
    /// Malformed chains of earlier activations.
    malformed_before: u64,
}

impl Blk {
    /// A device that no driver uses yet. `id` is what GET_ID answers, cut to 20 bytes.
    #[must_use]
    pub fn new(disk: Disk, id: &str, memory: GuestMemory, interrupt: Arc<Interrupt>) -> Self {
        let mut id_bytes = [0; ID_BYTES];
        for (byte, value) in id_bytes.iter_mut().zip(id.bytes()) {
            *byte = value;
        }
        Blk {
            id: id_bytes,
            memory,
            interrupt,
            config: Arc::new(ConfigSpace::new(wire::config(&disk, &LIMITS))),
            requests: Requests::new(disk),
            running: None,
            malformed_before: 0,
        }
    }

    /// Makes the disk larger and tells the driver.
    ///
    /// # Errors
    /// As [`Disk::append`].
    pub fn append(&mut self, extent: Extent) -> Result<(), DiskError> {
        self.requests.disk.append(extent)?;
        self.config
            .replace(wire::config(&self.requests.disk, &LIMITS));
        if self.is_active() {
            self.interrupt.signal_config();
        }
        Ok(())
    }

    /// Guest mischief, host errors and bytes since the start.
    #[must_use]
    pub fn counters(&self) -> BlkCounters {
        let mut counters = self.requests.counters;
        let chains = self.running.as_ref().map_or(0, Running::malformed);
        counters.malformed += self.malformed_before + chains;
        counters
    }

    /// The device as plain data.
    #[must_use]
    pub fn save(&self) -> BlkState {
        BlkState {
            sectors: self.requests.disk.length() / SECTOR,
            active: self.running.as_ref().map(Running::save),
        }
    }

    /// Rebuilds the device on the same disk. Call [`VirtioDevice::handle_queue`] once afterwards: a
    /// notification may have been under way.
    ///
    /// # Errors
    /// A disk of another size; queues or features that no driver could have set up.
    pub fn restore(
        disk: Disk,
        id: &str,
        memory: GuestMemory,
        interrupt: Arc<Interrupt>,
        state: &BlkState,
    ) -> Result<Self, StateError> {
        let expected = disk.length() / SECTOR;
        if state.sectors != expected {
            return Err(StateError::Capacity {
                found: state.sectors,
                expected,
            });
        }
        let mut blk = Blk::new(disk, id, memory, interrupt);
        if let Some(saved) = &state.active {
            blk.running = Some(Running::restore(saved, &blk.info(), &blk.memory)?);
        }
        Ok(blk)
    }
}

impl VirtioDevice for Blk {
    fn info(&self) -> DeviceInfo {
        let access = match self.requests.disk.access() {
            Access::ReadOnly => wire::feature::READ_ONLY,
            Access::Writable => {
                wire::feature::FLUSH | wire::feature::DISCARD | wire::feature::WRITE_ZEROES
            }
            Access::Temporary => wire::feature::DISCARD | wire::feature::WRITE_ZEROES,
        };
        DeviceInfo {
            device_type: DEVICE_TYPE,
            features: feature::COMMON | wire::feature::SIZE_MAX | wire::feature::SEG_MAX | access,
            queue_sizes: QUEUE_SIZES,
            config: Arc::clone(&self.config),
        }
    }

    fn activate(&mut self, activation: Activation) {
        if let Some(running) = Running::claim(activation) {
            self.reset();
            self.running = Some(running);
            serve_waiting(self);
        }
    }

    fn reset(&mut self) {
        if let Some(running) = self.running.take() {
            self.malformed_before += running.malformed();
        }
    }

    fn handle_queue(&mut self, queue: usize) -> Progress {
        let Some(running) = &mut self.running else {
            return Progress::Idle;
        };
        let flushes = running.features & wire::feature::FLUSH != 0;
        let durable = !flushes && self.requests.disk.access() != Access::Temporary;
        let Some(queue) = running.queues.get_mut(queue) else {
            return Progress::Idle;
        };
        queue.drain(&self.memory, &self.interrupt, CALL_BUDGET, |chain| {
            self.requests.serve(chain, &self.memory, &self.id, durable)
        })
    }

    fn is_active(&self) -> bool {
        self.running.is_some()
    }
}

#[cfg(test)]
#[path = "../blk_test.rs"]
mod tests;
