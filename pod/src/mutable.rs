//! Apps that come and go in the directory of a pod that runs.
//!
//! Whoever changes which apps there are holds `pod.lck`, apart from the pod's own lock, which is its life. The pod manifest is written
//! anew and takes its place by one rename, after all that it speaks of is there, and before what it speaks of no more is deleted: a
//! change that is killed leaves at most files of an app that the manifest does not have, which the next one of that name replaces.

pub mod records;

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use crate::found::FoundPod;
use crate::lifecycle::{AppImage, PodError, create_directory, failed, place_files, root_in};
use crate::manifest::{AcName, PodManifest};
use crate::stage1_image::Stage1Image;
use crate::uuid::Uuid;

/// The annotation of a pod manifest whose apps come and go, and its value.
pub const MUTABLE: (&str, &str) = ("coreos.com/rkt/stage1/mutable", "true");

const LOCK: &str = "pod.lck";
const MANIFEST: &str = "pod";
const NEW_MANIFEST: &str = "pod.new";

/// The right to change which apps a pod has.
#[derive(Debug)]
pub struct Change {
    uuid: Uuid,
    directory: PathBuf,
    _lock: File,
}

impl Change {
    /// Waits until nobody else changes the pod.
    ///
    /// # Errors
    ///
    /// When the lock cannot be had: the pod may have been moved, for it has ended.
    pub fn begin(pod: &FoundPod) -> Result<Self, PodError> {
        let directory = pod.path().to_owned();
        let path = directory.join(LOCK);
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&path)
            .map_err(failed("open", &path))?;
        loop {
            match flock(&lock, FlockOperation::LockExclusive) {
                Err(rustix::io::Errno::INTR) => {}
                locked => {
                    locked.map_err(|errno| failed("lock", &path)(errno.into()))?;
                    break;
                }
            }
        }
        Ok(Self {
            uuid: pod.uuid(),
            directory,
            _lock: lock,
        })
    }

    /// Puts an app's files into the pod, and then the manifest that has it. Where stage1 takes no block images, the app's root
    /// ([`Self::root_of`]) is an empty directory, which is the caller's to fill.
    ///
    /// # Errors
    ///
    /// When a file cannot be written or linked. The manifest is then as before.
    pub fn add(
        &self,
        manifest: &PodManifest,
        stage1: &Stage1Image,
        image: &AppImage,
    ) -> Result<(), PodError> {
        let added = self
            .place(stage1, image)
            .and_then(|()| self.write_manifest(manifest));
        if added.is_err() {
            // The first error is the one to tell.
            let _ = self.delete(&image.app);
        }
        added
    }

    /// Where the root of an app is that stage1 takes as a directory.
    #[must_use]
    pub fn root_of(&self, app: &AcName) -> PathBuf {
        root_in(&self.directory, app)
    }

    fn place(&self, stage1: &Stage1Image, image: &AppImage) -> Result<(), PodError> {
        self.delete(&image.app)?;
        let [info, stage2] = self.places(&image.app);
        for directory in [&info, &stage2] {
            create_directory(directory)?;
            let path = directory.join("manifest");
            fs::write(&path, &image.manifest).map_err(failed("write", &path))?;
        }
        place_files(image, stage1, &stage2, self.uuid)
    }

    /// Writes the manifest that has the app no more, and deletes its files.
    ///
    /// # Errors
    ///
    /// When the manifest cannot be written, or a file be deleted.
    pub fn remove(&self, manifest: &PodManifest, app: &AcName) -> Result<(), PodError> {
        self.write_manifest(manifest)?;
        self.delete(app)
    }

    fn write_manifest(&self, manifest: &PodManifest) -> Result<(), PodError> {
        let (new, path) = (
            self.directory.join(NEW_MANIFEST),
            self.directory.join(MANIFEST),
        );
        let write = || File::create(&new)?.write_all(&manifest.to_json());
        write().map_err(failed("write", &new))?;
        fs::rename(&new, &path).map_err(failed("replace", &path))
    }

    fn delete(&self, app: &AcName) -> Result<(), PodError> {
        self.places(app).iter().try_for_each(|path| delete(path))
    }

    fn places(&self, app: &AcName) -> [PathBuf; 2] {
        ["appsinfo", "stage1/rootfs/opt/stage2"]
            .map(|directory| self.directory.join(directory).join(app.as_str()))
    }
}

fn delete(path: &Path) -> Result<(), PodError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("delete", path)(error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
#[path = "mutable_test.rs"]
mod tests;
