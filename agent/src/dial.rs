//! Dialing the host: when, and where.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use bulkhead_protocol::AGENT_PORT;
use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, VsockAddr, connect, socket};

/// Context id of the host (`VMADDR_CID_HOST`, `include/uapi/linux/vm_sockets.h`).
const HOST_CID: u32 = 2;

/// First wait before dialing again.
const FIRST_WAIT_NS: u64 = 10_000_000;

/// Longest wait. There is no last attempt: without a host the guest has nothing better to do, and a host that is not coming
/// back ends the machine.
const LONGEST_WAIT_NS: u64 = 1_000_000_000;

/// Begins to connect to the host. The socket becomes writable when that is decided.
///
/// # Errors
/// When there is no vsock, or the host cannot be reached at all.
pub fn dial_host() -> io::Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(AddressFamily::Vsock, SockType::Stream, flags, None)?;
    match connect(socket.as_raw_fd(), &VsockAddr::new(HOST_CID, AGENT_PORT)) {
        Ok(()) | Err(Errno::EINPROGRESS) => Ok(socket),
        Err(errno) => Err(errno.into()),
    }
}

/// Waits that grow, up to a bound.
#[derive(Debug)]
pub struct Backoff {
    wait_ns: u64,
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            wait_ns: FIRST_WAIT_NS,
        }
    }
}

impl Backoff {
    /// How long to wait after one more failure.
    pub fn next_ns(&mut self) -> u64 {
        let wait_ns = self.wait_ns;
        self.wait_ns = (wait_ns * 2).min(LONGEST_WAIT_NS);
        wait_ns
    }

    /// It worked.
    pub fn reset(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::{Backoff, FIRST_WAIT_NS, LONGEST_WAIT_NS};

    #[test]
    fn waits_grow_to_their_bound_and_start_over() {
        let mut backoff = Backoff::default();
        let waits: Vec<u64> = (0..10).map(|_| backoff.next_ns()).collect();
        assert_eq!(
            waits[..3],
            [FIRST_WAIT_NS, 2 * FIRST_WAIT_NS, 4 * FIRST_WAIT_NS]
        );
        assert_eq!(waits[9], LONGEST_WAIT_NS);
        backoff.reset();
        assert_eq!(backoff.next_ns(), FIRST_WAIT_NS);
    }
}
