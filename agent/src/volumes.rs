//! The pod's own directories that apps mount: made once, by the first process that needs one, in the file system of the app
//! that alone has it or in that of all apps.
//!
//! ```text
//! /scratch/volumes/N   of one app, beside its writable layer
//! /volumes/N           of several apps, an ext4 of its own that each of them mounts: one file system, whoever mounts it
//! ```
//!
//! A directory appears by one `rename` when it is whole, under a lock that the kernel takes back from a process that is killed.
//! An app sees the directory alone, never the file system's root.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use bulkhead_protocol::plan::EmptyVolume;
use rustix::fs::{CWD, FlockOperation, flock};
use rustix::io::Errno;
use rustix::mount::{OpenTreeFlags, open_tree};

use crate::fill::{self, CopyError};
use crate::links;

/// Permissions of a volume when nothing says otherwise.
const DEFAULT_MODE: u32 = 0o755;

/// A volume that cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum VolumeError {
    /// Its directory.
    #[error("make the volume's directory {path:?} ({step})")]
    Directory {
        /// In the guest.
        path: PathBuf,
        /// What was tried.
        step: &'static str,
        /// Why.
        source: io::Error,
    },
    /// What is in it at first.
    #[error("fill the volume from {path:?} of the image")]
    Find {
        /// In the image.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The same.
    #[error("fill the volume")]
    Fill(#[from] CopyError),
    /// The kernel does not give it out.
    #[error("take the volume {path:?}")]
    Tree {
        /// In the guest.
        path: PathBuf,
        /// Why.
        source: Errno,
    },
}

/// Finds the volume of this number below `directory`, or makes it. `image` is the root of the image that it is filled from.
///
/// # Errors
/// When it cannot be made; nothing of it is seen then.
pub fn find_or_make(
    directory: &Path,
    number: u16,
    planned: &EmptyVolume,
    image: Option<&Path>,
) -> Result<PathBuf, VolumeError> {
    let path = directory.join(number.to_string());
    let failed = |step| {
        let path = path.clone();
        move |source| VolumeError::Directory { path, step, source }
    };
    fs::create_dir_all(directory).map_err(failed("its parent"))?;
    // Held until this file is closed.
    let lock = File::open(directory).map_err(failed("open"))?;
    flock(&lock, FlockOperation::LockExclusive).map_err(|errno| failed("lock")(errno.into()))?;
    if path.exists() {
        return Ok(path);
    }
    let new = directory.join(format!("{number}.new"));
    match fs::remove_dir_all(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(failed("remove what was left")(error));
        }
        _ => {}
    }
    let mut builder = DirBuilder::new();
    builder.mode(DEFAULT_MODE);
    builder.create(&new).map_err(failed("make"))?;
    if let (Some(fill), Some(image)) = (&planned.fill, image) {
        fill_from(&new, image, Path::new(fill.path.as_str()))?;
    }
    chown(&new, planned.uid, planned.gid).map_err(failed("set its owner"))?;
    if let Some(mode) = planned.mode {
        let permissions = Permissions::from_mode(u32::from(mode) & 0o7777);
        fs::set_permissions(&new, permissions).map_err(failed("set its mode"))?;
    }
    fs::rename(&new, &path).map_err(failed("name"))?;
    Ok(path)
}

fn fill_from(volume: &Path, image: &Path, path: &Path) -> Result<(), VolumeError> {
    let found = links::resolve(image, path).map_err(|source| VolumeError::Find {
        path: path.to_owned(),
        source,
    })?;
    let found = image.join(found.strip_prefix("/").unwrap_or(&found));
    // An image may name a path that it does not have, or a file: then there is nothing to start with.
    if found.is_dir() {
        fill::copy_tree(&found, volume)?;
    }
    Ok(())
}

/// A mount of this directory alone, to be put somewhere.
///
/// # Errors
/// What the kernel says.
pub fn detached(path: &Path) -> Result<OwnedFd, VolumeError> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    open_tree(CWD, path, flags).map_err(|source| VolumeError::Tree {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
#[path = "volumes_test.rs"]
mod tests;
