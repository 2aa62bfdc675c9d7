//! The directory in which one import works, and what becomes of it.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use bulkhead_protocol::verity::Verity;

use super::digests::{DIGESTS_FILE, digests_of};
use super::parts::PARTS_FILE;
use super::{IMAGE_FILE, MANIFEST_FILE, Store, StoreError, VERITY_FILE, open_lock};
use crate::digest::ImageId;

/// Where file tails lie while an image is built.
const TAILS_FILE: &str = "tails";
/// Where a compressed archive of members is unpacked.
const ARCHIVE_FILE: &str = "archive";

/// A directory below `tmp`, locked as long as this value lives, removed when it is dropped.
pub(super) struct Workspace {
    path: PathBuf,
    /// Holds the lock that tells a living import from a dead one.
    lock: File,
}

/// A finished image.
pub(super) struct Made<'a> {
    /// Its file.
    pub(super) image: &'a File,
    /// Its ACI manifest.
    pub(super) manifest: &'a [u8],
    /// The root of its hashes.
    pub(super) verity: &'a Verity,
    /// What it is put together from, if that is more than an archive.
    pub(super) parts: Option<String>,
}

impl Workspace {
    /// Removes what dead imports left, then makes a directory for this one.
    pub(super) fn create(store: &Store) -> Result<Self, StoreError> {
        let lock_path = store.lock();
        // Between the making of a directory and its locking nobody may sweep.
        let lock = open_lock(&lock_path)?;
        lock.lock().map_err(StoreError::io("lock", &lock_path))?;
        sweep(&store.tmp())?;
        let path = make_directory(&store.tmp())?;
        let directory = File::open(&path).map_err(StoreError::io("open", &path))?;
        directory.lock().map_err(StoreError::io("lock", &path))?;
        Ok(Self {
            path,
            lock: directory,
        })
    }

    /// The file that an image is written to, and one for its files' tails.
    pub(super) fn image_files(&self) -> Result<[File; 2], StoreError> {
        Ok([self.create_file(IMAGE_FILE)?, self.create_file(TAILS_FILE)?])
    }

    /// A file for an unpacked archive.
    pub(super) fn archive(&self) -> Result<File, StoreError> {
        self.create_file(ARCHIVE_FILE)
    }

    /// Makes image, manifest and root of the hashes durable and gives them their name in the store.
    ///
    /// One `fdatasync` for each file, and one `fsync` for each directory that changes: an image that is in the store after a power
    /// failure is whole. If another process was faster, its image stays and this one is dropped; an entry of which a file was lost
    /// makes room for it.
    pub(super) fn commit(
        self,
        store: &Store,
        id: &ImageId,
        made: &Made<'_>,
    ) -> Result<(), StoreError> {
        let Made { image, verity, .. } = made;
        let image_path = self.path.join(IMAGE_FILE);
        image
            .sync_data()
            .map_err(StoreError::io("sync", &image_path))?;
        make_read_only(image, &image_path)?;
        self.write_durably(MANIFEST_FILE, made.manifest)?;
        self.write_durably(VERITY_FILE, verity.to_string().as_bytes())?;
        if let Some(parts) = &made.parts {
            self.write_durably(PARTS_FILE, parts.as_bytes())?;
        }
        let digests = digests_of(&self.path)?;
        self.write_durably(DIGESTS_FILE, digests.as_bytes())?;
        for scratch in [TAILS_FILE, ARCHIVE_FILE] {
            remove_if_there(&self.path.join(scratch))?;
        }
        sync_directory(&self.path)?;

        let target = store.image(id);
        let mut renamed = fs::rename(&self.path, &target);
        if renamed.is_err() && target.is_dir() {
            if store.get(id)?.is_some() {
                return Ok(());
            }
            store.discard(&target, id)?;
            renamed = fs::rename(&self.path, &target);
        }
        renamed.map_err(StoreError::io("rename to", &target))?;
        sync_directory(&store.images())
    }

    fn write_durably(&self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        let path = self.path.join(name);
        let file = self.create_file(name)?;
        std::io::Write::write_all(&mut &file, bytes)
            .and_then(|()| file.sync_data())
            .map_err(StoreError::io("write", &path))?;
        make_read_only(&file, &path)
    }

    /// Where files are unpacked.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes an unpacked tree durable, with its manifest, and gives it its name in the store: as a whole, by one rename. If another
    /// process was faster, its tree stays.
    pub(super) fn commit_tree(
        self,
        store: &Store,
        id: &ImageId,
        manifest: &[u8],
    ) -> Result<(), StoreError> {
        let path = self.path.join(MANIFEST_FILE);
        let file = self.create_file(MANIFEST_FILE)?;
        std::io::Write::write_all(&mut &file, manifest).map_err(StoreError::io("write", &path))?;
        make_read_only(&file, &path)?;
        // Thousands of files, once: one call for all of them.
        rustix::fs::syncfs(&self.lock)
            .map_err(|errno| StoreError::io("sync", &self.path)(errno.into()))?;
        let target = store.tree_path(id);
        match fs::rename(&self.path, &target) {
            Ok(()) => sync_directory(&store.trees_path()),
            Err(_) if target.is_dir() => Ok(()),
            Err(e) => Err(StoreError::io("rename to", &target)(e)),
        }
    }

    fn create_file(&self, name: &str) -> Result<File, StoreError> {
        let path = self.path.join(name);
        OpenOptions::new()
            .create_new(true)
            .read(true)
            .write(true)
            .mode(0o600)
            .open(&path)
            .map_err(StoreError::io("create", &path))
    }
}

impl Drop for Workspace {
    fn drop(&mut self) {
        // After a commit it is not there any more. What cannot be removed, the next import sweeps.
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Removes every entry of `tmp` whose lock nobody holds.
fn sweep(tmp: &Path) -> Result<(), StoreError> {
    let entries = fs::read_dir(tmp).map_err(StoreError::io("read", tmp))?;
    for entry in entries {
        let path = entry.map_err(StoreError::io("read", tmp))?.path();
        // A living import may finish and vanish at any time.
        let Ok(directory) = File::open(&path) else {
            continue;
        };
        match directory.try_lock() {
            Ok(()) if path.is_dir() => {
                fs::remove_dir_all(&path).map_err(StoreError::io("remove", &path))?;
            }
            Ok(()) => remove_if_there(&path)?,
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(e)) => return Err(StoreError::io("lock", &path)(e)),
        }
    }
    Ok(())
}

/// Makes a directory with a name that is free: the process id, and a number if need be.
fn make_directory(tmp: &Path) -> Result<PathBuf, StoreError> {
    let process = std::process::id();
    let mut number = 0u32;
    loop {
        let path = tmp.join(format!("import-{process}-{number}"));
        match fs::create_dir(&path) {
            Ok(()) => return Ok(path),
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => number += 1,
            Err(e) => return Err(StoreError::io("create", &path)(e)),
        }
    }
}

fn make_read_only(file: &File, path: &Path) -> Result<(), StoreError> {
    let permissions = std::os::unix::fs::PermissionsExt::from_mode(0o444);
    file.set_permissions(permissions)
        .map_err(StoreError::io("change the mode of", path))
}

fn remove_if_there(path: &Path) -> Result<(), StoreError> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(StoreError::io("remove", path)(e))
        }
        _ => Ok(()),
    }
}

fn sync_directory(path: &Path) -> Result<(), StoreError> {
    File::open(path)
        .and_then(|directory| directory.sync_all())
        .map_err(StoreError::io("sync", path))
}
