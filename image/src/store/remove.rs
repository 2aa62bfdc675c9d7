//! Images and trees that go: as they came, as a whole.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use super::hold::lock_entry;
use super::{Store, StoreError};
use crate::digest::ImageId;

impl Store {
    /// Removes an image, with all names and hints of it. Pods that have it keep what they have: links of their own to its file. False when it
    /// is not there.
    ///
    /// # Errors
    /// When its files, or what points to it, cannot be removed.
    pub fn remove(&self, id: &ImageId) -> Result<bool, StoreError> {
        let removed = self.discard(&self.image(id), id)?;
        // What a killed removal leaves of these points to nothing, which is what it then means.
        self.forget_names(id)?;
        self.forget_hints(id)?;
        Ok(removed)
    }

    /// Removes a directory of the store. Half of it is never seen: what is left of a killed removal, the next import sweeps. False when it is
    /// not there.
    pub(super) fn discard(&self, directory: &Path, id: &ImageId) -> Result<bool, StoreError> {
        // Nobody takes anything out of it, and nobody else sweeps it meanwhile.
        let locked =
            lock_entry(directory, File::lock).map_err(StoreError::io("lock", directory))?;
        let Some(_lock) = locked else {
            return Ok(false);
        };
        let tmp = self.tmp();
        fs::create_dir_all(&tmp).map_err(StoreError::io("create", &tmp))?;
        let doomed = tmp.join(format!("removed-{}-{id}", std::process::id()));
        match fs::rename(directory, &doomed) {
            // Somebody was faster.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            moved => moved.map_err(StoreError::io("move", directory))?,
        }
        fs::remove_dir_all(&doomed).map_err(StoreError::io("remove", &doomed))?;
        Ok(true)
    }
}

/// Removes the files of a directory that are meant, if it is there.
pub(super) fn remove_files(
    directory: &Path,
    is_meant: impl Fn(&Path) -> bool,
) -> Result<(), StoreError> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(StoreError::io("read", directory))?,
    };
    for entry in entries {
        let path = entry.map_err(StoreError::io("read", directory))?.path();
        if !is_meant(&path) {
            continue;
        }
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(StoreError::io("remove", &path)(error));
            }
            _ => {}
        }
    }
    Ok(())
}
