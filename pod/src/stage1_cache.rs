//! A copy of a stage1 image on the file system of the pods, made when the image lies elsewhere.
//!
//! A pod's files are hard links, and a link cannot leave its file system: without the copy, every
//! start would copy the kernel and the VMM anew, and no two pods would share their pages.
//!
//! ```text
//! DATA/stage1/KEY/{manifest,rootfs}   a copy; KEY tells from which files it was made
//! DATA/stage1/new/                    a copy that is being made
//! DATA/stage1/lock                    shared: copies are in use; exclusive: they are made, deleted
//! ```
//!
//! A copy is deleted when another one is made: pods hold links of their own, and need it no more.

use std::fmt::Write;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock, syncfs};
use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::stage1_image::{Stage1Image, Stage1ImageError};
use crate::tree::{TreeError, link_or_copy, link_tree, walk};

/// No copy could be made or opened.
#[derive(Debug, Error)]
pub enum Stage1CacheError {
    /// A system call failed.
    #[error("{action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// The image could not be read or copied.
    #[error("copy stage1 image {}", path.display())]
    Copy {
        /// The image.
        path: PathBuf,
        /// The step that failed.
        source: TreeError,
    },
    /// The copy is not an image.
    #[error("open the copy of a stage1 image")]
    Image(#[from] Stage1ImageError),
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Stage1CacheError {
    move |source| Stage1CacheError::Io {
        action,
        path: path.to_owned(),
        source,
    }
}

/// A stage1 image from which pods in one data directory can be linked.
#[derive(Debug)]
pub struct NearStage1 {
    image: Stage1Image,
    /// Keeps the copy from being deleted; none when the image itself is near.
    _lock: Option<File>,
}

impl NearStage1 {
    /// The image itself when it is on the file system of `data`, or takes no block images and is not linked; otherwise a copy
    /// of it, made now if there is none.
    ///
    /// # Errors
    ///
    /// When `data` cannot be written, or the image cannot be read.
    pub fn of(image: &Stage1Image, data: &Path) -> Result<Self, Stage1CacheError> {
        let itself = || Self {
            image: image.clone(),
            _lock: None,
        };
        if !image.takes_block_images() {
            return Ok(itself());
        }
        let cache = data.join("stage1");
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&cache)
            .map_err(failed("create directory", &cache))?;
        if can_link(&image.rootfs(), &cache)? {
            return Ok(itself());
        }
        Self::copied(image, &cache)
    }

    /// The image to link pods from, while this value lives.
    #[must_use]
    pub fn image(&self) -> &Stage1Image {
        &self.image
    }

    fn copied(image: &Stage1Image, cache: &Path) -> Result<Self, Stage1CacheError> {
        let path = cache.join("lock");
        let lock = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(failed("open", &path))?;
        let take = |operation| {
            flock(&lock, operation).map_err(|error| failed("lock", &path)(error.into()))
        };
        let copy = cache.join(key(image)?);
        take(FlockOperation::LockShared)?;
        // Between the two locks another process can delete the copy for one of its own.
        while !copy.is_dir() {
            take(FlockOperation::LockExclusive)?;
            if !copy.is_dir() {
                make_copy(image, cache, &copy)?;
            }
            take(FlockOperation::LockShared)?;
        }
        Ok(Self {
            image: Stage1Image::open(&copy)?,
            _lock: Some(lock),
        })
    }
}

/// Whether the kernel lets this user link the image's files into the cache's file system: a user
/// other than root links only files of their own (`fs.protected_hardlinks`).
fn can_link(rootfs: &Path, cache: &Path) -> Result<bool, Stage1CacheError> {
    let image = fs::metadata(rootfs).map_err(failed("read", rootfs))?;
    let cache = fs::metadata(cache).map_err(failed("read", cache))?;
    let user = rustix::process::geteuid();
    Ok(image.dev() == cache.dev() && (user.is_root() || user.as_raw() == image.uid()))
}

/// Changes when any file of the image does, by what `stat` says: reading them all would take
/// longer than copying them. Not by the time of change: every link to a file sets that.
fn key(image: &Stage1Image) -> Result<String, Stage1CacheError> {
    let copy = |source| Stage1CacheError::Copy {
        path: image.directory().to_owned(),
        source,
    };
    let mut paths = vec![image.directory().join("manifest")];
    walk(&image.rootfs(), |path, _| {
        paths.push(path.to_owned());
        Ok(())
    })
    .map_err(copy)?;
    paths.sort();
    let mut hasher = Sha256::new();
    for path in paths {
        let metadata = fs::symlink_metadata(&path).map_err(failed("read", &path))?;
        let (changed, nanoseconds) = (metadata.mtime(), metadata.mtime_nsec());
        hasher.update(path.as_os_str().as_encoded_bytes());
        let stat = [
            metadata.dev(),
            metadata.ino(),
            metadata.len(),
            u64::from(metadata.mode()),
        ];
        hasher.update(format!("\0{stat:?} {changed} {nanoseconds}\0"));
    }
    let mut key = String::from("sha256-");
    for byte in hasher.finalize() {
        write!(key, "{byte:02x}").expect("writing to a String does not fail");
    }
    Ok(key)
}

/// Only under the exclusive lock. What a killed process left in `new` is deleted first.
fn make_copy(image: &Stage1Image, cache: &Path, copy: &Path) -> Result<(), Stage1CacheError> {
    for entry in fs::read_dir(cache).map_err(failed("list", cache))? {
        let path = entry.map_err(failed("list", cache))?.path();
        if path.is_dir() {
            fs::remove_dir_all(&path).map_err(failed("delete", &path))?;
        }
    }
    let new = cache.join("new");
    fs::create_dir(&new).map_err(failed("create directory", &new))?;
    let filled = link_or_copy(&image.directory().join("manifest"), &new.join("manifest"))
        .and_then(|()| link_tree(&image.rootfs(), &new.join("rootfs")));
    if let Err(source) = filled {
        // The error to report is the first one; the next copy deletes what is left.
        let _ = fs::remove_dir_all(&new);
        return Err(Stage1CacheError::Copy {
            path: image.directory().to_owned(),
            source,
        });
    }
    // A copy whose name outlives a power failure must hold what it held before.
    let directory = File::open(&new).map_err(failed("open", &new))?;
    syncfs(&directory).map_err(|error| failed("sync", &new)(error.into()))?;
    fs::rename(&new, copy).map_err(failed("move", &new))
}

#[cfg(test)]
#[path = "stage1_cache_test.rs"]
mod tests;
