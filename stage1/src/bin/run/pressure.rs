//! The VMM hears of it when the host is short of memory, and takes from the guest what that can spare.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};

use bulkhead_protocol::frame;
use bulkhead_protocol::vmm::{MAX_PACKET, ToVmm};

use crate::machine::send_packet;

/// Pressure stall information (`Documentation/accounting/psi.rst`).
const FILE: &str = "/proc/pressure/memory";

/// Some process stood still for want of memory for 100 ms of 2 s. Windows that are no multiple of 2 s take privileges.
const TRIGGER: &[u8] = b"some 100000 2000000\0";

/// Hands a trigger to the VMM. A pod of a host that has none does without, which `bulkhead doctor` tells.
pub(crate) fn watch(vmm: &OwnedFd) -> io::Result<()> {
    let mut trigger = File::options().read(true).write(true).open(FILE)?;
    trigger.write_all(TRIGGER)?;
    let packet =
        frame::encode_packet(&ToVmm::WatchPressure, MAX_PACKET).map_err(io::Error::other)?;
    send_packet(vmm, &packet, &[trigger.as_fd()])
}
