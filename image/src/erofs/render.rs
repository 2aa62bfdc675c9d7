//! An image as a directory: for a stage1 that takes no block images.
//!
//! The host's kernel mounts nothing for it. Files are made anew in a directory that is empty and nobody else's, each by its parent's
//! descriptor and in one step, so that no name of an image and no link in it leads anywhere else.
//!
//! Of extended attributes come along what an export has too: `user.*`, file capabilities, access control lists. The others are
//! for the host's own modules to give.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, FileType, Gid, Mode, OFlags, Timespec, Timestamps, Uid, XattrFlags, chmodat,
    chownat, linkat, lsetxattr, makedev, mkdirat, mknodat, openat, symlinkat, utimensat,
};
use rustix::io::Errno;

use super::inode::decode_device;
use super::read::{
    BLOCK_DEVICE, CHARACTER_DEVICE, DIRECTORY, FIFO, Filesystem, Found, REGULAR, ReadError,
    SYMLINK, TYPE_MASK,
};
use crate::bytes::Escaped;
use crate::limits::{MAX_DEPTH, MAX_ENTRIES, MAX_NAME_COMPONENT};
use crate::tar::Timestamp;

/// An image that cannot be a directory.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// The image.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A file cannot be made.
    #[error("make \"{path}\" ({step})")]
    Make {
        /// In the image.
        path: Escaped,
        /// What was tried.
        step: &'static str,
        /// Why.
        source: io::Error,
    },
}

impl Filesystem {
    /// Makes all files of the image in `directory`, which is empty, with owners, modes and times. Takes root.
    ///
    /// # Errors
    /// When the image is damaged or a file cannot be made. What was made stays.
    pub fn render(&self, directory: &Path) -> Result<(), RenderError> {
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let root = openat(CWD, directory, flags, Mode::empty());
        let root = root.map_err(failed(Path::new("/"), "open"))?;
        let mut rendering = Rendering {
            image: self,
            root: &root,
            linked: HashMap::new(),
            entries: 0,
        };
        let found = self.root()?;
        if !found.is_directory() {
            return Err(ReadError::Damaged("a root that is no directory").into());
        }
        rendering.fill(&found, root.as_fd(), Path::new(""), 0)?;
        let place = Place {
            parent: root.as_fd(),
            name: Path::new("."),
            path: Path::new(""),
        };
        rendering.dress(&found, &place)
    }
}

struct Rendering<'a> {
    image: &'a Filesystem,
    root: &'a OwnedFd,
    /// Where the first name is of each file that has several.
    linked: HashMap<u64, PathBuf>,
    entries: usize,
}

/// Where a file is.
struct Place<'a> {
    parent: BorrowedFd<'a>,
    name: &'a Path,
    /// From the root.
    path: &'a Path,
}

impl Rendering<'_> {
    /// As deep as an image's directories, which hold a descriptor each.
    fn fill(
        &mut self,
        directory: &Found,
        descriptor: BorrowedFd<'_>,
        path: &Path,
        depth: usize,
    ) -> Result<(), RenderError> {
        if depth > MAX_DEPTH {
            return Err(ReadError::Damaged("directories in directories").into());
        }
        for (name, nid) in self.image.children(directory)? {
            self.entries += 1;
            let is_name = !name.is_empty() && name.len() <= MAX_NAME_COMPONENT;
            if !is_name || name.contains(&b'/') || self.entries > MAX_ENTRIES {
                return Err(ReadError::Damaged("names of files").into());
            }
            let name = Path::new(std::ffi::OsStr::from_bytes(&name));
            let place = Place {
                parent: descriptor,
                name,
                path: &path.join(name),
            };
            self.make(&self.image.inode(nid)?, &place, depth)?;
        }
        Ok(())
    }

    fn make(&mut self, file: &Found, place: &Place<'_>, depth: usize) -> Result<(), RenderError> {
        let at = place.path;
        if !file.is_directory() && file.links > 1 {
            if let Some(first) = self.linked.get(&file.nid) {
                return linkat(self.root, first, place.parent, place.name, AtFlags::empty())
                    .map_err(failed(at, "link"));
            }
            self.linked.insert(file.nid, at.to_owned());
        }
        match file.mode & TYPE_MASK {
            DIRECTORY => {
                mkdirat(place.parent, place.name, Mode::RWXU).map_err(failed(at, "directory"))?;
                let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let made = openat(place.parent, place.name, flags, Mode::empty());
                let made = made.map_err(failed(at, "open"))?;
                self.fill(file, made.as_fd(), at, depth + 1)?;
            }
            REGULAR => {
                let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
                let made = openat(place.parent, place.name, flags, Mode::RUSR | Mode::WUSR);
                let mut made = File::from(made.map_err(failed(at, "file"))?);
                self.image.copy_to(file, &mut made)?;
            }
            SYMLINK => {
                let target = self.image.link_target(file)?;
                symlinkat(&target[..], place.parent, place.name)
                    .map_err(failed(at, "symbolic link"))?;
            }
            other => make_node(file, other, place)?,
        }
        self.dress(file, place)
    }

    /// Owner, mode, attributes, times: in this order, for a change of owner takes the set-user-id bit and capabilities away, and every other change
    /// the time.
    fn dress(&self, file: &Found, place: &Place<'_>) -> Result<(), RenderError> {
        let Place { parent, name, path } = *place;
        let itself = AtFlags::SYMLINK_NOFOLLOW;
        let owner = (Uid::from_raw(file.uid), Gid::from_raw(file.gid));
        chownat(parent, name, Some(owner.0), Some(owner.1), itself)
            .map_err(failed(path, "owner"))?;
        if file.mode & TYPE_MASK != SYMLINK {
            let mode = Mode::from_raw_mode(u32::from(file.mode & !TYPE_MASK));
            chmodat(parent, name, mode, AtFlags::empty()).map_err(failed(path, "mode"))?;
        }
        // There is no call that takes a parent's descriptor.
        let full = Path::new("/proc/self/fd")
            .join(parent.as_raw_fd().to_string())
            .join(name);
        for (attribute, value) in self.image.xattrs(file)? {
            if comes_along(&attribute) {
                lsetxattr(&full, &attribute[..], &value, XattrFlags::empty())
                    .map_err(failed(path, "extended attribute"))?;
            }
        }
        let time = |Timestamp { seconds, nanos }| Timespec {
            tv_sec: seconds,
            tv_nsec: nanos.into(),
        };
        let times = Timestamps {
            last_access: time(file.mtime),
            last_modification: time(file.mtime),
        };
        utimensat(parent, name, &times, itself).map_err(failed(path, "times"))
    }
}

fn make_node(file: &Found, kind: u16, place: &Place<'_>) -> Result<(), RenderError> {
    let kind = match kind {
        CHARACTER_DEVICE => FileType::CharacterDevice,
        BLOCK_DEVICE => FileType::BlockDevice,
        FIFO => FileType::Fifo,
        _ => return Err(ReadError::Damaged("a type of files").into()),
    };
    let (major, minor) = match kind {
        FileType::Fifo => (0, 0),
        _ => decode_device(file.first_block),
    };
    let number = makedev(major, minor);
    mknodat(place.parent, place.name, kind, Mode::empty(), number)
        .map_err(failed(place.path, "device or pipe"))
}

fn comes_along(attribute: &[u8]) -> bool {
    attribute.starts_with(b"user.")
        || matches!(
            attribute,
            b"security.capability" | b"system.posix_acl_access" | b"system.posix_acl_default"
        )
}

fn failed(path: &Path, step: &'static str) -> impl FnOnce(Errno) -> RenderError {
    move |errno| RenderError::Make {
        path: Escaped::new(path.as_os_str().as_bytes()),
        step,
        source: errno.into(),
    }
}

#[cfg(test)]
#[path = "render_test.rs"]
mod tests;
