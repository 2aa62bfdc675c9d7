//! The one i8042 command Linux uses to reboot a machine without ACPI.
//!
//! Guest view: write 0xfe to port 0x64 ([`BASE`], offset 4). Reads are 0, all else is ignored.
//! A status of 0 means "input buffer empty", so that Linux does not wait before it writes.
//!
//! Invariant: no guest byte makes this device fail; it holds no fd, lock or thread.

use crate::bus::{Effect, PortDevice};

/// First port of the i8042.
pub const BASE: u16 = 0x60;
/// Number of ports it claims.
pub const LEN: u16 = 8;

const COMMAND_OFFSET: u16 = 4;
const CMD_RESET_CPU: u8 = 0xfe;

/// See the module docs. Fixed configuration: none. Volatile state: none, so nothing is saved.
#[derive(Debug, Default)]
pub struct ResetPort;

impl PortDevice for ResetPort {
    fn read(&mut self, _offset: u16) -> u8 {
        0
    }

    fn write(&mut self, offset: u16, value: u8) -> Effect {
        match (offset, value) {
            (COMMAND_OFFSET, CMD_RESET_CPU) => Effect::Reset,
            _ => Effect::None, // Guests probe freely; unknown is not an error.
        }
    }
}

#[cfg(test)]
#[path = "reset_port_test.rs"]
mod tests;
