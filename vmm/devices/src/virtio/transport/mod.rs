//! The virtio-mmio registers of one device (virtio 1.2, section 4.2; version 2 alone).
//!
//! Guest view: aligned 32-bit registers below 0x100, configuration bytes of any access size from
//! 0x100 on. Other accesses read 0 and write nothing. A write that its phase does not allow is ignored.
//! A device may be a placeholder (device ID 0, section 4.2.2) to the first driver that looks: see [`Transport::hide_once`].
//!
//! ```text
//!             ACKNOWLEDGE, DRIVER, FEATURES_OK, in this order
//!   ┌────────────┐ DRIVER_OK, all queues valid    ┌────────┐
//!   │Negotiating │ ─────────────────────────────▶ │ Active │
//!   └────────────┘                                └────────┘
//!     │  ▲  ▲                                         │ status := 0
//!     │  │  │ reset_done        ┌───────────┐         │
//!     │  │  └────────────────── │ Resetting │ ◀───────┘
//!     │  │ status := 0          └───────────┘
//!     ▼  │
//!   ┌────────┐ FAILED, or DRIVER_OK with queues that are not valid
//!   │ Failed │
//!   └────────┘
//! ```
//!
//! Invariant: queues exist as such only from the step into `Active` on, built from the configuration of that moment;
//! no later register write reaches them. No lock, fd or I/O is in here.

mod queue_config;
pub(super) mod registers;
mod state;

use std::sync::Arc;

use virtio_queue::Queue;

use self::registers::{register, status};
use super::activation::{Activation, Revocation};
use super::state::check_features;
use super::{DeviceInfo, Interrupt, Slot};
use crate::GuestMemory;
use crate::bus::Effect;

pub use queue_config::QueueConfig;
pub use state::TransportState;

/// Offset of the register that an ioeventfd watches: 4-byte writes of the queue's index.
pub const MMIO_QUEUE_NOTIFY: u64 = register::QUEUE_NOTIFY;

const MAGIC: u32 = u32::from_le_bytes(*b"virt");
const VERSION: u32 = 2;
/// Ours, not a PCI vendor id.
const VENDOR: u32 = u32::from_le_bytes(*b"bulk");
const CONFIG_START: u64 = 0x100;
/// The device ID of a window that drivers pass over.
const PLACEHOLDER: u32 = 0;
/// "No shared memory region": the length and base registers read all ones.
const NO_SHARED_MEMORY: u32 = u32::MAX;

#[derive(Debug)]
enum Phase {
    Negotiating,
    Active(Revocation),
    Resetting,
    Failed,
}

/// See the module docs.
pub struct Transport {
    // Fixed configuration.
    slot: Slot,
    info: DeviceInfo,
    // Runtime glue.
    memory: GuestMemory,
    interrupt: Arc<Interrupt>,
    // Volatile state.
    hidden: bool,
    phase: Phase,
    status: u8,
    device_features_select: u32,
    driver_features_select: u32,
    driver_features: u64,
    queue_select: u32,
    queues: Vec<QueueConfig>,
}

impl Transport {
    /// Registers after a reset. `info` and `interrupt` are those of the device that will run the queues.
    #[must_use]
    pub fn new(
        slot: Slot,
        info: DeviceInfo,
        memory: GuestMemory,
        interrupt: Arc<Interrupt>,
    ) -> Self {
        let queues = fresh_queues(&info);
        Transport {
            slot,
            info,
            memory,
            interrupt,
            hidden: false,
            phase: Phase::Negotiating,
            status: 0,
            device_features_select: 0,
            driver_features_select: 0,
            driver_features: 0,
            queue_select: 0,
            queues,
        }
    }

    /// Makes the next look at the device ID find a placeholder, and only those after it the device. A device that no boot needs
    /// costs the boot three reads so, and is there for whoever looks again when there is time.
    pub fn hide_once(&mut self) {
        self.hidden = true;
    }

    /// Which device this is.
    #[must_use]
    pub fn slot(&self) -> Slot {
        self.slot
    }

    /// A guest load at `offset` of the window.
    pub fn read(&mut self, offset: u64, data: &mut [u8]) {
        if let Some(offset) = offset.checked_sub(CONFIG_START) {
            self.info.config.read(offset, data);
            return;
        }
        match <&mut [u8; 4]>::try_from(&mut *data) {
            Ok(word) => *word = self.read_register(offset).to_le_bytes(),
            Err(_) => data.fill(0),
        }
    }

    /// A guest store at `offset` of the window.
    pub fn write(&mut self, offset: u64, data: &[u8]) -> Effect {
        match <[u8; 4]>::try_from(data) {
            Ok(word) => self.write_register(offset, u32::from_le_bytes(word)),
            Err(_) => Effect::None,
        }
    }

    /// The owner is quiescent: a driver may begin again.
    pub fn reset_done(&mut self) {
        if matches!(self.phase, Phase::Resetting) {
            self.clear();
        }
    }

    fn read_register(&mut self, offset: u64) -> u32 {
        let half = |value: u64, select: u32| match select {
            0 => low_half(value),
            1 => low_half(value >> 32),
            _ => 0,
        };
        match offset {
            register::MAGIC_VALUE => MAGIC,
            register::VERSION => VERSION,
            register::DEVICE_ID => match std::mem::take(&mut self.hidden) {
                true => PLACEHOLDER,
                false => self.info.device_type,
            },
            register::VENDOR_ID => VENDOR,
            register::DEVICE_FEATURES => half(self.info.features, self.device_features_select),
            register::QUEUE_SIZE_MAX => {
                let max = selected(self.info.queue_sizes, self.queue_select);
                max.map_or(0, |max| u32::from(*max))
            }
            register::QUEUE_READY => {
                let queue = selected(&self.queues, self.queue_select);
                queue.map_or(0, |queue| u32::from(queue.ready))
            }
            register::INTERRUPT_STATUS => self.interrupt.status(),
            register::STATUS => self.status_register(),
            register::SHARED_LENGTH_LOW
            | register::SHARED_LENGTH_HIGH
            | register::SHARED_BASE_LOW
            | register::SHARED_BASE_HIGH => NO_SHARED_MEMORY,
            register::CONFIG_GENERATION => self.info.config.generation(),
            _ => 0,
        }
    }

    fn status_register(&self) -> u32 {
        let needs_reset = match self.interrupt.needs_reset() {
            true => status::NEEDS_RESET,
            false => 0,
        };
        u32::from(self.status | needs_reset)
    }

    fn write_register(&mut self, offset: u64, value: u32) -> Effect {
        match offset {
            register::STATUS => return self.write_status(value),
            register::QUEUE_NOTIFY => return self.notify(value),
            register::DEVICE_FEATURES_SELECT => self.device_features_select = value,
            register::DRIVER_FEATURES_SELECT => self.driver_features_select = value,
            register::DRIVER_FEATURES => self.write_driver_features(value),
            register::QUEUE_SELECT => self.queue_select = value,
            register::INTERRUPT_ACK => self.interrupt.acknowledge(value),
            _ => self.write_queue_register(offset, value),
        }
        Effect::None
    }

    fn notify(&self, value: u32) -> Effect {
        let queue = usize::try_from(value).ok();
        match (
            queue.filter(|index| *index < self.queues.len()),
            &self.phase,
        ) {
            (Some(queue), Phase::Active(_)) => Effect::Notify {
                slot: self.slot,
                queue,
            },
            _ => Effect::None,
        }
    }

    fn write_driver_features(&mut self, value: u32) {
        if !self.negotiating_at(status::MAY_SET_FEATURES) {
            return;
        }
        let old = self.driver_features;
        self.driver_features = match self.driver_features_select {
            0 => with_low_half(old, value),
            1 => with_high_half(old, value),
            _ => old,
        };
    }

    fn write_queue_register(&mut self, offset: u64, value: u32) {
        if !self.negotiating_at(status::MAY_SET_QUEUES) {
            return;
        }
        let index = usize::try_from(self.queue_select).ok();
        let Some(queue) = index.and_then(|index| self.queues.get_mut(index)) else {
            return;
        };
        if offset == register::QUEUE_READY {
            queue.ready = value == 1;
            return;
        }
        if queue.ready {
            return; // A queue in use keeps its configuration until it is taken out of use.
        }
        match offset {
            // A size that does not fit is kept as one that no queue can have.
            register::QUEUE_SIZE => queue.size = u16::try_from(value).unwrap_or(0),
            register::QUEUE_DESC_LOW => queue.desc_table = with_low_half(queue.desc_table, value),
            register::QUEUE_DESC_HIGH => queue.desc_table = with_high_half(queue.desc_table, value),
            register::QUEUE_DRIVER_LOW => queue.avail_ring = with_low_half(queue.avail_ring, value),
            register::QUEUE_DRIVER_HIGH => {
                queue.avail_ring = with_high_half(queue.avail_ring, value)
            }
            register::QUEUE_DEVICE_LOW => queue.used_ring = with_low_half(queue.used_ring, value),
            register::QUEUE_DEVICE_HIGH => queue.used_ring = with_high_half(queue.used_ring, value),
            _ => {}
        }
    }

    fn negotiating_at(&self, step: u8) -> bool {
        matches!(self.phase, Phase::Negotiating) && self.status == step
    }

    fn write_status(&mut self, value: u32) -> Effect {
        if value == 0 {
            return self.begin_reset();
        }
        // Only the low byte exists; NEEDS_RESET is the device's own and comes back with read-modify-write.
        let [value, ..] = value.to_le_bytes();
        let value = value & !status::NEEDS_RESET;
        match self.phase {
            Phase::Resetting | Phase::Failed => Effect::None,
            _ if value & status::FAILED != 0 => self.give_up(),
            Phase::Active(_) => Effect::None,
            Phase::Negotiating => self.step_to(value),
        }
    }

    fn begin_reset(&mut self) -> Effect {
        match &self.phase {
            Phase::Resetting => Effect::None,
            Phase::Active(revocation) => {
                revocation.revoke();
                self.phase = Phase::Resetting;
                Effect::ResetDevice(self.slot)
            }
            Phase::Negotiating | Phase::Failed => {
                self.clear();
                Effect::None
            }
        }
    }

    /// The driver set FAILED. A running device runs on (it owns its queues until a reset), a
    /// negotiation is over.
    fn give_up(&mut self) -> Effect {
        self.status |= status::FAILED;
        if matches!(self.phase, Phase::Negotiating) {
            self.phase = Phase::Failed;
        }
        Effect::None
    }

    /// One step forward, or none.
    fn step_to(&mut self, value: u8) -> Effect {
        let mut steps = status::STEPS.windows(2);
        let allowed = steps.any(|step| step == [self.status, value]);
        if !allowed {
            return Effect::None;
        }
        match value {
            status::MAY_SET_QUEUES => {
                if check_features(self.driver_features, self.info.features).is_ok() {
                    self.status = value;
                }
                Effect::None
            }
            status::RUNNING => {
                self.status = value;
                self.activate()
            }
            _ => {
                self.status = value;
                Effect::None
            }
        }
    }

    fn activate(&mut self) -> Effect {
        let Some(queues) = self.validated_queues() else {
            self.phase = Phase::Failed;
            self.interrupt.request_reset();
            return Effect::None;
        };
        let (activation, revocation) = Activation::new(self.slot, self.driver_features, queues);
        self.phase = Phase::Active(revocation);
        Effect::Activate(activation)
    }

    /// All queues, or `None` if one is not set up or not valid.
    fn validated_queues(&self) -> Option<Vec<Queue>> {
        let pairs = self.queues.iter().zip(self.info.queue_sizes);
        pairs
            .map(|(queue, max)| queue.validate(*max, self.driver_features, &self.memory))
            .collect()
    }

    fn clear(&mut self) {
        self.phase = Phase::Negotiating;
        self.status = 0;
        self.device_features_select = 0;
        self.driver_features_select = 0;
        self.driver_features = 0;
        self.queue_select = 0;
        self.queues = fresh_queues(&self.info);
        self.interrupt.clear();
    }
}

fn fresh_queues(info: &DeviceInfo) -> Vec<QueueConfig> {
    info.queue_sizes
        .iter()
        .map(|max| QueueConfig::new(*max))
        .collect()
}

fn selected<T>(of: &[T], select: u32) -> Option<&T> {
    of.get(usize::try_from(select).ok()?)
}

fn low_half(value: u64) -> u32 {
    let [a, b, c, d, ..] = value.to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

fn with_low_half(value: u64, low: u32) -> u64 {
    (value & !u64::from(u32::MAX)) | u64::from(low)
}

fn with_high_half(value: u64, high: u32) -> u64 {
    (u64::from(high) << 32) | u64::from(low_half(value))
}

#[cfg(test)]
#[path = "../transport_test.rs"]
mod tests;
