//! Devices that no boot needs: random numbers after the seed, and the balloon that gives free memory back.
//!
//! The kernel's first look at them finds a placeholder (`vmm/machine/src/devices.rs`), and its driver passes over them. Setting them up
//! is some 140 exits to the VMM: they are bound when the apps have had time to start, and never in a pod that is over before.

use std::fs::{self, DirEntry};
use std::io;
use std::path::{Path, PathBuf};

use crate::console;
use crate::reason::reason;

/// From the first program's start on. The guest's kernel gives memory back two seconds after it was freed, so nobody misses it.
const DELAY_NS: u64 = 1_000_000_000;

/// See the module docs.
#[derive(Debug)]
pub struct LateDevices {
    /// None when there are none left to bind.
    sysfs: Option<PathBuf>,
    due_ns: Option<u64>,
}

/// A device that stays unbound.
#[derive(Debug, thiserror::Error)]
#[error("bind the late devices below {sysfs:?}")]
struct CannotBind {
    sysfs: PathBuf,
    source: io::Error,
}

impl LateDevices {
    /// Those of a machine whose devices are in this sysfs.
    pub fn of(sysfs: Option<PathBuf>) -> Self {
        let due_ns = None;
        Self { sysfs, due_ns }
    }

    /// A program runs.
    pub fn program_started(&mut self, now_ns: u64) {
        if self.sysfs.is_some() {
            self.due_ns.get_or_insert(now_ns + DELAY_NS);
        }
    }

    /// When they are to be bound.
    pub fn deadline_ns(&self) -> Option<u64> {
        self.due_ns
    }

    /// Binds them, once. A pod does without one that cannot be bound.
    pub fn bind(&mut self) {
        self.due_ns = None;
        if let Some(sysfs) = self.sysfs.take()
            && let Err(source) = bind_all(&sysfs)
        {
            console::say(&reason(&CannotBind { sysfs, source }));
        }
    }
}

fn bind_all(sysfs: &Path) -> io::Result<()> {
    let bus = sysfs.join("bus/platform");
    let bind = bus.join("drivers/virtio-mmio/bind");
    for device in fs::read_dir(bus.join("devices"))? {
        let device = device?;
        if is_late(&device) {
            fs::write(&bind, device.file_name().as_encoded_bytes())?;
        }
    }
    Ok(())
}

/// A device of the kernel's command line (`virtio-mmio.N`) that no driver has.
fn is_late(device: &DirEntry) -> bool {
    let name = device.file_name();
    name.as_encoded_bytes().starts_with(b"virtio-mmio.") && !device.path().join("driver").exists()
}

#[cfg(test)]
#[path = "late_devices_test.rs"]
mod tests;
