//! virtio balloon (virtio 1.2, section 5.5): memory that the guest does not need goes back to the host, until it is touched again.
//!
//! Guest view: it says which of its pages are free, always (reports). When the host is short ([`Balloon::press`]) it is asked what it
//! has (statistics) and then for half of that: it gives up pages that it can spare, such as those of its page cache (inflate). It takes
//! them back when the host is well again ([`Balloon::release`]), or earlier when it is short itself (deflate). What it reported or gave
//! reads as zeros afterwards, or as it was.
//!
//! Invariant: only whole pages that lie in guest memory are discarded, in one region at a time, and a call serves at
//! most [`CALL_BUDGET`] chains: reports of at most [`MAX_SEGMENTS`](super::MAX_SEGMENTS) ranges, lists of at most [`MAX_PAGES`] pages. What
//! the guest says of itself decides what it is asked for, and nothing else.

use std::io;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use vm_memory::{GuestAddress, GuestMemoryBackend};

use super::queue::{Next, QueueStopped};
use super::running::Running;
use super::{
    Activation, ActiveState, Chain, ConfigSpace, DeviceInfo, Interrupt, Progress, StateError,
    VirtioDevice, feature, serve_waiting,
};
use crate::GuestMemory;

/// Makes a range of guest memory, whole pages of one region, take no host memory until it is touched again.
pub type Discard = Box<dyn FnMut(GuestAddress, u64) -> io::Result<()> + Send>;

/// Reports, or lists of pages, in one call, so that other devices of the same thread get their turn.
pub const CALL_BUDGET: usize = 4;

const DEVICE_TYPE: u32 = 5;

/// `VIRTIO_BALLOON_F_STATS_VQ`.
const STATISTICS_QUEUE: u64 = 1 << 1;

/// `VIRTIO_BALLOON_F_DEFLATE_ON_OOM`: the guest may always take pages back.
const DEFLATE_ON_OOM: u64 = 1 << 2;

/// `VIRTIO_BALLOON_F_PAGE_REPORTING`.
const PAGE_REPORTING: u64 = 1 << 5;

/// Inflate, deflate, statistics, reports. Queues of features that are not offered are left out, and the numbers close up: Linux
/// counts so, and the specification's numbers are for a device that has them all. A driver takes all features, or none of this works.
/// Linux reports 32 ranges at once (`PAGE_REPORTING_CAPACITY`), and uses no shorter queue.
const QUEUE_SIZES: &[u16] = &[16, 16, 16, 32];

const INFLATE: usize = 0;
const DEFLATE: usize = 1;
const STATISTICS: usize = 2;
const REPORTS: usize = 3;

/// `struct virtio_balloon_config`: pages wanted, and what nobody reads: pages given, hints, poison.
const CONFIG_BYTES: usize = 16;

/// Pages of one list; what is beyond is left alone. Linux gives 256 at once (`VIRTIO_BALLOON_ARRAY_PFNS_MAX`).
pub const MAX_PAGES: usize = 256;

/// Bytes of a page, whatever the guest's are (section 5.5.6).
const PAGE: u64 = 4096;

/// Statistics of one answer; what is beyond is left alone. Linux has 16 (`VIRTIO_BALLOON_S_NR`).
const MAX_STATISTICS: usize = 32;

/// Bytes of one statistic (`struct virtio_balloon_stat`): its number, 16 bits, and its value, 64 bits.
const STATISTIC_BYTES: usize = 10;

/// `VIRTIO_BALLOON_S_AVAIL`: bytes that new programs could have without swapping, free or in the page cache.
const AVAILABLE: u16 = 6;

/// The driver leaves an answer with the device, from whenever the last one was taken. The second is new.
const ANSWERS: u8 = 2;

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
    wanted: u32,
    given: u32,
    answers_due: u8,
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
    /// Pages that the guest is asked for.
    wanted: u32,
    /// Pages that it says it gave.
    given: u32,
    /// Statistics that are still to come before the guest is asked.
    answers_due: u8,
    counters: BalloonCounters,
}

impl Balloon {
    /// A device that no driver uses yet.
    #[must_use]
    pub fn new(memory: GuestMemory, interrupt: Arc<Interrupt>, discard: Discard) -> Self {
        Balloon {
            memory,
            interrupt,
            config: Arc::new(ConfigSpace::new(config(0))),
            discard,
            running: None,
            wanted: 0,
            given: 0,
            answers_due: 0,
            counters: BalloonCounters::default(),
        }
    }

    /// The host is short of memory: asks the guest for half of what it could still spare.
    pub fn press(&mut self) {
        if self.is_active() {
            self.answers_due = ANSWERS;
            self.take_statistics();
        }
    }

    /// The host is well again: the guest may have all of its memory.
    pub fn release(&mut self) {
        self.answers_due = 0;
        self.want(0);
    }

    fn want(&mut self, pages: u32) {
        if pages != self.wanted {
            self.wanted = pages;
            self.config.replace(config(pages));
            self.interrupt.signal_config();
        }
    }

    fn take_statistics(&mut self) {
        // A stopped ring has no more to say.
        let _ = self.try_take_statistics();
    }

    fn try_take_statistics(&mut self) -> Result<(), QueueStopped> {
        let (memory, interrupt) = (&self.memory, &self.interrupt);
        let running = self.running.as_mut();
        let Some(ring) = running.and_then(|running| running.queues.get_mut(STATISTICS)) else {
            return Ok(());
        };
        while self.answers_due > 0 {
            match ring.pop(memory, interrupt)? {
                Next::Chain(chain) => {
                    let available = available(&chain, memory);
                    ring.push(memory, interrupt, &chain, 0)?;
                    self.answers_due -= 1;
                    if let (0, Some(bytes)) = (self.answers_due, available) {
                        let half = u32::try_from(bytes / 2 / PAGE).unwrap_or(u32::MAX);
                        self.want(self.given.saturating_add(half));
                        return Ok(());
                    }
                }
                Next::Malformed => self.answers_due -= 1,
                Next::Empty => {
                    if !ring.arm(memory, interrupt)? {
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
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
            wanted: self.wanted,
            given: self.given,
            answers_due: self.answers_due,
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
        balloon.wanted = state.wanted;
        balloon.given = state.given;
        balloon.answers_due = state.answers_due.min(ANSWERS);
        balloon.config.replace(config(state.wanted));
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
            features: feature::COMMON | STATISTICS_QUEUE | DEFLATE_ON_OOM | PAGE_REPORTING,
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
        self.given = 0;
        self.answers_due = 0;
    }

    fn handle_queue(&mut self, queue: usize) -> Progress {
        if queue == STATISTICS {
            self.take_statistics();
            return Progress::Idle;
        }
        let running = self.running.as_mut();
        let Some(rings) = running.and_then(|running| running.queues.get_mut(queue)) else {
            return Progress::Idle;
        };
        let memory = &self.memory;
        let mut taker = Taker {
            memory,
            discard: &mut self.discard,
            given: &mut self.given,
            counters: &mut self.counters,
        };
        rings.drain(memory, &self.interrupt, CALL_BUDGET, |chain| {
            match queue {
                INFLATE => taker.take_listed(chain),
                DEFLATE => taker.give_listed(chain),
                REPORTS => taker.take_reported(chain),
                _ => {}
            }
            0
        })
    }

    fn is_active(&self) -> bool {
        self.running.is_some()
    }
}

/// Takes pages from the guest.
struct Taker<'a> {
    memory: &'a GuestMemory,
    discard: &'a mut Discard,
    given: &'a mut u32,
    counters: &'a mut BalloonCounters,
}

impl Taker<'_> {
    /// The ranges of one report, which are the buffers that the device may write.
    fn take_reported(&mut self, chain: &Chain) {
        for (address, length) in chain.writable(self.memory).ranges() {
            self.take(address, length);
        }
    }

    /// The pages of one list. What the guest gives up, it does not touch until it takes it back.
    fn take_listed(&mut self, chain: &Chain) {
        let mut pages = self.listed(chain);
        pages.sort_unstable();
        pages.dedup();
        *self.given = self.given.saturating_add(count(&pages));
        // Neighbours go together: the guest gives up what it had in one piece.
        for run in pages.chunk_by(|a, b| a.checked_add(1) == Some(*b)) {
            self.take(
                GuestAddress(u64::from(run[0]) * PAGE),
                run.len() as u64 * PAGE,
            );
        }
    }

    /// Those are the guest's own to touch again, and were so all the time.
    fn give_listed(&mut self, chain: &Chain) {
        let pages = self.listed(chain);
        *self.given = self.given.saturating_sub(count(&pages));
    }

    /// Numbers of pages, 32 bits each, in a buffer that the device may read.
    fn listed(&mut self, chain: &Chain) -> Vec<u32> {
        let Some(numbers) = beginning(chain, self.memory, MAX_PAGES * size_of::<u32>()) else {
            self.counters.malformed = self.counters.malformed.saturating_add(1);
            return Vec::new();
        };
        let (numbers, _) = numbers.as_chunks();
        numbers.iter().map(|b| u32::from_le_bytes(*b)).collect()
    }

    fn take(&mut self, address: GuestAddress, length: u64) {
        if !is_in_one_region(self.memory, address, length) {
            self.counters.malformed = self.counters.malformed.saturating_add(1);
            return;
        }
        let (start, length) = whole_pages(address, length);
        if length == 0 {
            return;
        }
        let counter = match (self.discard)(start, length) {
            Ok(()) => (&mut self.counters.discarded_bytes, length),
            Err(_) => (&mut self.counters.host_errors, 1),
        };
        *counter.0 = counter.0.saturating_add(counter.1);
    }
}

/// What the driver wrote, up to a bound; none when it lies outside guest memory.
fn beginning(chain: &Chain, memory: &GuestMemory, bound: usize) -> Option<Vec<u8>> {
    let buffer = chain.readable(memory);
    let length = usize::try_from(buffer.len()).unwrap_or(usize::MAX);
    let mut bytes = vec![0; length.min(bound)];
    buffer.read_at(0, &mut bytes).ok()?;
    Some(bytes)
}

/// The guest's word on how much it could spare.
fn available(chain: &Chain, memory: &GuestMemory) -> Option<u64> {
    let bytes = beginning(chain, memory, MAX_STATISTICS * STATISTIC_BYTES)?;
    let (statistics, _) = bytes.as_chunks::<STATISTIC_BYTES>();
    statistics.iter().find_map(|statistic| {
        let (number, value) = statistic.split_first_chunk()?;
        let value = value.first_chunk()?;
        (u16::from_le_bytes(*number) == AVAILABLE).then(|| u64::from_le_bytes(*value))
    })
}

fn count(pages: &[u32]) -> u32 {
    u32::try_from(pages.len()).unwrap_or(u32::MAX)
}

fn config(wanted: u32) -> Vec<u8> {
    let mut config = wanted.to_le_bytes().to_vec();
    config.resize(CONFIG_BYTES, 0);
    config
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
