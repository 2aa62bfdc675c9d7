//! virtio balloon (virtio 1.2, section 5.5), for one thing: the guest says which of its pages are free, and the host
//! takes them back until they are touched again.
//!
//! Guest view: nobody asks it to inflate, for the target is 0 pages and stays so. Pages that it gives or takes anyway
//! come back with no effect. What it reports free reads as zeros afterwards, or as it was.
//!
//! Invariant: only whole pages that lie in guest memory are discarded, in one region at a time, and a call serves at
//! most [`CALL_BUDGET`] reports of at most [`MAX_SEGMENTS`](super::MAX_SEGMENTS) ranges.

use std::io;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use vm_memory::{GuestAddress, GuestMemoryBackend};

use super::running::Running;
use super::{
    Activation, ActiveState, Chain, ConfigSpace, DeviceInfo, Interrupt, Progress, StateError,
    VirtioDevice, feature, serve_waiting,
};
use crate::GuestMemory;

/// Makes a range of guest memory, whole pages of one region, take no host memory until it is touched again.
pub type Discard = Box<dyn FnMut(GuestAddress, u64) -> io::Result<()> + Send>;

/// Reports in one call, so that other devices of the same thread get their turn.
pub const CALL_BUDGET: usize = 4;

const DEVICE_TYPE: u32 = 5;

/// `VIRTIO_BALLOON_F_DEFLATE_ON_OOM`: the guest may always take pages back.
const DEFLATE_ON_OOM: u64 = 1 << 2;

/// `VIRTIO_BALLOON_F_PAGE_REPORTING`.
const PAGE_REPORTING: u64 = 1 << 5;

/// Inflate, deflate, reports. Queues of features that are not offered are left out, and the numbers close up: Linux
/// counts so, and the specification's numbers are for a device that has them all.
/// Linux reports 32 ranges at once (`PAGE_REPORTING_CAPACITY`), and uses no shorter queue.
const QUEUE_SIZES: &[u16] = &[16, 16, 32];

const REPORTS: usize = 2;

/// `struct virtio_balloon_config`: no pages wanted, none given, no hints, no poison.
const CONFIG_BYTES: usize = 16;

const PAGE: u64 = 4096;

/// What was given back, guest mischief, and host errors, since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BalloonCounters {
    /// Bytes that were discarded.
    pub discarded_bytes: u64,
    /// Chains that broke the rules, and ranges outside guest memory.
    pub malformed: u64,
    /// Ranges that the host did not take back.
    pub host_errors: u64,
}

/// The device as plain data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BalloonState {
    active: Option<ActiveState>,
}

/// See the module docs.
pub struct Balloon {
    // Runtime glue.
    memory: GuestMemory,
    interrupt: Arc<Interrupt>,
    config: Arc<ConfigSpace>,
    discard: Discard,
    // Volatile state.
    running: Option<Running>,
    counters: BalloonCounters,
}

impl Balloon {
    /// A device that no driver uses yet.
    #[must_use]
    pub fn new(memory: GuestMemory, interrupt: Arc<Interrupt>, discard: Discard) -> Self {
        Balloon {
            memory,
            interrupt,
            config: Arc::new(ConfigSpace::new(vec![0; CONFIG_BYTES])),
            discard,
            running: None,
            counters: BalloonCounters::default(),
        }
    }

    /// What was given back, guest mischief, and host errors, since the start.
    #[must_use]
    pub fn counters(&self) -> BalloonCounters {
        let malformed = self.running.as_ref().map_or(0, Running::malformed);
        BalloonCounters {
            malformed: self.counters.malformed.saturating_add(malformed),
            ..self.counters
        }
    }

    /// The device as plain data. What was discarded before is a matter of the saved memory.
    #[must_use]
    pub fn save(&self) -> BalloonState {
        BalloonState {
            active: self.running.as_ref().map(Running::save),
        }
    }

    /// Rebuilds the device. Call [`VirtioDevice::handle_queue`] once for each queue afterwards: a notification may have
    /// been under way.
    ///
    /// # Errors
    /// Queues or features that no driver could have set up.
    pub fn restore(
        memory: GuestMemory,
        interrupt: Arc<Interrupt>,
        discard: Discard,
        state: &BalloonState,
    ) -> Result<Self, StateError> {
        let mut balloon = Balloon::new(memory, interrupt, discard);
        if let Some(saved) = &state.active {
            let running = Running::restore(saved, &balloon.info(), &balloon.memory)?;
            balloon.running = Some(running);
        }
        Ok(balloon)
    }
}

impl VirtioDevice for Balloon {
    fn info(&self) -> DeviceInfo {
        DeviceInfo {
            device_type: DEVICE_TYPE,
            features: feature::COMMON | DEFLATE_ON_OOM | PAGE_REPORTING,
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
        self.counters = self.counters();
        self.running = None;
    }

    fn handle_queue(&mut self, queue: usize) -> Progress {
        let running = self.running.as_mut();
        let is_report = queue == REPORTS;
        let Some(queue) = running.and_then(|running| running.queues.get_mut(queue)) else {
            return Progress::Idle;
        };
        let (memory, discard, counters) = (&self.memory, &mut self.discard, &mut self.counters);
        queue.drain(memory, &self.interrupt, CALL_BUDGET, |chain| {
            if is_report {
                take_back(chain, memory, discard, counters);
            }
            0
        })
    }

    fn is_active(&self) -> bool {
        self.running.is_some()
    }
}

/// Discards the ranges of one report, which are the buffers that the device may write.
fn take_back(
    chain: &Chain,
    memory: &GuestMemory,
    discard: &mut Discard,
    counters: &mut BalloonCounters,
) {
    for (address, length) in chain.writable(memory).ranges() {
        if !is_in_one_region(memory, address, length) {
            counters.malformed = counters.malformed.saturating_add(1);
            continue;
        }
        let (start, length) = whole_pages(address, length);
        if length == 0 {
            continue;
        }
        match discard(start, length) {
            Ok(()) => counters.discarded_bytes = counters.discarded_bytes.saturating_add(length),
            Err(_) => counters.host_errors = counters.host_errors.saturating_add(1),
        }
    }
}

fn is_in_one_region(memory: &GuestMemory, address: GuestAddress, length: u64) -> bool {
    usize::try_from(length).is_ok_and(|length| memory.get_slice(address, length).is_ok())
}

/// The pages that lie in a range as a whole. The range lies in guest memory, so its end is an address.
fn whole_pages(address: GuestAddress, length: u64) -> (GuestAddress, u64) {
    let start = address.0.next_multiple_of(PAGE);
    let end = (address.0 + length) / PAGE * PAGE;
    (GuestAddress(start), end.saturating_sub(start))
}

#[cfg(test)]
#[path = "balloon_test.rs"]
mod tests;
