//! The end of a pod on disk: marked by a move, deleted under its exclusive lock.
//!
//! Any number of processes may do this at the same time, and be killed at any instant. A mark is one rename, under a shared
//! lock: whoever runs the pod, or is about to, has the exclusive one. Of those who would delete it one gets the exclusive lock;
//! what it leaves when it is killed is still marked, and its manifest is the last to go. Losing such a race is no error.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::{AtFlags, CWD, unlinkat};
use rustix::io::Errno;

use crate::found::names_in;
use crate::lifecycle::{Phase, PodError, create_directory, failed};
use crate::lock::{lies_at, lock_exclusive, lock_shared, open_directory};
use crate::remove;
use crate::uuid::Uuid;

/// The files of stage1 and the images, which is what may be in use or damaged: nothing else is lost when they stay.
const FIRST: &CStr = c"stage1";

/// What is deleted last: a pod that is half deleted is still known as one.
const LAST: &CStr = c"pod";

/// Empties a pod's directory.
pub(crate) fn delete_files(directory: BorrowedFd<'_>) -> io::Result<()> {
    remove::empty(directory, FIRST, LAST)
}

/// The pods that lie in one place.
///
/// # Errors
///
/// When the place cannot be listed.
pub fn pods_in(data: &Path, phase: Phase) -> Result<Vec<Uuid>, PodError> {
    names_in(data, phase)
}

/// Marks a pod for deletion, from whatever place it is in; false when somebody uses it, or it is not there any more.
///
/// # Errors
///
/// When it cannot be moved.
pub fn mark(data: &Path, from: Phase, uuid: Uuid) -> Result<bool, PodError> {
    let to = match from {
        Phase::Run => Phase::ExitedGarbage,
        Phase::Prepare | Phase::Prepared => Phase::Garbage,
        // One that is marked needs no mark; one that is not even a pod yet is deleted where it lies.
        Phase::Embryo | Phase::ExitedGarbage | Phase::Garbage => return Ok(false),
    };
    let path = from.directory(data).join(uuid.to_string());
    let Some(directory) = open(&path)? else {
        return Ok(false);
    };
    if !lock_shared(&directory).map_err(failed("lock", &path))? {
        return Ok(false);
    }
    let target = to.directory(data);
    create_directory(&target)?;
    match std::fs::rename(&path, target.join(uuid.to_string())) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(failed("move", &path)(error)),
    }
}

/// Keeps new pods from being made for as long as the descriptor is open: what lies in `embryo` then, and is not locked, has a maker
/// that was killed. None when pods are made without a pause, or none was ever made.
///
/// # Errors
///
/// When the directory cannot be opened or locked.
pub fn keep_makers_out(data: &Path) -> Result<Option<OwnedFd>, PodError> {
    let path = Phase::Embryo.directory(data);
    let Some(directory) = open(&path)? else {
        return Ok(None);
    };
    let taken = lock_exclusive(&directory).map_err(failed("lock", &path))?;
    Ok(taken.then_some(directory))
}

/// When a pod came to the place where it lies; none when it is not there any more.
///
/// # Errors
///
/// When the kernel does not tell.
pub fn since(data: &Path, phase: Phase, uuid: Uuid) -> Result<Option<SystemTime>, PodError> {
    let path = phase.directory(data).join(uuid.to_string());
    match rustix::fs::lstat(&path) {
        // A rename changes this time of a directory, and so does what is deleted in it.
        Ok(stat) => {
            let seconds = u64::try_from(stat.st_ctime).unwrap_or_default();
            let since = Duration::from_secs(seconds) + Duration::from_nanos(stat.st_ctime_nsec);
            Ok(Some(UNIX_EPOCH + since))
        }
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(failed("look at", &path)(error.into())),
    }
}

/// A pod that is to be deleted, and whose lock this process holds.
#[derive(Debug)]
pub struct Garbage {
    uuid: Uuid,
    path: PathBuf,
    directory: OwnedFd,
}

impl Garbage {
    /// Takes the lock of a marked pod, or of one that its maker left behind in `embryo`; none when somebody else has it, or
    /// has deleted it.
    ///
    /// # Errors
    ///
    /// When the directory cannot be opened or locked.
    ///
    /// # Panics
    ///
    /// In any other place: only marked pods are deleted.
    pub fn take(data: &Path, phase: Phase, uuid: Uuid) -> Result<Option<Self>, PodError> {
        let deletable = [Phase::Embryo, Phase::ExitedGarbage, Phase::Garbage];
        assert!(deletable.contains(&phase), "pod {uuid} is not marked");
        let path = phase.directory(data).join(uuid.to_string());
        let Some(directory) = open(&path)? else {
            return Ok(None);
        };
        let taken = lock_exclusive(&directory).map_err(failed("lock", &path))?;
        if !taken || !lies_at(&directory, &path).map_err(failed("look at", &path))? {
            return Ok(None);
        }
        Ok(Some(Self {
            uuid,
            path,
            directory,
        }))
    }

    /// Its identity.
    #[must_use]
    pub fn uuid(&self) -> Uuid {
        self.uuid
    }

    /// Its directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Deletes it: the files of stage1 first, its manifest last.
    ///
    /// # Errors
    ///
    /// When something cannot be deleted; the rest stays, for the next time.
    pub fn delete(self) -> Result<(), PodError> {
        delete_files(self.directory.as_fd()).map_err(failed("delete what is in", &self.path))?;
        match unlinkat(CWD, &self.path, AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(failed("delete", &self.path)(error.into())),
        }
    }
}

fn open(path: &Path) -> Result<Option<OwnedFd>, PodError> {
    match open_directory(path) {
        Ok(directory) => Ok(Some(directory)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed("open", path)(error)),
    }
}

#[cfg(test)]
#[path = "garbage_test.rs"]
mod tests;
