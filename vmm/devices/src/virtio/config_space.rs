//! The device-specific configuration as the driver reads it.
//!
//! Invariant: the lock is held for a copy of a few bytes, never for I/O. The driver writes nothing here:
//! no device in this crate has a writable field.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// A snapshot that the device replaces as a whole, and a generation that counts how often.
#[derive(Debug, Default)]
pub struct ConfigSpace {
    inner: Mutex<Snapshot>,
}

#[derive(Debug, Default)]
struct Snapshot {
    bytes: Vec<u8>,
    generation: u32,
}

impl ConfigSpace {
    /// A configuration of generation 0.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        ConfigSpace {
            inner: Mutex::new(Snapshot {
                bytes,
                generation: 0,
            }),
        }
    }

    /// Replaces the bytes and steps the generation. The caller raises the interrupt.
    pub fn replace(&self, bytes: Vec<u8>) {
        let mut snapshot = self.lock();
        snapshot.bytes = bytes;
        snapshot.generation = snapshot.generation.wrapping_add(1);
    }

    /// Copies from `offset` on; what lies beyond the end reads as 0.
    pub(super) fn read(&self, offset: u64, data: &mut [u8]) {
        data.fill(0);
        let snapshot = self.lock();
        let available = usize::try_from(offset)
            .ok()
            .and_then(|offset| snapshot.bytes.get(offset..))
            .unwrap_or_default();
        for (byte, value) in data.iter_mut().zip(available) {
            *byte = *value;
        }
    }

    pub(super) fn generation(&self) -> u32 {
        self.lock().generation
    }

    pub(super) fn restore_generation(&self, generation: u32) {
        self.lock().generation = generation;
    }

    fn lock(&self) -> MutexGuard<'_, Snapshot> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
