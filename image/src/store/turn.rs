//! One at a time for the same image: ten pods that start together convert it once.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::{Store, StoreError, open_lock};

/// The right to import what `key` names. Others wait until it is dropped, or until its process
/// dies.
pub(super) struct Turn {
    path: PathBuf,
    _lock: File,
}

impl Turn {
    /// Waits for the turn; calls `waiting` first if somebody else has it.
    pub(super) fn take(
        store: &Store,
        key: &str,
        mut waiting: impl FnMut(),
    ) -> Result<Self, StoreError> {
        let path = store.tmp().join(format!("turn-{key}"));
        loop {
            let file = open_lock(&path)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    waiting();
                    file.lock().map_err(StoreError::io("lock", &path))?;
                }
                Err(TryLockError::Error(e)) => return Err(StoreError::io("lock", &path)(e)),
            }
            // Whoever had the turn before removed the file: the lock must be on the one that others
            // see.
            if is_at(&file, &path).map_err(StoreError::io("read", &path))? {
                return Ok(Self { path, _lock: file });
            }
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        // Before the lock goes. What is left after a crash, the next import sweeps.
        let _ = fs::remove_file(&self.path);
    }
}

fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let own = file.metadata()?;
    match fs::metadata(path) {
        Ok(there) => Ok((there.dev(), there.ino()) == (own.dev(), own.ino())),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(e),
    }
}
