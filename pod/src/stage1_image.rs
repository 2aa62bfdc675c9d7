//! A stage1 image as stage0 sees it: a directory with a manifest that names entrypoints.
//!
//! The image is the host's own, installed beside the CLI or named by its user; it is checked for
//! being whole, not for being hostile.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::manifest::{AbsolutePath, ImageManifest, MANIFEST_BYTES_MAX, ManifestError};

/// The last version of the interface between stage0 and stage1 that we speak; the first one is 1.
pub const INTERFACE_VERSION: u32 = 6;

const RUN: &str = "coreos.com/rkt/stage1/run";
const ATTACH: &str = "coreos.com/rkt/stage1/attach";
const ENTER: &str = "coreos.com/rkt/stage1/enter";
const STOP: &str = "coreos.com/rkt/stage1/stop";
const GC: &str = "coreos.com/rkt/stage1/gc";
const APP_ADD: &str = "coreos.com/rkt/stage1/app/add";
const APP_START: &str = "coreos.com/rkt/stage1/app/start";
const APP_STOP: &str = "coreos.com/rkt/stage1/app/stop";
const APP_RM: &str = "coreos.com/rkt/stage1/app/rm";
const EXPORT: &str = "bulkhead.dev/stage1/export";
const VERSION: &str = "coreos.com/rkt/stage1/interface-version";
const TAKES_BLOCK_IMAGES: &str = "bulkhead.dev/stage1/takes-block-images";

/// Why a directory is not a usable stage1 image.
#[derive(Debug, Error)]
pub enum Stage1ImageError {
    /// A file of the image could not be read.
    #[error("read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The manifest is not valid.
    #[error("{}", path.display())]
    Manifest {
        /// The manifest's file.
        path: PathBuf,
        /// What is wrong with it.
        source: ManifestError,
    },
    /// The manifest lacks an annotation, or has a wrong one.
    #[error("{}: annotation {name}: {problem}", path.display())]
    Annotation {
        /// The manifest's file.
        path: PathBuf,
        /// The annotation.
        name: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// The entrypoint is not a program.
    #[error("{} is not an executable file", path.display())]
    NotExecutable {
        /// The entrypoint's file.
        path: PathBuf,
    },
}

/// A stage1 image, unpacked: `manifest` and `rootfs/` in one directory.
#[derive(Debug, Clone)]
pub struct Stage1Image {
    directory: PathBuf,
    manifest: ImageManifest,
    run: AbsolutePath,
    enter: Option<AbsolutePath>,
    attach: Option<AbsolutePath>,
    stop: Option<AbsolutePath>,
    gc: Option<AbsolutePath>,
    apps: Option<AppEntrypoints>,
    export: Option<AbsolutePath>,
    interface_version: u32,
    takes_block_images: bool,
}

/// By which apps come and go while a pod runs.
#[derive(Debug, Clone)]
pub struct AppEntrypoints {
    /// Makes room for one.
    pub add: AbsolutePath,
    /// Runs it.
    pub start: AbsolutePath,
    /// Ends it.
    pub stop: AbsolutePath,
    /// Takes it away.
    pub rm: AbsolutePath,
}

impl Stage1Image {
    /// Reads the image in this directory.
    ///
    /// # Errors
    ///
    /// When manifest or `run` entrypoint are missing or wrong, or when the image speaks a
    /// version of the interface that this program does not.
    pub fn open(directory: &Path) -> Result<Self, Stage1ImageError> {
        let path = directory.join("manifest");
        let bytes = read_bounded(&path).map_err(|source| Stage1ImageError::Read {
            path: path.clone(),
            source,
        })?;
        let manifest =
            ImageManifest::parse(&bytes).map_err(|source| Stage1ImageError::Manifest {
                path: path.clone(),
                source,
            })?;
        let wrong = |name, problem: String| Stage1ImageError::Annotation {
            path: path.clone(),
            name,
            problem,
        };
        let entrypoint = |name| {
            let path = manifest.annotation(name).map(str::parse::<AbsolutePath>);
            path.transpose()
                .map_err(|error| wrong(name, format!("{error}")))
        };
        let run = entrypoint(RUN)?.ok_or_else(|| wrong(RUN, "is missing".to_owned()))?;
        let (enter, attach) = (entrypoint(ENTER)?, entrypoint(ATTACH)?);
        let (stop, gc) = (entrypoint(STOP)?, entrypoint(GC)?);
        let of_apps = [APP_ADD, APP_START, APP_STOP, APP_RM].map(entrypoint);
        let [add, start, app_stop, rm] = of_apps;
        let apps = match (add?, start?, app_stop?, rm?) {
            (Some(add), Some(start), Some(stop), Some(rm)) => Some(AppEntrypoints {
                add,
                start,
                stop,
                rm,
            }),
            _ => None,
        };
        let export = entrypoint(EXPORT)?;
        let version = manifest.annotation(VERSION).unwrap_or("1");
        let known = version.parse().ok();
        let known = known.filter(|version| (1..=INTERFACE_VERSION).contains(version));
        let interface_version = known.ok_or_else(|| {
            let problem =
                format!("\"{version}\", but this program speaks 1 to {INTERFACE_VERSION}");
            wrong(VERSION, problem)
        })?;
        let takes_block_images = manifest.annotation(TAKES_BLOCK_IMAGES) == Some("true");
        let image = Self {
            directory: directory.to_owned(),
            manifest,
            run,
            enter,
            attach,
            stop,
            gc,
            apps,
            export,
            interface_version,
            takes_block_images,
        };
        image.check_program(
            &image
                .rootfs()
                .join(image.run.as_str().trim_start_matches('/')),
        )?;
        Ok(image)
    }

    fn check_program(&self, path: &Path) -> Result<(), Stage1ImageError> {
        let metadata = fs::metadata(path).map_err(|source| Stage1ImageError::Read {
            path: path.to_owned(),
            source,
        })?;
        if !metadata.is_file() || metadata.permissions().mode() & 0o111 == 0 {
            return Err(Stage1ImageError::NotExecutable {
                path: path.to_owned(),
            });
        }
        Ok(())
    }

    /// Where the image lies.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Its file system.
    #[must_use]
    pub fn rootfs(&self) -> PathBuf {
        self.directory.join("rootfs")
    }

    /// Its manifest.
    #[must_use]
    pub fn manifest(&self) -> &ImageManifest {
        &self.manifest
    }

    /// Its `run` entrypoint, inside its file system.
    #[must_use]
    pub fn run_entrypoint(&self) -> &AbsolutePath {
        &self.run
    }

    /// Its `attach` entrypoint, if it has one.
    #[must_use]
    pub fn attach_entrypoint(&self) -> Option<&AbsolutePath> {
        self.attach.as_ref()
    }

    /// Its `enter` entrypoint, if it has one.
    #[must_use]
    pub fn enter_entrypoint(&self) -> Option<&AbsolutePath> {
        self.enter.as_ref()
    }

    /// Its `stop` entrypoint, if it has one.
    #[must_use]
    pub fn stop_entrypoint(&self) -> Option<&AbsolutePath> {
        self.stop.as_ref()
    }

    /// Its `gc` entrypoint, if it has one: what it does on the host besides the pod's directory, and undoes there.
    #[must_use]
    pub fn gc_entrypoint(&self) -> Option<&AbsolutePath> {
        self.gc.as_ref()
    }

    /// Its entrypoints for apps that come and go, if it has all of them.
    #[must_use]
    pub fn app_entrypoints(&self) -> Option<&AppEntrypoints> {
        self.apps.as_ref()
    }

    /// What writes the tree of an app of a pod that has ended to standard output, as an archive below `rootfs/`, when it is called with
    /// `--export=APP UUID` in the pod's directory.
    #[must_use]
    pub fn export_entrypoint(&self) -> Option<&AbsolutePath> {
        self.export.as_ref()
    }

    /// The version of the interface that it speaks: what an older one lacks is not to be said to it.
    #[must_use]
    pub fn interface_version(&self) -> u32 {
        self.interface_version
    }

    /// Whether an app's image is handed to it as a file (`opt/stage2/APP/rootfs.erofs`) instead of
    /// a mounted directory.
    #[must_use]
    pub fn takes_block_images(&self) -> bool {
        self.takes_block_images
    }
}

/// One byte more than the bound, so that the parser is the one to refuse what is too long.
fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let bound = u64::try_from(MANIFEST_BYTES_MAX).expect("a constant far below 2^64") + 1;
    File::open(path)?.take(bound).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
#[path = "stage1_image_test.rs"]
mod tests;
