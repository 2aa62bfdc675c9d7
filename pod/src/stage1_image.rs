//! A stage1 image as stage0 sees it: a directory with a manifest that names entrypoints.
//!
//! The image is the host's own, installed beside the CLI or named by its user; it is checked for
//! being whole, not for being hostile: its programs run as who runs them.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat, openat2};
use rustix::io::Errno;
use thiserror::Error;

use crate::manifest::{AbsolutePath, ImageManifest, MANIFEST_BYTES_MAX, ManifestError};

/// The version of the interface between stage0 and stage1 that we speak. An image of a lower one is called without what it does not know.
pub const INTERFACE_VERSION: u32 = 6;

/// That of an image which names none.
const FIRST_VERSION: &str = "1";

const MANIFEST: &str = "manifest";
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
    /// An entrypoint is not a program of the image.
    #[error("{}: annotation {name}: {entrypoint} {problem}", path.display())]
    Entrypoint {
        /// The manifest's file.
        path: PathBuf,
        /// The annotation.
        name: &'static str,
        /// Its value.
        entrypoint: AbsolutePath,
        /// What is wrong with the file.
        problem: &'static str,
    },
}

/// What stage0 calls a stage1 for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entrypoint {
    /// Becomes a pod.
    Run,
    /// Runs a program in an app.
    Enter,
    /// Reads and writes the streams of an app.
    Attach,
    /// Ends a pod.
    Stop,
    /// Undoes what a pod did on the host besides its directory.
    Gc,
    /// Makes room for an app of a mutable pod.
    AppAdd,
    /// Runs it.
    AppStart,
    /// Ends it.
    AppStop,
    /// Takes it away.
    AppRm,
    /// Writes the tree of an app of a pod that has ended to standard output, as an archive below `rootfs/`, when it is called with
    /// `--export=APP UUID` in the pod's directory.
    Export,
}

impl Entrypoint {
    const ALL: [Self; 10] = [
        Self::Run,
        Self::Enter,
        Self::Attach,
        Self::Stop,
        Self::Gc,
        Self::AppAdd,
        Self::AppStart,
        Self::AppStop,
        Self::AppRm,
        Self::Export,
    ];

    /// What a stage1 has that runs mutable pods.
    pub const OF_APPS: [Self; 4] = [Self::AppAdd, Self::AppStart, Self::AppStop, Self::AppRm];

    /// The annotation that names its program.
    #[must_use]
    pub fn annotation(self) -> &'static str {
        match self {
            Self::Run => "coreos.com/rkt/stage1/run",
            Self::Enter => "coreos.com/rkt/stage1/enter",
            Self::Attach => "coreos.com/rkt/stage1/attach",
            Self::Stop => "coreos.com/rkt/stage1/stop",
            Self::Gc => "coreos.com/rkt/stage1/gc",
            Self::AppAdd => "coreos.com/rkt/stage1/app/add",
            Self::AppStart => "coreos.com/rkt/stage1/app/start",
            Self::AppStop => "coreos.com/rkt/stage1/app/stop",
            Self::AppRm => "coreos.com/rkt/stage1/app/rm",
            Self::Export => "bulkhead.dev/stage1/export",
        }
    }
}

/// A stage1 image, unpacked: `manifest` and `rootfs/` in one directory.
#[derive(Debug, Clone)]
pub struct Stage1Image {
    directory: PathBuf,
    manifest: ImageManifest,
    interface_version: u32,
    entrypoints: Vec<(Entrypoint, AbsolutePath)>,
    takes_block_images: bool,
}

impl Stage1Image {
    /// Reads the image in this directory. Its programs are looked at by [`Self::check`] and [`Self::program`].
    ///
    /// # Errors
    ///
    /// When the manifest cannot be read, an entrypoint is no absolute path or leads out of the image, there is none to run
    /// pods with, or the image speaks no version of the interface that we know.
    pub fn open(directory: &Path) -> Result<Self, Stage1ImageError> {
        let path = directory.join(MANIFEST);
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
        let mut entrypoints = Vec::new();
        for entrypoint in Entrypoint::ALL {
            let name = entrypoint.annotation();
            if let Some(value) = manifest.annotation(name) {
                let value = value.parse::<AbsolutePath>();
                let value = value.map_err(|error| wrong(name, error.to_string()))?;
                entrypoints.push((entrypoint, value));
            }
        }
        let version = manifest.annotation(VERSION).unwrap_or(FIRST_VERSION);
        let interface_version = match version.parse() {
            Ok(number @ 1..=INTERFACE_VERSION) => number,
            _ => {
                let known = format!(
                    "\"{version}\" is none of 1 to {INTERFACE_VERSION}, which this program speaks"
                );
                return Err(wrong(VERSION, known));
            }
        };
        let takes_block_images = manifest.annotation(TAKES_BLOCK_IMAGES) == Some("true");
        let image = Self {
            directory: directory.to_owned(),
            manifest,
            interface_version,
            entrypoints,
            takes_block_images,
        };
        match image.entrypoint(Entrypoint::Run) {
            Some(_) => Ok(image),
            None => Err(image.lacks(Entrypoint::Run)),
        }
    }

    /// Whether every program that the manifest names is one, and in the image: before a pod is made of it.
    ///
    /// # Errors
    ///
    /// Names the first that is not.
    pub fn check(&self) -> Result<(), Stage1ImageError> {
        let mut entrypoints = self.entrypoints.iter();
        entrypoints.try_for_each(|(entrypoint, path)| self.check_program(*entrypoint, path))
    }

    /// The absolute path of an entrypoint's program.
    ///
    /// # Errors
    ///
    /// When the manifest names none, or it is no program of the image.
    pub fn program(&self, entrypoint: Entrypoint) -> Result<PathBuf, Stage1ImageError> {
        let Some(path) = self.entrypoint(entrypoint) else {
            return Err(self.lacks(entrypoint));
        };
        self.check_program(entrypoint, path)?;
        let program = self.rootfs().join(below_root(path));
        std::path::absolute(&program).map_err(|source| Stage1ImageError::Read {
            path: program,
            source,
        })
    }

    fn lacks(&self, entrypoint: Entrypoint) -> Stage1ImageError {
        Stage1ImageError::Annotation {
            path: self.directory.join(MANIFEST),
            name: entrypoint.annotation(),
            problem: "is missing".to_owned(),
        }
    }

    /// Links on the way to a program are followed inside the image alone.
    fn check_program(
        &self,
        entrypoint: Entrypoint,
        path: &AbsolutePath,
    ) -> Result<(), Stage1ImageError> {
        let problem = match self.is_program(path) {
            Ok(true) => return Ok(()),
            Ok(false) => "is not an executable file",
            Err(Errno::NOENT | Errno::NOTDIR) => "is not in the image",
            Err(Errno::XDEV | Errno::LOOP) => "is a link out of the image",
            Err(errno) => {
                return Err(Stage1ImageError::Read {
                    path: self.rootfs().join(below_root(path)),
                    source: errno.into(),
                });
            }
        };
        Err(Stage1ImageError::Entrypoint {
            path: self.directory.join(MANIFEST),
            name: entrypoint.annotation(),
            entrypoint: path.clone(),
            problem,
        })
    }

    fn is_program(&self, path: &AbsolutePath) -> Result<bool, Errno> {
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let root = openat(CWD, self.rootfs(), flags | OFlags::DIRECTORY, Mode::empty())?;
        let inside = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        let file = openat2(root.as_fd(), below_root(path), flags, Mode::empty(), inside)?;
        let metadata = File::from(file).metadata();
        let metadata =
            metadata.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
        Ok(metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
    }

    /// The path of an entrypoint inside the image's file system, if it has it.
    #[must_use]
    pub fn entrypoint(&self, wanted: Entrypoint) -> Option<&AbsolutePath> {
        let mut entrypoints = self.entrypoints.iter();
        let found = entrypoints.find(|(entrypoint, _)| *entrypoint == wanted);
        found.map(|(_, path)| path)
    }

    /// Version of the interface that it speaks, from 1 to [`INTERFACE_VERSION`].
    #[must_use]
    pub fn interface_version(&self) -> u32 {
        self.interface_version
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

    /// Whether an app's image is handed to it as a file (`opt/stage2/APP/rootfs.erofs`) instead of
    /// a mounted directory.
    #[must_use]
    pub fn takes_block_images(&self) -> bool {
        self.takes_block_images
    }
}

/// Never empty: an empty path would name the root itself.
fn below_root(path: &AbsolutePath) -> &str {
    match path.as_str().trim_start_matches('/') {
        "" => ".",
        path => path,
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
