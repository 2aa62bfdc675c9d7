//! The kernel's command line: what the specification says, and where the virtio devices are.

use std::fmt::Write;

use crate::layout::{VIRTIO_BASE, VIRTIO_GSI};
use bulkhead_devices::bus::MMIO_WINDOW;

/// A command line that is longer than the kernel reads: it would lose its devices.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the kernel's command line with its devices is {length} bytes, and it takes {bound}")]
pub struct TooLong {
    length: usize,
    bound: usize,
}

/// Appends `devices` virtio-mmio windows to `base`. `bound` is the kernel's, without the NUL.
///
/// # Errors
/// When the kernel would cut it.
pub fn build(base: &str, devices: usize, bound: usize) -> Result<String, TooLong> {
    let mut line = base.trim_end().to_owned();
    for (address, gsi) in (VIRTIO_BASE..)
        .step_by(usize::try_from(MMIO_WINDOW).unwrap_or(usize::MAX))
        .zip(VIRTIO_GSI..)
        .take(devices)
    {
        // `size@address:interrupt`, as virtio_mmio's parameter wants it.
        write!(line, " virtio_mmio.device=4K@{address:#x}:{gsi}")
            .expect("writing to a string does not fail");
    }
    if line.len() > bound {
        return Err(TooLong {
            length: line.len(),
            bound,
        });
    }
    Ok(line)
}

#[cfg(test)]
#[path = "command_line_test.rs"]
mod tests;
