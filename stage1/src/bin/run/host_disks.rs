//! Disks of the host: opened for one pod, and kept from others.
//!
//! The VMM gets the descriptors, so that claims and locks, which belong to the open file, last as long as the machine, whoever else is killed.

use std::fs::{File, Metadata};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};

use anyhow::{Context, Result, bail, ensure};
use bulkhead_stage1::plan::HostDisk;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc::{self, c_short};
use rustix::fs::{OFlags, SeekFrom, seek};

/// Opens each of the pod's disks, in order.
pub(crate) fn open(disks: &[HostDisk]) -> Result<Vec<File>> {
    let open = |disk: &HostDisk| {
        let whose = || format!("volume {}: {}", disk.volume, disk.source);
        open_one(disk).with_context(whose)
    };
    disks.iter().map(open).collect()
}

fn open_one(disk: &HostDisk) -> Result<File> {
    let file = open_file(disk, !disk.read_only)?;
    let metadata = file.metadata().context("look at it")?;
    let length = seek(&file, SeekFrom::End(0)).context("find its end")?;
    let is_the_same = is_of_kind(&metadata, disk.raw.device) && length == disk.raw.length;
    ensure!(is_the_same, "changed while the pod was prepared");
    lock(&file, disk.read_only)?;
    if disk.raw.device && disk.read_only {
        // Others may read it too: the claim is asked for and given up again.
        drop(open_file(disk, true)?);
    }
    Ok(file)
}

/// Opens it, and claims a device for this descriptor alone: what is mounted, or part of something else, cannot be claimed.
fn open_file(disk: &HostDisk, claim: bool) -> Result<File> {
    // Links are followed, as for all sources. What is no disk any more must neither be waited for nor become a terminal.
    let mut flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    flags.set(OFlags::EXCL, claim && disk.raw.device);
    let flags = i32::try_from(flags.bits()).context("the flags of open")?;
    let mut options = File::options();
    options
        .read(true)
        .write(!disk.read_only)
        .custom_flags(flags);
    match options.open(&disk.source) {
        Err(error) if error.raw_os_error() == Some(libc::EBUSY) => {
            bail!("is in use on the host (mounted, part of another device, or another pod's)")
        }
        opened => opened.context("open it"),
    }
}

fn is_of_kind(metadata: &Metadata, device: bool) -> bool {
    let kind = metadata.file_type();
    if device {
        kind.is_block_device()
    } else {
        kind.is_file()
    }
}

/// Locks all of it: against writers, or against everybody. Other pods and QEMU ask for such locks too.
fn lock(file: &File, read_only: bool) -> Result<()> {
    let kind = if read_only {
        libc::F_RDLCK
    } else {
        libc::F_WRLCK
    };
    let all = libc::flock {
        l_type: c_short::try_from(kind).context("the kind of a lock")?,
        l_whence: c_short::try_from(libc::SEEK_SET).context("the start of a lock")?,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    match fcntl(file, FcntlArg::F_OFD_SETLK(&all)) {
        Ok(_) => Ok(()),
        Err(Errno::EAGAIN | Errno::EACCES) => {
            bail!("is in use by another pod or virtual machine")
        }
        Err(errno) => Err(errno).context("lock it"),
    }
}
