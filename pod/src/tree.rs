//! A second tree of names for the files of a first: directories are made anew, files are hard
//! links, so that a pod costs neither the bytes nor the page cache of its stage1 again.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{SeekFrom as DataSeek, seek};
use rustix::io::Errno;
use thiserror::Error;

/// Files and directories of one stage1 image. Ours has some twenty, rkt's systemd one 2,000.
const ENTRIES_MAX: usize = 16 * 1024;

/// Which step failed, and on which file.
#[derive(Debug, Error)]
pub enum TreeError {
    /// A system call failed.
    #[error("{action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// The tree has more entries than a stage1 image has.
    #[error("{} has more than {ENTRIES_MAX} entries", path.display())]
    TooLarge {
        /// The tree's root.
        path: PathBuf,
    },
    /// A socket, device or pipe.
    #[error("{} is neither file, directory nor symbolic link", path.display())]
    Special {
        /// The entry.
        path: PathBuf,
    },
}

impl TreeError {
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io {
            action,
            path: path.to_owned(),
            source,
        }
    }
}

/// What an entry of a tree is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EntryKind {
    Directory,
    File,
    SymbolicLink,
}

/// Visits `root`'s entries, each directory before what is in it. Symbolic links are not followed.
pub(crate) fn walk(
    root: &Path,
    mut visit: impl FnMut(&Path, EntryKind) -> Result<(), TreeError>,
) -> Result<(), TreeError> {
    let mut entries = 0;
    let mut pending = vec![root.to_owned()];
    while let Some(directory) = pending.pop() {
        visit(&directory, EntryKind::Directory)?;
        for entry in fs::read_dir(&directory).map_err(TreeError::io("list", &directory))? {
            let entry = entry.map_err(TreeError::io("list", &directory))?;
            entries += 1;
            if entries > ENTRIES_MAX {
                return Err(TreeError::TooLarge {
                    path: root.to_owned(),
                });
            }
            let path = entry.path();
            let kind = entry.file_type().map_err(TreeError::io("read", &path))?;
            if kind.is_dir() {
                pending.push(path);
            } else if kind.is_file() {
                visit(&path, EntryKind::File)?;
            } else if kind.is_symlink() {
                visit(&path, EntryKind::SymbolicLink)?;
            } else {
                return Err(TreeError::Special { path });
            }
        }
    }
    Ok(())
}

/// Makes `target` a tree like `source`; symbolic links are made anew.
pub(crate) fn link_tree(source: &Path, target: &Path) -> Result<(), TreeError> {
    make_tree(source, target, link_or_copy)
}

/// The same with files of its own.
pub(crate) fn copy_tree(source: &Path, target: &Path) -> Result<(), TreeError> {
    make_tree(source, target, copy_sparse)
}

fn make_tree(
    source: &Path,
    target: &Path,
    make_file: impl Fn(&Path, &Path) -> Result<(), TreeError>,
) -> Result<(), TreeError> {
    walk(source, |from, kind| {
        let below = from
            .strip_prefix(source)
            .expect("walk stays below its root");
        // Joining nothing would add a slash, and with it follow a link.
        let to = if below.as_os_str().is_empty() {
            target.to_owned()
        } else {
            target.join(below)
        };
        match kind {
            EntryKind::Directory => {
                let mode = fs::metadata(from)
                    .map_err(TreeError::io("read", from))?
                    .mode();
                fs::DirBuilder::new()
                    .mode(mode & 0o777)
                    .create(&to)
                    .map_err(TreeError::io("create directory", &to))
            }
            EntryKind::File => make_file(from, &to),
            EntryKind::SymbolicLink => {
                let text = fs::read_link(from).map_err(TreeError::io("read", from))?;
                symlink(text, &to).map_err(TreeError::io("create", &to))
            }
        }
    })
}

/// A hard link, or a copy where the kernel refuses one: on another file system (EXDEV), for a file
/// of another user (EPERM, `fs.protected_hardlinks`), or with too many links (EMLINK).
pub(crate) fn link_or_copy(source: &Path, target: &Path) -> Result<(), TreeError> {
    let refused = match fs::hard_link(source, target) {
        Ok(()) => return Ok(()),
        Err(error) => error,
    };
    match Errno::from_io_error(&refused) {
        Some(Errno::XDEV | Errno::PERM | Errno::MLINK | Errno::OPNOTSUPP) => {
            copy_sparse(source, target)
        }
        _ => Err(TreeError::io("link", source)(refused)),
    }
}

/// Copies a file's data and permissions, and leaves its holes holes.
pub(crate) fn copy_sparse(source: &Path, target: &Path) -> Result<(), TreeError> {
    let mut from = File::open(source).map_err(TreeError::io("open", source))?;
    let metadata = from.metadata().map_err(TreeError::io("read", source))?;
    let mut to = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(metadata.mode() & 0o777)
        .open(target)
        .map_err(TreeError::io("create", target))?;
    let write = TreeError::io("copy to", target);
    copy_data(&mut from, &mut to, metadata.len()).map_err(write)?;
    // The mode at creation is cut by the caller's umask; programs must stay executable.
    let permissions = fs::Permissions::from_mode(metadata.mode() & 0o777);
    to.set_permissions(permissions)
        .map_err(TreeError::io("set mode of", target))
}

fn copy_data(from: &mut File, to: &mut File, length: u64) -> io::Result<()> {
    to.set_len(length)?;
    let mut offset = 0;
    loop {
        let start = match seek(&*from, DataSeek::Data(offset)) {
            Ok(start) => start,
            // No data from here to the end.
            Err(Errno::NXIO) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let end = seek(&*from, DataSeek::Hole(start))?;
        from.seek(SeekFrom::Start(start))?;
        to.seek(SeekFrom::Start(start))?;
        let copied = io::copy(&mut (&*from).take(end - start), to)?;
        if copied != end - start {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "file became shorter",
            ));
        }
        offset = end;
    }
}

#[cfg(test)]
#[path = "tree_test.rs"]
mod tests;
