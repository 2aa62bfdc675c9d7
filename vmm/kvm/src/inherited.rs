//! What a VMM is started with: one descriptor, and the signals of a terminal.

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

/// Ignores the signals by which a terminal or a supervisor asks a whole process group to end: a machine ends by its
/// control socket, so that the guest's programs end in order.
pub fn ignore_termination() {
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
        // SAFETY: changes what a signal does and passes no memory; it cannot fail for these numbers.
        unsafe { libc::signal(signal, libc::SIG_IGN) };
    }
}
