//! A bell between threads, and between guest and host: an `eventfd` that never blocks.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use vmm_sys_util::eventfd::{EFD_CLOEXEC, EFD_NONBLOCK, EventFd};

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
    pub fn hear(&self) -> bool {
        self.0.read().is_ok()
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
