//! Devices that no boot needs: random numbers after the seed, and the balloon that gives free memory back.
//!
//! The kernel's first look at them finds a placeholder (`vmm/machine/src/devices.rs`), and its driver passes over them. Setting them up
//! is some 140 exits to the VMM: they are bound when the apps have had time to start, and never in a pod that is over before.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::console;
use crate::reason::reason;

/// What such devices are called, each with its number.
const NAME: &str = "virtio-mmio.";

/// From the first program's start on. The guest's kernel gives memory back two seconds after it was freed, so nobody misses it.
const DELAY_NS: u64 = 1_000_000_000;

/// See the module docs.
#[derive(Debug)]
pub struct LateDevices {
    /// None where there are none.
    sysfs: Option<PathBuf>,
    is_bound: bool,
    due_ns: Option<u64>,
    /// So many of the last devices are shares, each to be bound when its app comes.
    shares: u8,
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
        Self {
            sysfs,
            is_bound: false,
            due_ns: None,
            shares: 0,
        }
    }

    /// So many shares wait for apps.
    pub fn wait_for_apps(&mut self, shares: u8) {
        self.shares = shares;
    }

    /// A program runs.
    pub fn program_started(&mut self, now_ns: u64) {
        if self.sysfs.is_some() && !self.is_bound {
            self.due_ns.get_or_insert(now_ns + DELAY_NS);
        }
    }

    /// When they are to be bound.
    pub fn deadline_ns(&self) -> Option<u64> {
        self.due_ns
    }

    /// Binds all but shares, once. A pod does without one that cannot be bound.
    pub fn bind(&mut self) {
        self.due_ns = None;
        self.is_bound = true;
        if let Some(sysfs) = self.sysfs.clone()
            && let Err(source) = bind_all(&sysfs, usize::from(self.shares))
        {
            console::say(&reason(&CannotBind { sysfs, source }));
        }
    }

    /// Binds the share of this index among those that wait for apps.
    ///
    /// # Errors
    /// When there is none, or the kernel has no driver for it.
    pub fn bind_share(&self, index: u8) -> io::Result<()> {
        let none = || io::Error::other(format!("there is no share {index}"));
        let sysfs = self.sysfs.as_deref().ok_or_else(none)?;
        let devices = devices(sysfs)?;
        let first = devices.len().saturating_sub(usize::from(self.shares));
        let device = devices[first..].get(usize::from(index));
        bind(sysfs, *device.ok_or_else(none)?)
    }
}

fn bind_all(sysfs: &Path, shares: usize) -> io::Result<()> {
    let devices = devices(sysfs)?;
    let others = devices.len().saturating_sub(shares);
    devices[..others]
        .iter()
        .try_for_each(|device| bind(sysfs, *device))
}

/// One that has a driver already needs none.
fn bind(sysfs: &Path, number: u32) -> io::Result<()> {
    let bus = sysfs.join("bus/platform");
    let name = format!("{NAME}{number}");
    if bus.join("devices").join(&name).join("driver").exists() {
        return Ok(());
    }
    fs::write(bus.join("drivers/virtio-mmio/bind"), name)
}

/// The devices of the kernel's command line, by their numbers and in their order.
fn devices(sysfs: &Path) -> io::Result<Vec<u32>> {
    let mut numbers = Vec::new();
    for device in fs::read_dir(sysfs.join("bus/platform/devices"))? {
        let name = device?.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix(NAME));
        numbers.extend(number.and_then(|number| number.parse::<u32>().ok()));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

#[cfg(test)]
#[path = "late_devices_test.rs"]
mod tests;
