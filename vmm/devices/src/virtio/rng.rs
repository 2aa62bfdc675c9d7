//! virtio entropy (virtio 1.2, section 5.4): the host's random bytes in the guest's buffers.
//!
//! Guest view: each request comes back with at most [`MAX_CHAIN_BYTES`] bytes, which a driver must expect.
//!
//! Invariant: a call reads at most [`MAX_CALL_BYTES`] from the host, whatever the buffers say.

use std::sync::Arc;

use rustix::rand::{GetRandomFlags, getrandom};
use serde::{Deserialize, Serialize};

use super::running::Running;
use super::{
    Activation, ActiveState, Chain, ConfigSpace, DeviceInfo, Interrupt, Progress, StateError,
    VirtioDevice, feature, serve_waiting,
};
use crate::GuestMemory;

/// Random bytes for one request: Linux asks for less than a page; a page mapped many times into one chain must not
/// cost gigabytes.
pub const MAX_CHAIN_BYTES: u64 = 64 * 1024;
/// Random bytes for one call, so that other devices of the same thread get their turn.
pub const MAX_CALL_BYTES: u64 = 4 * MAX_CHAIN_BYTES;

const DEVICE_TYPE: u32 = 4;
const QUEUE_SIZES: &[u16] = &[64];
/// Requests in one call.
const CALL_BUDGET: usize = 64;
/// The host's entropy in pieces: on the stack, and too small for `getrandom` to be interrupted in.
const PIECE: usize = 256;

/// What went wrong since the start: guest mischief and host errors.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RngCounters {
    /// Chains that broke the rules, or whose buffers lie outside guest memory.
    pub malformed: u64,
    /// Times the host had no random bytes to give.
    pub host_errors: u64,
}

/// The device as plain data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RngState {
    active: Option<ActiveState>,
}

/// See the module docs.
pub struct Rng {
    // Runtime glue.
    memory: GuestMemory,
    interrupt: Arc<Interrupt>,
    config: Arc<ConfigSpace>,
    // Volatile state.
    running: Option<Running>,
    counters: RngCounters,
}

impl Rng {
    /// A device that no driver uses yet.
    #[must_use]
    pub fn new(memory: GuestMemory, interrupt: Arc<Interrupt>) -> Self {
        Rng {
            memory,
            interrupt,
            config: Arc::default(),
            running: None,
            counters: RngCounters::default(),
        }
    }

    /// Guest mischief and host errors since the start.
    #[must_use]
    pub fn counters(&self) -> RngCounters {
        let malformed = self.running.as_ref().map_or(0, Running::malformed);
        RngCounters {
            malformed: self.counters.malformed.saturating_add(malformed),
            ..self.counters
        }
    }

    /// The device as plain data.
    #[must_use]
    pub fn save(&self) -> RngState {
        RngState {
            active: self.running.as_ref().map(Running::save),
        }
    }

    /// Rebuilds the device. Call [`VirtioDevice::handle_queue`] once afterwards: a notification may have been
    /// under way.
    ///
    /// # Errors
    /// Queues or features that no driver could have set up.
    pub fn restore(
        memory: GuestMemory,
        interrupt: Arc<Interrupt>,
        state: &RngState,
    ) -> Result<Self, StateError> {
        let mut rng = Rng::new(memory, interrupt);
        if let Some(saved) = &state.active {
            rng.running = Some(Running::restore(saved, &rng.info(), &rng.memory)?);
        }
        Ok(rng)
    }
}

impl VirtioDevice for Rng {
    fn info(&self) -> DeviceInfo {
        DeviceInfo {
            device_type: DEVICE_TYPE,
            features: feature::COMMON,
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
        let Some(queue) = running.and_then(|running| running.queues.get_mut(queue)) else {
            return Progress::Idle;
        };
        let counters = &mut self.counters;
        let mut call_left = MAX_CALL_BYTES;
        let mut requests_left = CALL_BUDGET;
        while requests_left > 0 && call_left > 0 {
            requests_left -= 1;
            let progress = queue.drain(&self.memory, &self.interrupt, 1, |chain| {
                let written = fill(chain, &self.memory, call_left, counters);
                call_left = call_left.saturating_sub(written.into());
                written
            });
            if progress == Progress::Idle {
                return Progress::Idle;
            }
        }
        Progress::Again
    }

    fn is_active(&self) -> bool {
        self.running.is_some()
    }
}

/// Fills a chain's buffers and returns how many bytes it wrote.
fn fill(chain: &Chain, memory: &GuestMemory, limit: u64, counters: &mut RngCounters) -> u32 {
    let buffer = chain.writable(memory);
    let wanted = buffer.len().min(MAX_CHAIN_BYTES).min(limit);
    let wanted = u32::try_from(wanted).unwrap_or(u32::MAX);
    let mut written = 0;
    let mut piece = [0; PIECE];
    while written < wanted {
        let length = usize::try_from(wanted - written)
            .unwrap_or(PIECE)
            .min(PIECE);
        let Some(piece) = piece.get_mut(..length) else {
            break;
        };
        let Some(got) = random(piece) else {
            counters.host_errors = counters.host_errors.saturating_add(1);
            break;
        };
        if buffer.write_at(written.into(), got).is_err() {
            counters.malformed = counters.malformed.saturating_add(1);
            break;
        }
        written += u32::try_from(got.len()).unwrap_or(0);
    }
    written
}

/// Up to `piece.len()` random bytes; `None` if the host gives none.
fn random(piece: &mut [u8]) -> Option<&[u8]> {
    let got = getrandom(&mut *piece, GetRandomFlags::empty()).ok()?;
    piece.get(..got).filter(|got| !got.is_empty())
}

#[cfg(test)]
#[path = "rng_test.rs"]
mod tests;
