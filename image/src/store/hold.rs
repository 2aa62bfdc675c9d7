//! Entries that stay while somebody takes something out of them.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::{Store, StoreError};
use crate::digest::ImageId;

/// An image that nobody removes as long as this is there. Removals wait for it.
#[derive(Debug)]
pub struct Held {
    _lock: File,
}

impl Store {
    /// Keeps an image, for as long as its files are linked to. None when it has gone meanwhile.
    ///
    /// # Errors
    /// When its directory cannot be locked.
    pub fn hold(&self, id: &ImageId) -> Result<Option<Held>, StoreError> {
        let directory = self.image(id);
        let locked = lock_entry(&directory, File::lock_shared);
        let lock = locked.map_err(StoreError::io("lock", &directory))?;
        Ok(lock.map(|lock| Held { _lock: lock }))
    }
}

/// A directory that is locked, and has its name still; none when there is none.
pub(super) fn lock_entry(
    directory: &Path,
    lock: impl Fn(&File) -> io::Result<()>,
) -> io::Result<Option<File>> {
    loop {
        let opened = match File::open(directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened?,
        };
        lock(&opened)?;
        let (locked, named) = (opened.metadata()?, fs::metadata(directory));
        match named {
            Ok(named) if (named.dev(), named.ino()) == (locked.dev(), locked.ino()) => {
                return Ok(Some(opened));
            }
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            // It was removed before the lock was had, and may have been made anew.
            _ => {}
        }
    }
}
