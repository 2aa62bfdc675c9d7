//! What runs in an app that is exported, in place of a program: its root as a tar archive on standard output.
//!
//! Nothing else runs there, and nothing is mounted in it: the tree is what the image and the app have made of it. Entries come in
//! the order of their names, a directory before what is in it, so that the same tree makes the same bytes. Sockets are left out:
//! nobody listens at them any more, and archives have no word for them.

mod archive;

use std::collections::HashMap;
use std::collections::hash_map::Entry as Seen;
use std::ffi::{CString, OsStr, OsString};
use std::fs::{self, File, Metadata};
use std::io::{self, BufWriter, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, lgetxattr, llistxattr, major, minor, open};

use crate::reason::reason;
use archive::{Archive, Entry, Kind};

/// What the entries' names begin with.
const PREFIX: &str = "rootfs";

/// Bytes that are written at a time.
const BUFFER: usize = 64 << 10;

/// What is exported of a file's extended attributes: those that say what it is, and not how this machine labels or stores it.
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
pub enum ExportError {
    /// Something in it cannot be read.
    #[error("{action} {path:?}")]
    Read {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// Nobody takes the archive.
    #[error("write the archive")]
    Write(#[from] io::Error),
}

/// Writes the root of this process to its standard output, and gives the code to end with.
pub fn run() -> u8 {
    // A copy, so that it can be closed like any file.
    let written = rustix::io::dup(rustix::stdio::stdout())
        .map_err(|errno| ExportError::Write(errno.into()))
        .and_then(|output| write_tree(Path::new("/"), output));
    let said = match &written {
        Ok(0) => return 0,
        Ok(1) => "one socket is left out".to_owned(),
        Ok(sockets) => format!("{sockets} sockets are left out"),
        Err(error) => format!("{}", reason(error)),
    };
    // Who does not listen is not told.
    let _ = writeln!(io::stderr(), "export: {said}");
    u8::from(written.is_err())
}

/// Writes what lies at `root` as an archive, and tells how many sockets were left out.
///
/// # Errors
/// When something cannot be read, or not written.
pub fn write_tree(root: &Path, output: OwnedFd) -> Result<u64, ExportError> {
    let mut export = Export {
        archive: Archive::new(BufWriter::with_capacity(BUFFER, File::from(output))),
        links: HashMap::new(),
        sockets: 0,
    };
    let metadata = fs::symlink_metadata(root).map_err(read("look at", root))?;
    export.directory(root, PREFIX.as_bytes(), &metadata)?;
    export.below(root)?;
    export.archive.finish()?;
    Ok(export.sockets)
}

struct Export<W> {
    archive: Archive<W>,
    /// Files of several names: device and inode, and the name in the archive that they came by.
    links: HashMap<(u64, u64), Vec<u8>>,
    sockets: u64,
}

impl<W: Write> Export<W> {
    /// All that is in a directory, as deep as a path can be: what lies deeper is an error, for no image could have it.
    fn below(&mut self, root: &Path) -> Result<(), ExportError> {
        let mut path = root.to_owned();
        let mut name = PREFIX.as_bytes().to_vec();
        let mut directories = vec![(names_in(root)?, name.len())];
        while let Some((names, length)) = directories.last_mut() {
            name.truncate(*length);
            let Some(next) = names.next() else {
                directories.pop();
                path.pop();
                continue;
            };
            path.push(&next);
            name.push(b'/');
            name.extend_from_slice(next.as_bytes());
            let metadata = fs::symlink_metadata(&path).map_err(read("look at", &path))?;
            if metadata.is_dir() {
                self.directory(&path, &name, &metadata)?;
                directories.push((names_in(&path)?, name.len()));
            } else {
                self.leaf(&path, &name, &metadata)?;
                path.pop();
            }
        }
        Ok(())
    }

    fn directory(
        &mut self,
        path: &Path,
        name: &[u8],
        metadata: &Metadata,
    ) -> Result<(), ExportError> {
        let name = [name, b"/"].concat();
        let entry = entry(path, &name, metadata, Kind::Directory)?;
        Ok(self.archive.add(&entry)?)
    }

    fn leaf(&mut self, path: &Path, name: &[u8], metadata: &Metadata) -> Result<(), ExportError> {
        let kind = metadata.file_type();
        let device = || (major(metadata.rdev()), minor(metadata.rdev()));
        if kind.is_socket() {
            self.sockets += 1;
            return Ok(());
        }
        if metadata.nlink() > 1 {
            match self.links.entry((metadata.dev(), metadata.ino())) {
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
            return self.file(path, name, metadata);
        }
        let kind = match () {
            () if kind.is_symlink() => {
                let target = fs::read_link(path).map_err(read("read the link", path))?;
                Kind::Symlink(target.into_os_string().into_vec())
            }
            () if kind.is_char_device() => Kind::CharDevice(device()),
            () if kind.is_block_device() => Kind::BlockDevice(device()),
            () => Kind::Fifo,
        };
        let entry = entry(path, name, metadata, kind)?;
        Ok(self.archive.add(&entry)?)
    }

    fn file(&mut self, path: &Path, name: &[u8], metadata: &Metadata) -> Result<(), ExportError> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = open(path, flags, Mode::empty())
            .map_err(io::Error::from)
            .map_err(read("open", path))?;
        let entry = entry(path, name, metadata, Kind::File(metadata.len()))?;
        self.archive.add(&entry)?;
        self.archive
            .content(&mut File::from(file), metadata.len(), read("read", path))
    }
}

fn entry<'a>(
    path: &Path,
    name: &'a [u8],
    metadata: &Metadata,
    kind: Kind,
) -> Result<Entry<'a>, ExportError> {
    let attributes = attributes(path).map_err(read("read the extended attributes of", path))?;
    Ok(Entry::new(name, metadata, kind, attributes))
}

/// Names and values, in order of the names.
fn attributes(path: &Path) -> io::Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let mut list = vec![0; MAX_ATTRIBUTES];
    let length = llistxattr(&path, &mut list)?;
    let mut found = Vec::new();
    for name in list[..length].split(|byte| *byte == 0) {
        if !ATTRIBUTES.iter().any(|known| name.starts_with(known)) {
            continue;
        }
        let mut value = vec![0; MAX_ATTRIBUTES];
        let length = lgetxattr(&path, name, &mut value)?;
        value.truncate(length);
        found.push((name.to_vec(), value));
    }
    found.sort();
    Ok(found)
}

fn names_in(directory: &Path) -> Result<std::vec::IntoIter<OsString>, ExportError> {
    let entries = fs::read_dir(directory).map_err(read("list", directory))?;
    let names: io::Result<Vec<_>> = entries.map(|entry| Ok(entry?.file_name())).collect();
    let mut names = names.map_err(read("list", directory))?;
    names.sort_by(|one, other| OsStr::cmp(one, other));
    Ok(names.into_iter())
}

fn read(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ExportError {
    let path = path.to_owned();
    move |source| ExportError::Read {
        action,
        path,
        source,
    }
}

#[cfg(test)]
#[path = "export_test.rs"]
mod tests;
