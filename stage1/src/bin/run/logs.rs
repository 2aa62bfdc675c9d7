//! Where the relay keeps what the apps write: a directory of the pod, and the host's journal.

use std::env;
use std::fs::{self, DirBuilder};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;

use anyhow::{Context, Result};
use bulkhead_pod::log::DIRECTORY;
use rustix::fs::{CWD, Gid, Mode, OFlags, Uid, fchown, fstat, openat};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
use rustix::process::geteuid;

use crate::helpers::RELAY_IDENTITY;

/// Where the journal listens (systemd, "Native Journal Protocol").
const JOURNAL: &str = "/run/systemd/journal/socket";

/// The device and inode of the stream that a service's output goes by to the journal (systemd.exec(5)).
const JOURNAL_STREAM: &str = "JOURNAL_STREAM";

/// What the relay gets.
pub(crate) struct Logs {
    pub(crate) directory: OwnedFd,
    pub(crate) journal: Option<OwnedFd>,
}

impl Logs {
    /// Makes the directory, and gives it to the relay. The lines are in the journal already where our own output is.
    pub(crate) fn open() -> Result<Self> {
        let streams = [rustix::stdio::stdout(), rustix::stdio::stderr()];
        let journal = if streams.into_iter().any(is_journal) {
            None
        } else {
            connect_to(JOURNAL)
        };
        let directory = make_directory().context("make the directory of the apps' logs")?;
        Ok(Self { directory, journal })
    }
}

fn make_directory() -> Result<OwnedFd> {
    match DirBuilder::new().mode(0o700).create(DIRECTORY) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            let metadata = fs::symlink_metadata(DIRECTORY)?;
            anyhow::ensure!(metadata.is_dir(), "{DIRECTORY} is no directory");
        }
        made => made?,
    }
    let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let directory = openat(CWD, DIRECTORY, flags, Mode::empty())?;
    if geteuid().is_root() {
        let (uid, gid) = (RELAY_IDENTITY.uid, RELAY_IDENTITY.gid);
        let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
        fchown(directory.as_fd(), Some(uid), Some(gid))?;
    }
    Ok(directory)
}

/// A host without a journal has none to tell anything, and one that does not take us gets nothing.
fn connect_to(path: &str) -> Option<OwnedFd> {
    let address = SocketAddrUnix::new(path).ok()?;
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::DGRAM, flags, None).ok()?;
    connect(&socket, &address).ok()?;
    Some(socket)
}

fn is_journal(stream: BorrowedFd<'_>) -> bool {
    let Ok(journal) = env::var(JOURNAL_STREAM) else {
        return false;
    };
    fstat(stream).is_ok_and(|stat| journal == format!("{}:{}", stat.st_dev, stat.st_ino))
}
