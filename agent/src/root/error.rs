//! Why an app has no root.

use std::io;
use std::path::PathBuf;

use rustix::io::Errno;

use crate::disk_volumes::DiskVolumeError;
use crate::mounts::MountError;
use crate::volumes::VolumeError;

/// A root that cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum RootError {
    /// A file system cannot be mounted.
    #[error("mount the {kind} of {device:?}")]
    Mount {
        /// File system type.
        kind: &'static str,
        /// Where it lies.
        device: PathBuf,
        /// Why.
        source: Errno,
    },
    /// A directory for the writable layer or a mount point cannot be made.
    #[error("make the directory {path:?}")]
    Directory {
        /// In the guest.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The overlay cannot be mounted.
    #[error("mount the overlay {options:?}")]
    Overlay {
        /// Its options.
        options: String,
        /// Why.
        source: Errno,
    },
    /// The process cannot move into it.
    #[error("change to the new root ({step})")]
    Change {
        /// The system call.
        step: &'static str,
        /// Why.
        source: Errno,
    },
    /// The pod's own files of names cannot be written.
    #[error("write the pod's names into /etc")]
    Provided {
        /// Why.
        source: io::Error,
    },
    /// A mount of the plan fails.
    #[error(transparent)]
    Mounts(#[from] MountError),
    /// Devices cannot be closed to the app.
    #[error("close the machine's devices to it")]
    Devices {
        /// Why.
        source: io::Error,
    },
    /// A disk of the host.
    #[error("volume for {target:?}")]
    DiskVolume {
        /// In the app's root.
        target: String,
        /// Why.
        source: DiskVolumeError,
    },
    /// A volume.
    #[error("volume for {target:?}")]
    Volume {
        /// In the app's root.
        target: String,
        /// Why.
        source: VolumeError,
    },
}
