//! The one descriptor that a VMM is started with.

use std::io;
use std::os::fd::{FromRawFd, OwnedFd};

/// Where whoever starts a VMM puts its control socket.
pub const CONTROL_FD: i32 = 3;

/// Takes the control socket over. To be called once, before anything else opens a descriptor.
///
/// # Errors
/// When descriptor 3 is not open.
pub fn control_socket() -> io::Result<OwnedFd> {
    // SAFETY: a question about a number; no memory is passed.
    if unsafe { libc::fcntl(CONTROL_FD, libc::F_SETFD, libc::FD_CLOEXEC) } < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it is open, and this process was given it: nothing else here owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(CONTROL_FD) })
}
