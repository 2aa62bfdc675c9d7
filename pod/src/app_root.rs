//! The root of an app, where that is a directory.

use std::io;
use std::os::fd::OwnedFd;

use rustix::fs::{Mode, OFlags, ResolveFlags, openat, openat2};
use rustix::io::Errno;
use rustix::mount::{OpenTreeFlags, open_tree};

use crate::found::FoundPod;
use crate::manifest::AcName;
use crate::record::RecordError;

impl FoundPod {
    /// The directory that is the app's root, to be read, as it is below all that somebody may have mounted in it. None where the root is
    /// a block image. That takes root.
    ///
    /// # Errors
    ///
    /// When it cannot be opened, or something is mounted on it or above it in the pod's directory.
    pub fn app_directory(&self, app: &AcName) -> Result<Option<OwnedFd>, RecordError> {
        let file = format!("stage1/rootfs/opt/stage2/{app}/rootfs");
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
        let opened = match openat2(self.directory(), &*file, flags, Mode::empty(), resolve) {
            Err(Errno::NOENT) => return Ok(None),
            opened => opened.and_then(without_mounts),
        };
        let source = match opened {
            Ok(directory) => return Ok(Some(directory)),
            Err(Errno::XDEV) => io::Error::other("something is mounted there"),
            Err(errno) => errno.into(),
        };
        Err(RecordError::Read { file, source })
    }
}

/// A view of its file system that nobody else has, and in which nothing is mounted. No file system is mounted that was not before.
fn without_mounts(directory: OwnedFd) -> Result<OwnedFd, Errno> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH;
    let view = open_tree(&directory, "", flags)?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    openat(view, ".", flags, Mode::empty())
}

#[cfg(test)]
#[path = "app_root_test.rs"]
mod tests;
