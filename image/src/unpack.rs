//! A stage1 image's archive onto the host's file system.
//!
//! Its entries go through the same tree in memory as those of any image, which refuses what is no tree: `..`, duplicates, anything below
//! a link. What it has taken is then made below one open directory, by system calls that neither leave it nor follow a link.
//!
//! Everything belongs to whoever unpacks. Set-id bits, attributes and times are left out: the files run on the host, as programs of its own.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::Path;

use rustix::fs::{
    AtFlags, CWD, Mode, OFlags, ResolveFlags, fchmod, linkat, mkdirat, openat, openat2, symlinkat,
};
use rustix::io::{Errno, fcntl_dupfd_cloexec};

use crate::bytes::Escaped;
use crate::convert::{ConvertError, Rules, in_entry};
use crate::limits::{MAX_STAGE1_BYTES, MAX_STAGE1_DATA_BYTES, MAX_STAGE1_ENTRIES};
use crate::tar::{Entry, EntryKind, Skip, TarReader, Timestamp};
use crate::tree::{Duplicates, FileData, Kind, Metadata, Tree, TreePath, XattrSet};

/// Holes are made of zeros by the block of most file systems.
const BLOCK: usize = 4096;
const ZEROS: [u8; BLOCK] = [0; BLOCK];

/// Data is read in pieces of this size.
const BUFFER_BYTES: usize = 64 * BLOCK;

/// Permissions that a directory has at least: whoever made it makes entries in it, and deletes them.
const DIRECTORY_MODE: u16 = 0o700;
/// The same of a file, which is read and linked.
const FILE_MODE: u16 = 0o400;
const PERMISSIONS: u16 = 0o777;

/// The directory below the image's own.
const ROOT: &str = "rootfs";

/// A stage1 image that is being unpacked.
pub(crate) struct Unpacking {
    root: OwnedFd,
    /// What there is, to judge the next entry by.
    tree: Tree,
    /// Lengths of all files.
    bytes: u64,
    /// What was written of them.
    written: u64,
    hard_links: usize,
    buffer: Box<[u8]>,
}

impl Unpacking {
    /// Into `rootfs` below a directory where there is none.
    pub(crate) fn into(directory: &Path) -> Result<Self, ConvertError> {
        let path = directory.join(ROOT);
        let failed = failed("make", ROOT.as_bytes());
        let made = mkdirat(CWD, &path, mode(0o755))
            .and_then(|()| openat(CWD, &path, directory_flags(), Mode::empty()));
        Ok(Self {
            root: made.map_err(failed)?,
            tree: Tree::new(),
            bytes: 0,
            written: 0,
            hard_links: 0,
            buffer: vec![0; BUFFER_BYTES].into_boxed_slice(),
        })
    }

    /// Makes what an entry says, at this path below the root.
    pub(crate) fn add<S: Skip>(
        &mut self,
        reader: &mut TarReader<S>,
        entry: &Entry,
        path: &TreePath,
    ) -> Result<(), ConvertError> {
        if let EntryKind::HardLink { target } = &entry.kind {
            let target = Rules::Aci.link_target(target).map_err(in_entry(entry))?;
            self.tree
                .insert_hard_link(path, &target, Duplicates::Refuse)
                .map_err(in_entry(entry))?;
            self.hard_links += 1;
            self.check_entries(entry)?;
            return self
                .link(&target, path)
                .map_err(failed("link", &entry.path));
        }
        let kind = kind(entry)?;
        self.tree
            .insert(path, metadata(), kind, Duplicates::Refuse)
            .map_err(in_entry(entry))?;
        self.check_entries(entry)?;
        let failed = failed("make", &entry.path);
        match &entry.kind {
            EntryKind::Directory => self.make_directory(path, entry.mode).map_err(failed),
            EntryKind::Symlink { target } => self.make_link(path, target).map_err(failed),
            &EntryKind::File { size } => {
                let file = self.create(path, entry.mode).map_err(failed)?;
                self.fill(&file, size, reader, entry)
            }
            _ => unreachable!("kind() has refused it"),
        }
    }

    fn check_entries(&self, entry: &Entry) -> Result<(), ConvertError> {
        match self.tree.nodes().len() + self.hard_links > MAX_STAGE1_ENTRIES {
            true => Err(too_large(entry, MAX_STAGE1_ENTRIES as u64, "entries")),
            false => Ok(()),
        }
    }

    fn make_directory(&self, path: &TreePath, permissions: u16) -> Result<(), Errno> {
        let permissions = mode(permissions | DIRECTORY_MODE);
        let Some((parents, name)) = path.split_last() else {
            return fchmod(&self.root, permissions);
        };
        let parent = self.parent(parents)?;
        match mkdirat(&parent, name, Mode::RWXU) {
            // The tree has taken it: it was made as the parent of an entry before.
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error),
        }
        let flags = directory_flags() | OFlags::NOFOLLOW;
        fchmod(openat(&parent, name, flags, Mode::empty())?, permissions)
    }

    fn make_link(&self, path: &TreePath, target: &[u8]) -> Result<(), Errno> {
        let (parents, name) = path.split_last().ok_or(Errno::EXIST)?;
        symlinkat(target, self.parent(parents)?, name)
    }

    fn link(&self, target: &TreePath, path: &TreePath) -> Result<(), Errno> {
        let (from, old) = target.split_last().ok_or(Errno::ISDIR)?;
        let (to, new) = path.split_last().ok_or(Errno::EXIST)?;
        let (from, to) = (self.parent(from)?, self.parent(to)?);
        linkat(from, old, to, new, AtFlags::empty())
    }

    fn create(&self, path: &TreePath, permissions: u16) -> Result<File, Errno> {
        let (parents, name) = path.split_last().ok_or(Errno::EXIST)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let file = openat(self.parent(parents)?, name, flags, Mode::RUSR | Mode::WUSR)?;
        // The caller's umask has no say in what is a program.
        fchmod(&file, mode(permissions | FILE_MODE))?;
        Ok(file.into())
    }

    /// Opens the directory of an entry, and makes what is missing of it.
    fn parent(&self, parents: &[Box<[u8]>]) -> Result<OwnedFd, Errno> {
        if parents.is_empty() {
            return fcntl_dupfd_cloexec(&self.root, 0);
        }
        let path = parents.join(&b'/');
        match openat2(&self.root, &*path, directory_flags(), Mode::empty(), INSIDE) {
            Err(Errno::NOENT) => {}
            opened => return opened,
        }
        let mut directory = fcntl_dupfd_cloexec(&self.root, 0)?;
        for name in parents {
            match mkdirat(&directory, &**name, mode(0o755)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => return Err(error),
            }
            let flags = directory_flags() | OFlags::NOFOLLOW;
            directory = openat(&directory, &**name, flags, Mode::empty())?;
        }
        Ok(directory)
    }

    /// Writes a file's data, but for its zeros.
    fn fill<S: Skip>(
        &mut self,
        file: &File,
        size: u64,
        reader: &mut TarReader<S>,
        entry: &Entry,
    ) -> Result<(), ConvertError> {
        let bytes = self.bytes.checked_add(size);
        self.bytes = bytes
            .filter(|&bytes| bytes <= MAX_STAGE1_BYTES)
            .ok_or_else(|| too_large(entry, MAX_STAGE1_BYTES, "bytes of files"))?;
        let failed = |error: io::Error| ConvertError::Unpack {
            what: "write",
            entry: Escaped::new(&entry.path),
            source: error,
        };
        let mut position = 0;
        while position < size {
            let left = usize::try_from(size - position).unwrap_or(BUFFER_BYTES);
            let piece = &mut self.buffer[..left.min(BUFFER_BYTES)];
            reader.read_all(piece)?;
            for run in runs_of_data(piece) {
                self.written += run.len() as u64;
                if self.written > MAX_STAGE1_DATA_BYTES {
                    return Err(too_large(entry, MAX_STAGE1_DATA_BYTES, "bytes of data"));
                }
                let at = position + run.start as u64;
                file.write_all_at(&piece[run], at).map_err(failed)?;
            }
            position += piece.len() as u64;
        }
        file.set_len(size).map_err(failed)
    }
}

/// The parts of a piece that are not zeros, by whole blocks.
fn runs_of_data(piece: &[u8]) -> Vec<Range<usize>> {
    let mut runs: Vec<Range<usize>> = Vec::new();
    for (index, block) in piece.chunks(BLOCK).enumerate() {
        let start = index * BLOCK;
        let end = start + block.len();
        match runs.last_mut() {
            _ if block == &ZEROS[..block.len()] => {}
            Some(run) if run.end == start => run.end = end,
            _ => runs.push(start..end),
        }
    }
    runs
}

fn kind(entry: &Entry) -> Result<Kind, ConvertError> {
    let what = match &entry.kind {
        EntryKind::Directory => return Ok(Kind::Directory(BTreeMap::new())),
        EntryKind::File { .. } => return Ok(Kind::File(FileData::default())),
        EntryKind::Symlink { target } => return Ok(Kind::Symlink(target.as_slice().into())),
        EntryKind::HardLink { .. } => unreachable!("handled by the caller"),
        EntryKind::CharDevice { .. } | EntryKind::BlockDevice { .. } => "a device",
        EntryKind::Fifo => "a fifo",
    };
    Err(ConvertError::NotForStage1 {
        entry: Escaped::new(&entry.path),
        what,
    })
}

/// The tree is asked for its shape alone.
fn metadata() -> Metadata {
    Metadata {
        mode: 0,
        uid: 0,
        gid: 0,
        mtime: Timestamp::default(),
        xattrs: XattrSet::default(),
    }
}

/// Without set-id and sticky bits.
fn mode(permissions: u16) -> Mode {
    Mode::from_raw_mode((permissions & PERMISSIONS).into())
}

fn directory_flags() -> OFlags {
    OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC
}

/// Never out of the image, and never over a link.
const INSIDE: ResolveFlags = ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS);

fn failed(what: &'static str, entry: &[u8]) -> impl FnOnce(Errno) -> ConvertError {
    let entry = Escaped::new(entry);
    move |errno| ConvertError::Unpack {
        what,
        entry,
        source: errno.into(),
    }
}

fn too_large(entry: &Entry, bound: u64, what: &'static str) -> ConvertError {
    ConvertError::Stage1TooLarge {
        entry: Escaped::new(&entry.path),
        bound,
        what,
    }
}
