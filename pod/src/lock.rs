//! The lock of a pod's directory, as those see it who are not the pod.
//!
//! Whoever asks holds a shared lock for an instant. So a shared lock never means that a pod is alive, and whoever wants
//! the exclusive one waits for those who only ask.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use rustix::fs::{FlockOperation, Mode, OFlags, flock, fstat, stat};
use rustix::io::Errno;

/// Attempts to take a lock that only observers hold, each after [`PAUSE`].
const ATTEMPTS: u32 = 1_000;

/// An observer holds the lock for some microseconds.
const PAUSE: Duration = Duration::from_millis(1);

/// Opens a directory that is none but by its own name: no link is followed in the last place.
pub(crate) fn open_directory(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::empty())?)
}

/// Whether somebody holds the exclusive lock. The descriptor must hold no lock itself.
pub(crate) fn is_locked(directory: impl AsFd) -> io::Result<bool> {
    let locked = !lock_shared(&directory)?;
    if !locked {
        flock(directory, FlockOperation::Unlock)?;
    }
    Ok(locked)
}

/// Takes a shared lock; false when somebody holds the exclusive one.
pub(crate) fn lock_shared(directory: impl AsFd) -> io::Result<bool> {
    taken(flock(directory, FlockOperation::NonBlockingLockShared))
}

/// Opens a directory and takes a shared lock, for which it waits as long as the exclusive one can be held for good reasons.
pub(crate) fn lock_shared_in_time(path: &Path) -> io::Result<OwnedFd> {
    let directory = open_directory(path)?;
    for _ in 0..ATTEMPTS {
        if lock_shared(&directory)? {
            return Ok(directory);
        }
        std::thread::sleep(PAUSE);
    }
    Err(io::ErrorKind::ResourceBusy.into())
}

/// Takes the exclusive lock; false when somebody else holds it.
pub(crate) fn lock_exclusive(directory: impl AsFd) -> io::Result<bool> {
    for _ in 0..ATTEMPTS {
        if taken(flock(&directory, FlockOperation::NonBlockingLockExclusive))? {
            return Ok(true);
        }
        if is_locked(&directory)? {
            return Ok(false);
        }
        std::thread::sleep(PAUSE);
    }
    Ok(false)
}

fn taken(result: Result<(), Errno>) -> io::Result<bool> {
    match result {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Whether the open directory is the one at this path.
pub(crate) fn lies_at(directory: impl AsFd, path: &Path) -> io::Result<bool> {
    let open = fstat(directory)?;
    match stat(path) {
        Ok(there) => Ok((there.st_dev, there.st_ino) == (open.st_dev, open.st_ino)),
        Err(Errno::NOENT) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
#[path = "lock_test.rs"]
mod tests;
