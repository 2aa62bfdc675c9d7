//! The tree, entry by entry.
//!
//! Entries come in the order of their names, a directory before what is in it, so that the same tree makes the same bytes. Sockets are
//! left out: nobody listens at them any more, and archives have no word for them.
//!
//! Whoever filled the tree wished no good. Each name is one component, looked up in the directory that is the working directory by then,
//! and no link is followed: nothing leads out. Only directories and regular files are opened, and neither can make the reader wait.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Seen;
use std::ffi::{CString, OsStr, OsString};
use std::fs::{self, File, Metadata};
use std::io::{self, BufWriter, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::PathBuf;

use nix::sched::{CloneFlags, unshare};
use rustix::fs::{Mode, OFlags, lgetxattr, llistxattr, major, minor, open};
use rustix::process::fchdir;

use crate::tar::{Archive, Attributes, Entry, Kind};

/// Entries of a tree: as many as an image may have. The names of one directory, and those of files with several, are held in memory.
pub const MAX_ENTRIES: usize = 1 << 20;

/// Bytes of all files of a tree together, holes included: as many as an image may have.
pub const MAX_BYTES: u64 = 256 << 30;

/// Directories in each other: as many as an image may have. So many are open at a time.
pub const MAX_DEPTH: usize = 256;

/// What the entries' names begin with.
const PREFIX: &[u8] = b"rootfs";

/// Bytes that are written at a time.
const BUFFER: usize = 64 << 10;

/// What is said of a file's extended attributes: those that say what it is, and not how this machine labels or stores it.
const ATTRIBUTES: [&[u8]; 4] = [
    b"user.",
    b"security.capability",
    b"system.posix_acl_access",
    b"system.posix_acl_default",
];

/// Longest list of names, and longest value (`XATTR_LIST_MAX`, `XATTR_SIZE_MAX`, `include/uapi/linux/limits.h`).
const MAX_ATTRIBUTES: usize = 65_536;

/// A tree that cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    /// Something in it cannot be read.
    #[error("{action} {path:?}")]
    Read {
        /// What was tried.
        action: &'static str,
        /// On what, from the tree's root.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// Nobody takes the archive.
    #[error("write the archive")]
    Write(#[from] io::Error),
    /// Too many.
    #[error("{0:?}: the tree has more than {MAX_ENTRIES} entries")]
    Entries(PathBuf),
    /// Too much.
    #[error("{0:?}: the tree has more than {MAX_BYTES} bytes of files")]
    Bytes(PathBuf),
    /// Too deep.
    #[error("{0:?} is nested more than {MAX_DEPTH} directories deep")]
    Depth(PathBuf),
    /// Somebody is still at work there.
    #[error("{0:?} is another file by now")]
    Changed(PathBuf),
}

impl TreeError {
    /// Of what could not be read, by its path without the leading `/`.
    #[must_use]
    pub fn read(action: &'static str, path: &[u8], source: io::Error) -> Self {
        let path = path_of(&[PREFIX, b"/", path].concat());
        Self::Read {
            action,
            path,
            source,
        }
    }
}

/// Writes the tree of this directory, below the name `rootfs`, and tells how many sockets were left out. What is mounted in it is part of it.
///
/// The calling thread has a working directory of its own afterwards, somewhere in the tree.
///
/// # Errors
/// When something cannot be read, or not written, or there is more than an image may have.
pub fn write_tree(root: OwnedFd, output: impl Write) -> Result<u64, TreeError> {
    // The other threads' working directory stays.
    unshare(CloneFlags::CLONE_FS)
        .map_err(io::Error::from)
        .map_err(failed("leave the working directory for", PREFIX))?;
    let mut writer = TreeWriter {
        archive: Archive::new(BufWriter::with_capacity(BUFFER, output)),
        links: HashMap::new(),
        entries: 0,
        bytes: 0,
        sockets: 0,
    };
    writer.all(root)?;
    writer.archive.finish()?;
    Ok(writer.sockets)
}

struct TreeWriter<W> {
    archive: Archive<W>,
    /// Files of several names: device and inode, and the name in the archive that they came by.
    links: HashMap<(u64, u64), Vec<u8>>,
    /// How many names were listed.
    entries: usize,
    bytes: u64,
    sockets: u64,
}

/// One that is being read.
struct Directory {
    file: OwnedFd,
    names: std::vec::IntoIter<OsString>,
    /// That of its own name.
    length: usize,
}

impl<W: Write> TreeWriter<W> {
    fn all(&mut self, root: OwnedFd) -> Result<(), TreeError> {
        let mut name = PREFIX.to_vec();
        let mut directories = vec![self.enter(root, &name)?];
        while let Some(directory) = directories.last_mut() {
            name.truncate(directory.length);
            let Some(next) = directory.names.next() else {
                directories.pop();
                if let Some(parent) = directories.last() {
                    go_to(&parent.file, &name)?;
                }
                continue;
            };
            name.push(b'/');
            name.extend_from_slice(next.as_bytes());
            let metadata = fs::symlink_metadata(&next).map_err(failed("look at", &name))?;
            if !metadata.is_dir() {
                self.leaf(&next, &name, &metadata)?;
                continue;
            }
            if directories.len() > MAX_DEPTH {
                return Err(TreeError::Depth(path_of(&name)));
            }
            let file = open_as(&next, OFlags::DIRECTORY, &name)?;
            directories.push(self.enter(file, &name)?);
        }
        Ok(())
    }

    /// It is the working directory from here on.
    fn enter(&mut self, file: OwnedFd, name: &[u8]) -> Result<Directory, TreeError> {
        go_to(&file, name)?;
        let here = OsStr::new(".");
        let metadata = fs::symlink_metadata(here).map_err(failed("look at", name))?;
        let entry_name = [name, b"/"].concat();
        let attributes = attributes(here, name)?;
        let entry = Entry::new(&entry_name, &metadata, Kind::Directory, attributes);
        self.archive.add(&entry)?;
        Ok(Directory {
            file,
            names: self.list(name)?,
            length: name.len(),
        })
    }

    /// The names in the working directory, in their order.
    fn list(&mut self, name: &[u8]) -> Result<std::vec::IntoIter<OsString>, TreeError> {
        let mut names = Vec::new();
        for entry in fs::read_dir(".").map_err(failed("list", name))? {
            self.entries += 1;
            if self.entries > MAX_ENTRIES {
                return Err(TreeError::Entries(path_of(name)));
            }
            names.push(entry.map_err(failed("list", name))?.file_name());
        }
        names.sort();
        Ok(names.into_iter())
    }

    fn leaf(&mut self, own: &OsStr, name: &[u8], metadata: &Metadata) -> Result<(), TreeError> {
        let kind = metadata.file_type();
        let device = || (major(metadata.rdev()), minor(metadata.rdev()));
        if kind.is_socket() {
            self.sockets += 1;
            return Ok(());
        }
        if metadata.nlink() > 1 {
            match self.links.entry(identity(metadata)) {
                Seen::Occupied(first) => {
                    let entry = Entry::link(name, first.get(), metadata);
                    return Ok(self.archive.add(&entry)?);
                }
                Seen::Vacant(place) => {
                    place.insert(name.to_vec());
                }
            }
        }
        if kind.is_file() {
            return self.file(own, name, metadata);
        }
        let kind = match () {
            () if kind.is_symlink() => {
                let target = fs::read_link(own).map_err(failed("read the link", name))?;
                Kind::Symlink(target.into_os_string().into_vec())
            }
            () if kind.is_char_device() => Kind::CharDevice(device()),
            () if kind.is_block_device() => Kind::BlockDevice(device()),
            () => Kind::Fifo,
        };
        let entry = Entry::new(name, metadata, kind, attributes(own, name)?);
        Ok(self.archive.add(&entry)?)
    }

    fn file(&mut self, own: &OsStr, name: &[u8], seen: &Metadata) -> Result<(), TreeError> {
        let mut file = File::from(open_as(own, OFlags::NONBLOCK | OFlags::NOCTTY, name)?);
        let metadata = file.metadata().map_err(failed("look at", name))?;
        if !metadata.is_file() || identity(&metadata) != identity(seen) {
            return Err(TreeError::Changed(path_of(name)));
        }
        let length = metadata.len();
        self.bytes = self.bytes.saturating_add(length);
        if self.bytes > MAX_BYTES {
            return Err(TreeError::Bytes(path_of(name)));
        }
        let attributes = attributes(own, name)?;
        let entry = Entry::new(name, &metadata, Kind::File(length), attributes);
        self.archive.add(&entry)?;
        self.archive
            .content(&mut file, length, failed("read", name))
    }
}

fn identity(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

fn go_to(directory: &OwnedFd, name: &[u8]) -> Result<(), TreeError> {
    let gone = fchdir(directory).map_err(io::Error::from);
    gone.map_err(failed("enter", name))
}

/// Opens what is in the working directory, and not what a link there points to.
fn open_as(own: &OsStr, flags: OFlags, name: &[u8]) -> Result<OwnedFd, TreeError> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | flags;
    let opened = open(own, flags, Mode::empty()).map_err(io::Error::from);
    opened.map_err(failed("open", name))
}

fn attributes(own: &OsStr, name: &[u8]) -> Result<Attributes, TreeError> {
    read_attributes(own).map_err(failed("read the extended attributes of", name))
}

fn read_attributes(own: &OsStr) -> io::Result<Attributes> {
    let own = CString::new(own.as_bytes())?;
    let mut list = vec![0; MAX_ATTRIBUTES];
    let length = llistxattr(&own, &mut list)?;
    let mut found = Vec::new();
    for name in list[..length].split(|byte| *byte == 0) {
        if !ATTRIBUTES.iter().any(|known| name.starts_with(known)) {
            continue;
        }
        let mut value = vec![0; MAX_ATTRIBUTES];
        let length = lgetxattr(&own, name, &mut value)?;
        value.truncate(length);
        found.push((name.to_vec(), value));
    }
    found.sort();
    Ok(found)
}

/// For messages: an entry's name as the app knew it.
fn path_of(name: &[u8]) -> PathBuf {
    let below = name.strip_prefix(PREFIX).unwrap_or(name);
    let path = if below.is_empty() { b"/" } else { below };
    PathBuf::from(OsString::from_vec(path.to_vec()))
}

fn failed(action: &'static str, name: &[u8]) -> impl FnOnce(io::Error) -> TreeError {
    let path = path_of(name);
    move |source| TreeError::Read {
        action,
        path,
        source,
    }
}

#[cfg(test)]
#[path = "tree_test.rs"]
mod tests;
