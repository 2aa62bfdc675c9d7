//! A copy of a directory of an image: contents, owners, modes, times, links, extended attributes.
//!
//! The image is read-only and the copy is nobody's but ours until it is whole, so that names can be trusted between two calls.
//! Memory is spent for each directory and each file of several names; it is the app's, and within its limit.

use std::collections::HashMap;
use std::fs::{self, DirBuilder, File, Metadata, Permissions};
use std::io;
use std::os::unix::fs::{
    DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt, fchown, lchown, symlink,
};
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, FileType, Mode, Timespec, Timestamps, XattrFlags, lgetxattr, llistxattr,
    lsetxattr, mknodat, utimensat,
};
use rustix::io::Errno;

/// All names of a file's extended attributes (`XATTR_LIST_MAX`, `include/uapi/linux/limits.h`).
const NAMES_MAX: usize = 65_536;

/// The value of one (`XATTR_SIZE_MAX`, likewise).
const VALUE_MAX: usize = 65_536;

/// A file that cannot be copied.
#[derive(Debug, thiserror::Error)]
#[error("copy {path:?} of the image")]
pub struct CopyError {
    path: PathBuf,
    source: io::Error,
}

/// Copies what is in the directory `from` into the directory `to`, which is there, and its attributes.
///
/// # Errors
/// Names the file. What was copied until then stays.
pub fn copy_tree(from: &Path, to: &Path) -> Result<(), CopyError> {
    let mut copy = Copy {
        from,
        to,
        names: HashMap::new(),
        buffer: vec![0; VALUE_MAX],
    };
    let mut directories = vec![PathBuf::new()];
    let mut index = 0;
    while let Some(directory) = directories.get(index).cloned() {
        index += 1;
        let failed = |source| CopyError {
            path: from.join(&directory),
            source,
        };
        for entry in fs::read_dir(from.join(&directory)).map_err(failed)? {
            let name = directory.join(entry.map_err(failed)?.file_name());
            let is_directory = copy.entry(&name).map_err(|source| CopyError {
                path: from.join(&name),
                source,
            })?;
            if is_directory {
                directories.push(name);
            }
        }
    }
    // The innermost first: their times are right once nothing is made in them any more.
    for directory in directories.iter().rev() {
        copy.finish(directory).map_err(|source| CopyError {
            path: from.join(directory),
            source,
        })?;
    }
    Ok(())
}

struct Copy<'a> {
    from: &'a Path,
    to: &'a Path,
    /// The first name of each file that has several, by its number in the image.
    names: HashMap<(u64, u64), PathBuf>,
    buffer: Vec<u8>,
}

impl Copy<'_> {
    /// Copies one entry; a directory without what is in it and its attributes. Whether it is one.
    fn entry(&mut self, name: &Path) -> io::Result<bool> {
        let (from, to) = (self.from.join(name), self.to.join(name));
        let metadata = fs::symlink_metadata(&from)?;
        if metadata.is_dir() {
            DirBuilder::new().mode(0o700).create(&to)?;
            return Ok(true);
        }
        if metadata.nlink() > 1 {
            let number = (metadata.dev(), metadata.ino());
            if let Some(first) = self.names.get(&number) {
                fs::hard_link(first, &to)?;
                return Ok(false);
            }
            self.names.insert(number, to.clone());
        }
        self.make(&from, &to, &metadata)?;
        self.attributes(&from, &to)?;
        times(&to, &metadata)?;
        Ok(false)
    }

    fn make(&mut self, from: &Path, to: &Path, metadata: &Metadata) -> io::Result<()> {
        let kind = metadata.file_type();
        if kind.is_symlink() {
            symlink(fs::read_link(from)?, to)?;
            return lchown(to, Some(metadata.uid()), Some(metadata.gid()));
        }
        if kind.is_file() {
            let mut file = File::create_new(to)?;
            io::copy(&mut File::open(from)?, &mut file)?;
            fchown(&file, Some(metadata.uid()), Some(metadata.gid()))?;
            return file.set_permissions(Permissions::from_mode(metadata.mode() & 0o7777));
        }
        let node = if kind.is_fifo() {
            FileType::Fifo
        } else if kind.is_socket() {
            FileType::Socket
        } else if kind.is_block_device() {
            FileType::BlockDevice
        } else {
            FileType::CharacterDevice
        };
        mknodat(CWD, to, node, Mode::empty(), metadata.rdev())?;
        lchown(to, Some(metadata.uid()), Some(metadata.gid()))?;
        fs::set_permissions(to, Permissions::from_mode(metadata.mode() & 0o7777))
    }

    /// Extended attributes. Setting the owner before has taken nothing from them.
    fn attributes(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let mut names = vec![0_u8; NAMES_MAX];
        let length = match llistxattr(from, &mut names[..]) {
            Ok(length) => length,
            Err(Errno::OPNOTSUPP) => return Ok(()),
            Err(errno) => return Err(errno.into()),
        };
        for name in names[..length]
            .split(|byte| *byte == 0)
            .filter(|n| !n.is_empty())
        {
            let length = lgetxattr(from, name, &mut self.buffer[..])?;
            match lsetxattr(to, name, &self.buffer[..length], XattrFlags::empty()) {
                // An attribute that the guest's ext4 does not know means nothing there.
                Ok(()) | Err(Errno::OPNOTSUPP) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(())
    }

    fn finish(&mut self, name: &Path) -> io::Result<()> {
        let (from, to) = (self.from.join(name), self.to.join(name));
        let metadata = fs::symlink_metadata(&from)?;
        lchown(&to, Some(metadata.uid()), Some(metadata.gid()))?;
        fs::set_permissions(&to, Permissions::from_mode(metadata.mode() & 0o7777))?;
        self.attributes(&from, &to)?;
        times(&to, &metadata)
    }
}

/// Of the file itself, not of what it links to.
fn times(path: &Path, metadata: &Metadata) -> io::Result<()> {
    let at = |seconds, nanoseconds| Timespec {
        tv_sec: seconds,
        tv_nsec: nanoseconds,
    };
    let times = Timestamps {
        last_access: at(metadata.atime(), metadata.atime_nsec()),
        last_modification: at(metadata.mtime(), metadata.mtime_nsec()),
    };
    Ok(utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW)?)
}

#[cfg(test)]
#[path = "fill_test.rs"]
mod tests;
