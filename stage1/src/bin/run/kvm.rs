//! `/dev/kvm`, and whether it is worth opening: a KVM without VT-x or AMD-V behind it cannot boot a guest.
//!
//! The answer takes a small virtual machine, so a good one is remembered until the next boot, in the data directory.
//! A bad one is not: whoever repairs the machine wants to try again.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use bulkhead_kvm::probe::{Verdict, probe};

const DEVICE: &str = "/dev/kvm";

/// Changes with every boot.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// From a pod's directory (`DATA/pods/run/UUID`) to the remembered answer.
const REMEMBERED: &str = "../../../kvm-works";

/// Opens the device for the VMM.
pub(crate) fn open() -> Result<File> {
    let device = File::options().read(true).write(true).open(DEVICE);
    let device = match device {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            bail!(
                "--stage1=kvm needs KVM, and this machine has no {DEVICE} (`bulkhead doctor` says more)"
            )
        }
        other => other.with_context(|| format!("--stage1=kvm needs KVM: open {DEVICE}"))?,
    };
    let boot = fs::read(BOOT_ID).with_context(|| format!("read {BOOT_ID}"))?;
    let path = remembered_at();
    if let Some(path) = &path
        && fs::read(path).is_ok_and(|remembered| remembered == boot)
    {
        return Ok(device);
    }
    match probe() {
        Verdict::Hardware => {
            if let Some(path) = &path {
                // Without it the next start asks again.
                let _ = remember(path, &boot);
            }
            Ok(device)
        }
        Verdict::Emulated { evidence } => bail!(
            "--stage1=kvm needs a KVM that runs code in hardware, and this machine's interprets it: {evidence} \
             (`bulkhead doctor` says more)"
        ),
        Verdict::Unusable { error } => {
            bail!("--stage1=kvm needs KVM, and it does not work: {error}")
        }
    }
}

/// Only in a data directory of the expected shape is there a place for it.
fn remembered_at() -> Option<PathBuf> {
    let directory = std::env::current_dir().ok()?;
    let pods = directory.parent()?.parent()?;
    (pods.file_name()? == "pods").then(|| PathBuf::from(REMEMBERED))
}

/// Another start may do the same at the same time: each writes a file of its own, and the last one stays.
fn remember(path: &Path, boot: &[u8]) -> io::Result<()> {
    let own = path.with_extension(std::process::id().to_string());
    fs::write(&own, boot)?;
    fs::rename(&own, path)
}
