//! Disks of the host that apps see, as a device node or by the file system on them.
//!
//! A node is the kernel's own, of the agent's `/dev`, put at its target by a bind mount: an app that has several of them, and all apps
//! that have the same one, share its owner and permissions, and one page cache. A file system is mounted by each app that has
//! it; the kernel keeps one for all.

use std::fs::{self, Permissions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};

use bulkhead_protocol::plan::{DiskVolume, ShownDisk};
use rustix::io::Errno;
use rustix::mount::{MountFlags, mount};

use crate::mounts::DISK_FLAGS;
use crate::volumes::{self, VolumeError};

/// A disk that an app cannot have.
#[derive(Debug, thiserror::Error)]
pub enum DiskVolumeError {
    /// Its node.
    #[error("set owner and mode of {device:?}")]
    Node {
        /// In the guest.
        device: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Nowhere to mount it.
    #[error("make the directory {path:?}")]
    Directory {
        /// In the guest.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The kernel would write to it, and must not. An ext4 may be mounted without its journal; but what is then read may be
    /// neither the state before nor that after the last change.
    #[error(
        "the disk's ext4 was not unmounted, and a read-only volume lets nobody replay its journal \
         (mount it once without readOnly)"
    )]
    Journal {
        /// Why.
        source: Errno,
    },
    /// The kernel finds no such file system on it.
    #[error("mount the disk as {kind}")]
    Mount {
        /// File system type.
        kind: &'static str,
        /// Why.
        source: Errno,
    },
    /// The kernel does not give it out.
    #[error(transparent)]
    Tree(#[from] VolumeError),
}

/// A mount of the disk's node, or of its file system's root, to be put somewhere. File systems are mounted at `directory`.
///
/// # Errors
/// When the disk does not hold what was planned.
pub fn take(
    volume: &DiskVolume,
    device: &Path,
    directory: &Path,
    read_only: bool,
) -> Result<OwnedFd, DiskVolumeError> {
    let kind = match volume.shown {
        ShownDisk::Node { mode, uid, gid } => {
            let failed = |source| DiskVolumeError::Node {
                device: device.to_owned(),
                source,
            };
            let permissions = Permissions::from_mode(u32::from(mode) & 0o777);
            chown(device, Some(uid), Some(gid)).map_err(failed)?;
            fs::set_permissions(device, permissions).map_err(failed)?;
            return Ok(volumes::detached(device)?);
        }
        ShownDisk::Ext4 => "ext4",
        ShownDisk::Erofs => "erofs",
    };
    fs::create_dir_all(directory).map_err(|source| DiskVolumeError::Directory {
        path: directory.to_owned(),
        source,
    })?;
    let access = if read_only {
        MountFlags::RDONLY
    } else {
        MountFlags::empty()
    };
    mount(device, directory, kind, DISK_FLAGS | access, None).map_err(|source| {
        match (volume.shown, source) {
            (ShownDisk::Ext4, Errno::ROFS) => DiskVolumeError::Journal { source },
            _ => DiskVolumeError::Mount { kind, source },
        }
    })?;
    Ok(volumes::detached(directory)?)
}
