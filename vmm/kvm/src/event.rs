//! A bell between threads, and between guest and host: an `eventfd` that never blocks.

use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use rustix::io::{ReadWriteFlags, preadv2};
use vmm_sys_util::eventfd::{EFD_CLOEXEC, EFD_NONBLOCK, EventFd};

/// What `preadv2` takes for a file without offsets: -1.
const NO_OFFSET: u64 = u64::MAX;

/// Rung any number of times, it is heard once.
#[derive(Debug)]
pub struct Event(EventFd);

impl Event {
    /// A silent bell.
    ///
    /// # Errors
    /// When the system has no descriptors left.
    pub fn new() -> io::Result<Self> {
        Ok(Self(EventFd::new(EFD_NONBLOCK | EFD_CLOEXEC)?))
    }

    /// Rings.
    ///
    /// # Errors
    /// Only when it was rung 2^64 - 2 times without being heard.
    pub fn ring(&self) -> io::Result<()> {
        self.0.write(1)
    }

    /// Silences it; says whether it had been rung.
    ///
    /// Never waits, even where another process has the bell too and has taken `O_NONBLOCK` from it.
    pub fn hear(&self) -> bool {
        let mut count = [0; 8];
        let mut parts = [IoSliceMut::new(&mut count)];
        preadv2(self, &mut parts, NO_OFFSET, ReadWriteFlags::NOWAIT).is_ok()
    }

    /// The descriptor as the virtual machine crates take it.
    #[must_use]
    pub fn inner(&self) -> &EventFd {
        &self.0
    }
}

impl AsFd for Event {
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: the descriptor is ours and stays open for as long as `self` is borrowed.
        unsafe { BorrowedFd::borrow_raw(self.0.as_raw_fd()) }
    }
}

#[cfg(test)]
#[path = "event_test.rs"]
mod tests;
