//! A pod's life on disk.
//!
//! ```text
//! DATA/pods/embryo/UUID ──▶ prepare/UUID ──▶ run/UUID ──▶ (gc) exited-garbage/UUID
//!              │                 │               ▲
//!              └────────┬────────┘               └── prepared/UUID
//!                  garbage/UUID
//! ```
//!
//! State is where the directory lies, and whether its `flock(2)` is held; a rename changes it.
//! Nothing else records a state, so a killed process leaves one that every observer can read: an
//! unlocked `prepare` was given up, an unlocked `run` has exited.
//!
//! No transition of a running pod is synced to disk. A power failure ends the pod, and after it both
//! the old and the new place say so; waiting for the disk would cost each start some 10 ms.
//!
//! Invariant: a [`Pod`] holds the lock of its directory. It is taken before the directory leaves
//! `embryo`, and the same open file description is inherited by stage1.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rustix::fs::{fsync, syncfs};
use thiserror::Error;

use crate::garbage::delete_files;
use crate::lock::{lies_at, lock_exclusive, lock_shared_in_time, open_directory};
use crate::manifest::{AcName, PodManifest};
use crate::stage1_image::Stage1Image;
use crate::tree::{TreeError, copy_tree, link_or_copy, link_tree};
use crate::uuid::Uuid;

/// Nobody but the pod's owner reads a pod's directory: it holds the apps' environment.
const DIRECTORY_MODE: u32 = 0o700;

/// The id of the stage1 image that a pod was made of (rkt's name).
pub(crate) const STAGE1_ID: &str = "stage1TreeStoreID";

/// Where a pod's directory lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Being created, or left by a killed process: not locked yet, and anybody's to delete.
    Embryo,
    /// Locked: being prepared. Unlocked: preparation was given up.
    Prepare,
    /// Ready to run.
    Prepared,
    /// Locked: running. Unlocked: exited.
    Run,
    /// Exited and marked for deletion.
    ExitedGarbage,
    /// Never ran and marked for deletion.
    Garbage,
}

impl Phase {
    /// All phases.
    pub const ALL: [Self; 6] = [
        Self::Embryo,
        Self::Prepare,
        Self::Prepared,
        Self::Run,
        Self::ExitedGarbage,
        Self::Garbage,
    ];

    /// The name of its directory in `DATA/pods`.
    #[must_use]
    pub fn directory_name(self) -> &'static str {
        match self {
            Self::Embryo => "embryo",
            Self::Prepare => "prepare",
            Self::Prepared => "prepared",
            Self::Run => "run",
            Self::ExitedGarbage => "exited-garbage",
            Self::Garbage => "garbage",
        }
    }

    pub(crate) fn directory(self, data: &Path) -> PathBuf {
        data.join("pods").join(self.directory_name())
    }
}

/// What could not be done with a pod's directory.
#[derive(Debug, Error)]
pub enum PodError {
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
    /// No random bytes.
    #[error("make a UUID")]
    Uuid {
        /// Why.
        source: io::Error,
    },
    /// Files could not be linked into the pod.
    #[error("link files into pod {uuid}")]
    Tree {
        /// The pod.
        uuid: Uuid,
        /// The step that failed.
        source: TreeError,
    },
    /// The manifest and the images handed over do not belong together.
    #[error("pod {uuid}: app \"{app}\" has no image")]
    NoImage {
        /// The pod.
        uuid: Uuid,
        /// The app.
        app: AcName,
    },
}

pub(crate) fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> PodError {
    move |source| PodError::Io {
        action,
        path: path.to_owned(),
        source,
    }
}

/// An app's image, as the store keeps it.
#[derive(Debug, Clone)]
pub struct AppImage {
    /// The app that runs it.
    pub app: AcName,
    /// The image's manifest, as it stands in the store.
    pub manifest: Vec<u8>,
    /// The image's EROFS file.
    pub erofs: PathBuf,
    /// The file that says what the bytes of that one have to be.
    pub verity: PathBuf,
}

/// A pod whose lock this process holds.
///
/// Dropped before it was handed to stage1, it takes its directory along: a run that fails leaves
/// nothing behind. Only a pod that somebody knows already, because it was prepared, stays.
#[derive(Debug)]
pub struct Pod {
    uuid: Uuid,
    data: PathBuf,
    phase: Phase,
    lock: OwnedFd,
    is_known: bool,
}

impl Pod {
    /// Creates an empty pod in `data` and takes its lock.
    ///
    /// # Errors
    ///
    /// When a directory cannot be made, locked or moved.
    pub fn create(data: &Path) -> Result<Self, PodError> {
        for phase in Phase::ALL {
            let path = phase.directory(data);
            DirBuilder::new()
                .recursive(true)
                .mode(DIRECTORY_MODE)
                .create(&path)
                .map_err(failed("create directory", &path))?;
        }
        // Who collects cannot tell a directory whose maker was killed from one that is about to be locked.
        let embryos = Phase::Embryo.directory(data);
        let _no_collection = lock_shared_in_time(&embryos).map_err(failed("lock", &embryos))?;
        let uuid = Uuid::random().map_err(|source| PodError::Uuid { source })?;
        let path = embryos.join(uuid.to_string());
        DirBuilder::new()
            .mode(DIRECTORY_MODE)
            .create(&path)
            .map_err(failed("create directory", &path))?;
        let lock = match open_locked(&path) {
            Ok(lock) => lock,
            Err(source) => {
                // Ours, empty, and of no use to anyone; the error to report is the lock's.
                let _ = fs::remove_dir(&path);
                return Err(failed("lock", &path)(source));
            }
        };
        let mut pod = Self {
            uuid,
            data: data.to_owned(),
            phase: Phase::Embryo,
            lock,
            is_known: false,
        };
        pod.move_to(Phase::Prepare)?;
        Ok(pod)
    }

    /// The pod's identity.
    #[must_use]
    pub fn uuid(&self) -> Uuid {
        self.uuid
    }

    /// Where the pod's directory is now.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.phase.directory(&self.data).join(self.uuid.to_string())
    }

    /// The open directory that holds the lock. Whoever inherits it keeps the pod alive.
    #[must_use]
    pub fn lock(&self) -> BorrowedFd<'_> {
        self.lock.as_fd()
    }

    /// Writes everything that stage1 needs into the pod's directory. Makes no mount. Where stage1 takes no block images, an
    /// app's root ([`Self::root_of`]) is an empty directory, which is the caller's to fill.
    ///
    /// # Errors
    ///
    /// When a file cannot be written or linked, and when an app of the manifest has no image.
    pub fn prepare(
        &mut self,
        manifest: &PodManifest,
        stage1: &Stage1Image,
        images: &[AppImage],
    ) -> Result<(), PodError> {
        let root = self.path();
        create_directory(&root.join("stage1"))?;
        let tree = |source| PodError::Tree {
            uuid: self.uuid,
            source,
        };
        link_or_copy(
            &stage1.directory().join("manifest"),
            &root.join("stage1/manifest"),
        )
        .map_err(tree)?;
        let rootfs = root.join("stage1/rootfs");
        match stage1.takes_block_images() {
            true => link_tree(&stage1.rootfs(), &rootfs),
            // Any other stage1 may write to its files, as rkt's do.
            false => copy_tree(&stage1.rootfs(), &rootfs),
        }
        .map_err(tree)?;
        create_directory(&rootfs.join("rkt/status"))?;
        for app in &manifest.apps {
            let Some(image) = images.iter().find(|image| image.app == app.name) else {
                return Err(PodError::NoImage {
                    uuid: self.uuid,
                    app: app.name.clone(),
                });
            };
            let info = root.join("appsinfo").join(app.name.as_str());
            create_directory(&info)?;
            write_file(&info.join("manifest"), &image.manifest)?;
            let stage2 = rootfs.join("opt/stage2").join(app.name.as_str());
            create_directory(&stage2)?;
            write_file(&stage2.join("manifest"), &image.manifest)?;
            place_files(image, stage1, &stage2, self.uuid)?;
        }
        write_file(&root.join("pod"), &manifest.to_json())?;
        // Its time of modification is when the pod was created.
        write_file(&root.join("pod-created"), b"")
    }

    /// Where the root of an app is that stage1 takes as a directory.
    #[must_use]
    pub fn root_of(&self, app: &AcName) -> PathBuf {
        root_in(&self.path(), app)
    }

    /// Writes down of which image of the store its stage1 was made. For a pod that is prepared; one whose stage1 lay elsewhere has no such
    /// file.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub fn record_stage1(&self, id: &str) -> Result<(), PodError> {
        write_file(&self.path().join(STAGE1_ID), id.as_bytes())
    }

    /// Writes a file for stage1, at this path below the root of its image, where there must be none. For a pod that
    /// is prepared.
    ///
    /// # Errors
    ///
    /// When the file is there or cannot be written.
    pub fn tell_stage1(&self, path: &str, bytes: &[u8]) -> Result<(), PodError> {
        let path = self.path().join("stage1/rootfs").join(path);
        if let Some(directory) = path.parent() {
            create_directory(directory)?;
        }
        // Never into a file of the image, which all pods share.
        let mut file = File::create_new(&path).map_err(failed("create", &path))?;
        file.write_all(bytes).map_err(failed("write", &path))
    }

    /// Moves the prepared pod to where running pods are.
    ///
    /// # Errors
    ///
    /// When the directory cannot be moved.
    pub fn to_run(&mut self) -> Result<(), PodError> {
        self.move_to(Phase::Run)
    }

    /// Moves the prepared pod to where it waits to be run, gives up its lock, and tells its name.
    ///
    /// Nobody knows when it will run, so that it must outlive a power failure: this one move is synced to disk, after all that
    /// the pod consists of.
    ///
    /// # Errors
    ///
    /// When the directory cannot be moved or synced.
    pub fn to_prepared(mut self) -> Result<Uuid, PodError> {
        let path = self.path();
        syncfs(&self.lock).map_err(|error| failed("sync", &path)(error.into()))?;
        self.move_to(Phase::Prepared)?;
        let parent = Phase::Prepared.directory(&self.data);
        let synced = open_directory(&parent).and_then(|parent| Ok(fsync(parent)?));
        synced.map_err(failed("sync", &parent))?;
        self.is_known = true;
        Ok(self.uuid)
    }

    /// Takes the lock of a pod that waits to be run; none when it does not any more, or somebody else is about to run it.
    ///
    /// # Errors
    ///
    /// When its lock cannot be asked for.
    pub fn take_prepared(data: &Path, uuid: Uuid) -> Result<Option<Self>, PodError> {
        let phase = Phase::Prepared;
        let path = phase.directory(data).join(uuid.to_string());
        let lock = match open_directory(&path) {
            Ok(lock) => lock,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed("open", &path)(error)),
        };
        let taken = lock_exclusive(&lock).map_err(failed("lock", &path))?;
        // Whoever had the lock before may have moved it.
        if !taken || !lies_at(&lock, &path).map_err(failed("look at", &path))? {
            return Ok(None);
        }
        Ok(Some(Self {
            uuid,
            data: data.to_owned(),
            phase,
            lock,
            is_known: true,
        }))
    }

    /// Deletes the pod's directory. For a pod that has not been handed to stage1.
    ///
    /// # Errors
    ///
    /// When something cannot be deleted; what is left then lies in `garbage`, for gc.
    pub fn discard(mut self) -> Result<(), PodError> {
        self.remove()
    }

    fn move_to(&mut self, phase: Phase) -> Result<(), PodError> {
        let from = self.path();
        let to = phase.directory(&self.data).join(self.uuid.to_string());
        fs::rename(&from, &to).map_err(failed("move", &from))?;
        self.phase = phase;
        Ok(())
    }

    fn remove(&mut self) -> Result<(), PodError> {
        if self.phase != Phase::Garbage {
            self.move_to(Phase::Garbage)?;
        }
        let path = self.path();
        let deleted = delete_files(self.lock.as_fd()).and_then(|()| fs::remove_dir(&path));
        match deleted {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(failed("delete", &path)(error))
            }
            _ => Ok(()),
        }
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        if self.is_known {
            return;
        }
        // Whoever drops it is on the way to report another error; gc finds what is left.
        let _ = self.remove();
    }
}

/// The descriptor closes on exec until it is handed to stage1, so that no helper process keeps a dead pod alive.
fn open_locked(path: &Path) -> io::Result<OwnedFd> {
    let directory = open_directory(path)?;
    match lock_exclusive(&directory)? {
        true => Ok(directory),
        false => Err(io::ErrorKind::ResourceBusy.into()),
    }
}

pub(crate) fn create_directory(path: &Path) -> Result<(), PodError> {
    DirBuilder::new()
        .recursive(true)
        .mode(DIRECTORY_MODE)
        .create(path)
        .map_err(failed("create directory", path))
}

/// Where the root of an app is in a pod's directory.
pub(crate) fn root_in(pod: &Path, app: &AcName) -> PathBuf {
    let stage2 = pod.join("stage1/rootfs/opt/stage2");
    stage2.join(app.as_str()).join("rootfs")
}

/// Puts an app's image where stage1 looks for it, or an empty directory for its root.
pub(crate) fn place_files(
    image: &AppImage,
    stage1: &Stage1Image,
    stage2: &Path,
    uuid: Uuid,
) -> Result<(), PodError> {
    match stage1.takes_block_images() {
        true => link_or_copy(&image.erofs, &stage2.join("rootfs.erofs"))
            .and_then(|()| link_or_copy(&image.verity, &stage2.join("rootfs.verity")))
            .map_err(|source| PodError::Tree { uuid, source }),
        false => create_directory(&stage2.join("rootfs")),
    }
}

fn write_file(path: &Path, bytes: &[u8]) -> Result<(), PodError> {
    fs::write(path, bytes).map_err(failed("write", path))
}

#[cfg(test)]
#[path = "lifecycle_test.rs"]
mod tests;
