//! Descriptors that a program was started with.

use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::sync::Mutex;

/// A number that names no descriptor that can be taken.
#[derive(Debug, thiserror::Error)]
pub enum InheritError {
    /// Not open.
    #[error("descriptor {number} was not handed over")]
    Absent {
        /// The number.
        number: RawFd,
        /// What the kernel says.
        source: io::Error,
    },
    /// Standard streams belong to the standard library, and a descriptor is taken once.
    #[error("descriptor {number} is a standard stream, or taken already")]
    Taken {
        /// The number.
        number: RawFd,
    },
}

/// Numbers that were taken.
static TAKEN: Mutex<Vec<RawFd>> = Mutex::new(Vec::new());

/// Takes a descriptor that this process was started with, by its number, once. It will not be inherited further.
///
/// To be called at the start of `main`, before anything is opened: a number that this process opened itself has an
/// owner.
///
/// # Errors
/// When it is not open, a standard stream, or taken already.
pub fn inherited(number: RawFd) -> Result<OwnedFd, InheritError> {
    let mut taken = TAKEN.lock().unwrap_or_else(|e| e.into_inner());
    if number <= libc::STDERR_FILENO || taken.contains(&number) {
        return Err(InheritError::Taken { number });
    }
    // SAFETY: setting a flag on a number is defined for every number.
    if unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) } == -1 {
        let source = io::Error::last_os_error();
        return Err(InheritError::Absent { number, source });
    }
    taken.push(number);
    // SAFETY: it is open, and nobody else has it: this function gives each number once, and is called before anything
    // is opened.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}
