//! Disks of the host: opened for one pod, and kept from others.
//!
//! The VMM gets the descriptors, so that claims and locks, which belong to the open file, last as long as the machine, whoever else is killed.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use bulkhead_stage1::plan::HostDisk;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc::{self, c_short};
use rustix::fs::{OFlags, SeekFrom, seek};

use crate::loop_devices;

/// How long a claim may be another's that is about to give it up again: an `open` and a `close`.
const CLAIM_LIMIT: Duration = Duration::from_secs(1);

/// Between two attempts to claim.
const CLAIM_PAUSE: Duration = Duration::from_millis(2);

/// Opens each of the pod's disks, in order.
pub(crate) fn open(disks: &[HostDisk]) -> Result<Vec<File>> {
    let open = |disk: &HostDisk| {
        let whose = || format!("volume {}: {}", disk.volume, disk.source);
        open_one(disk).with_context(whose)
    };
    disks.iter().map(open).collect()
}

fn open_one(disk: &HostDisk) -> Result<File> {
    let file = explained(open_file(disk, !disk.read_only))?;
    let metadata = file.metadata().context("look at it")?;
    let length = seek(&file, SeekFrom::End(0)).context("find its end")?;
    let is_the_same = is_of_kind(&metadata, disk.raw.device) && length == disk.raw.length;
    ensure!(is_the_same, "changed while the pod was prepared");
    lock(&file, disk.read_only)?;
    if !disk.raw.device {
        refuse_loop_devices(&metadata, disk.read_only)?;
    } else if disk.read_only {
        claim_for_a_moment(disk)?;
    }
    Ok(file)
}

/// Opens it, and claims a device for this descriptor alone: what is mounted, or part of something else, cannot be claimed.
fn open_file(disk: &HostDisk, claim: bool) -> io::Result<File> {
    // Links are followed, as for all sources. What is no disk any more must neither be waited for nor become a terminal.
    let mut flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    flags.set(OFlags::EXCL, claim && disk.raw.device);
    let flags = i32::try_from(flags.bits()).map_err(io::Error::other)?;
    let mut options = File::options();
    options
        .read(true)
        .write(!disk.read_only)
        .custom_flags(flags);
    options.open(&disk.source)
}

fn is_claimed(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EBUSY)
}

fn explained(opened: io::Result<File>) -> Result<File> {
    match opened {
        Err(error) if is_claimed(&error) => {
            bail!("is in use on the host (mounted, part of another device, or another pod's)")
        }
        opened => opened.context("open it"),
    }
}

/// Nobody may have claimed a device, but others may read it too: so the claim is asked for and given up again. Another pod
/// that starts may do the same at this very moment; only a claim that lasts is one.
fn claim_for_a_moment(disk: &HostDisk) -> Result<()> {
    let end = Instant::now() + CLAIM_LIMIT;
    loop {
        match open_file(disk, true) {
            Err(error) if is_claimed(&error) && Instant::now() < end => thread::sleep(CLAIM_PAUSE),
            claimed => return explained(claimed).map(drop),
        }
    }
}

/// A file that the host uses as a disk has no lock. Who only reads may share it with who only reads.
fn refuse_loop_devices(file: &Metadata, read_only: bool) -> Result<()> {
    let user = loop_devices::user_of(file, !read_only);
    match user.context("look for it among the host's loop devices")? {
        Some(device) => bail!("is in use on the host by {}", device.display()),
        None => Ok(()),
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
