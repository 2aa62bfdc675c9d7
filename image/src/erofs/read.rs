//! A reader of our own images: one file by its path, as a process whose root is the image would find it; and what [`super::render`]
//! needs to find all of them.
//!
//! For questions that are asked before a pod runs. An image that was damaged on disk gives an error and no panic, in bounded time:
//! every offset is checked by the read itself, every walk by [`MAX_WALK`].

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::inode::{self, DataLayout};
use super::xattr::Attribute;
use super::{BLOCK, BLOCK_BYTES, packer, superblock, xattr};
use crate::limits::{MAX_SYMLINK_TARGET, MAX_WALK};
use crate::tar::Timestamp;

/// Bits of a mode that say what a file is (`S_IFMT`), and their values.
pub(super) const TYPE_MASK: u16 = 0o170_000;
pub(super) const DIRECTORY: u16 = 0o040_000;
pub(super) const REGULAR: u16 = 0o100_000;
pub(super) const SYMLINK: u16 = 0o120_000;
pub(super) const CHARACTER_DEVICE: u16 = 0o020_000;
pub(super) const BLOCK_DEVICE: u16 = 0o060_000;
pub(super) const FIFO: u16 = 0o010_000;

/// An image of the store, open.
#[derive(Debug)]
pub struct Filesystem {
    image: File,
    root: u64,
    blocks: u32,
    metadata_block: u32,
    build_time: Timestamp,
}

/// An image that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file system that holds it failed, or it is too short.
    #[error("read the image")]
    Io(#[from] io::Error),
    /// What is there was not written by us.
    #[error("the image is damaged: {0}")]
    Damaged(&'static str),
}

/// A file of an image.
#[derive(Debug, Clone, Copy)]
pub struct Found {
    /// Owner.
    pub uid: u32,
    /// Owning group.
    pub gid: u32,
    /// Type and permission bits.
    pub(super) mode: u16,
    pub(super) size: u64,
    pub(super) links: u32,
    pub(super) mtime: Timestamp,
    /// Whose file it is, for all its names.
    pub(super) nid: u64,
    layout: DataLayout,
    /// Or the device's number.
    pub(super) first_block: u32,
    /// Offset and bytes of the attributes.
    xattrs: (u64, usize),
    /// Offset of what lies behind inode and attributes.
    inline_at: u64,
}

impl Found {
    /// Whether it is a directory.
    pub fn is_directory(&self) -> bool {
        self.mode & TYPE_MASK == DIRECTORY
    }

    /// Whether it is a regular file.
    pub fn is_file(&self) -> bool {
        self.mode & TYPE_MASK == REGULAR
    }

    pub(crate) fn is_symlink(&self) -> bool {
        self.mode & TYPE_MASK == SYMLINK
    }
}

/// What is at the end of a path.
#[derive(Debug, Clone, Copy)]
pub enum Lookup {
    /// A file of any kind but a link.
    Found(Found),
    /// Nothing, or a loop of links.
    Missing {
        /// The path led over a symbolic link: it names another place than it seems to.
        over_link: bool,
    },
}

impl Lookup {
    /// The file, if there is one.
    pub fn found(self) -> Option<Found> {
        match self {
            Self::Found(found) => Some(found),
            Self::Missing { .. } => None,
        }
    }
}

impl Filesystem {
    /// Opens an image that [`Store`](crate::Store) holds.
    ///
    /// # Errors
    /// When it is not there or no image.
    pub fn open(path: &Path) -> Result<Self, ReadError> {
        Self::of(File::open(path)?)
    }

    /// The same of an open file.
    pub(crate) fn of(image: File) -> Result<Self, ReadError> {
        let mut bytes = [0; superblock::LENGTH];
        image.read_exact_at(&mut bytes, superblock::OFFSET as u64)?;
        let found = superblock::decode(&bytes).ok_or(ReadError::Damaged("no superblock"))?;
        Ok(Self {
            image,
            root: u64::from(found.root),
            blocks: found.blocks,
            metadata_block: found.metadata_block,
            build_time: found.build_time,
        })
    }

    /// Finds `path`, which is taken from the image's root, and follows links.
    ///
    /// # Errors
    /// When the image cannot be read.
    pub fn lookup(&self, path: &str) -> Result<Lookup, ReadError> {
        self.walk(path, true)
    }

    /// The same, but for a link at its end, which is what is found.
    ///
    /// # Errors
    /// When the image cannot be read.
    pub fn lookup_itself(&self, path: &str) -> Result<Lookup, ReadError> {
        self.walk(path, false)
    }

    /// The content of a regular file; `None` when it is longer than `most`.
    ///
    /// # Errors
    /// When the image cannot be read.
    pub fn read(&self, file: &Found, most: usize) -> Result<Option<Vec<u8>>, ReadError> {
        match usize::try_from(file.size) {
            Ok(size) if size <= most => self.data(file, 0, size).map(Some),
            _ => Ok(None),
        }
    }

    pub(crate) fn root(&self) -> Result<Found, ReadError> {
        self.inode(self.root)
    }

    /// What a symbolic link says.
    pub(crate) fn link_target(&self, link: &Found) -> Result<Vec<u8>, ReadError> {
        let target = self.read(link, MAX_SYMLINK_TARGET)?;
        target.ok_or(ReadError::Damaged("a link without end"))
    }

    /// The names of a directory, with what they name.
    pub(crate) fn children(&self, directory: &Found) -> Result<Vec<(Vec<u8>, u64)>, ReadError> {
        let damaged = || ReadError::Damaged("a directory's block");
        let mut children = Vec::new();
        for block in self.blocks_of(directory)? {
            let block = block?;
            for entry in super::dirents::entries(&block).ok_or_else(damaged)? {
                let (name, nid) = entry.ok_or_else(damaged)?;
                if name != b"." && name != b".." {
                    children.push((name.to_vec(), nid));
                }
            }
        }
        Ok(children)
    }

    /// Extended attributes.
    pub(crate) fn xattrs(&self, file: &Found) -> Result<Vec<Attribute>, ReadError> {
        let (at, length) = file.xattrs;
        if length == 0 {
            return Ok(Vec::new());
        }
        let mut bytes = vec![0; length];
        self.image.read_exact_at(&mut bytes, at)?;
        xattr::decode(&bytes).ok_or(ReadError::Damaged("a list of attributes"))
    }

    /// Writes a regular file's content.
    pub(super) fn copy_to(&self, file: &Found, out: &mut File) -> Result<(), ReadError> {
        let whole = match file.layout {
            DataLayout::FlatPlain => file.size,
            DataLayout::FlatInline => file.size - file.size % BLOCK_BYTES,
        };
        let start = u64::from(file.first_block) * BLOCK_BYTES;
        let mut image = &self.image;
        image.seek(SeekFrom::Start(start))?;
        if io::copy(&mut image.take(whole), out)? != whole {
            return Err(ReadError::Damaged("a file that is longer than the image"));
        }
        let tail = usize::try_from(file.size - whole).expect("less than a block");
        out.write_all(&self.data(file, whole, tail)?)?;
        Ok(())
    }

    fn walk(&self, path: &str, follow_last: bool) -> Result<Lookup, ReadError> {
        let mut way = vec![self.inode(self.root)?];
        // The next one last.
        let mut pending = components(path.as_bytes());
        let (mut walked, mut over_link) = (0, false);
        while let Some(name) = pending.pop() {
            walked += 1;
            if walked + pending.len() > MAX_WALK {
                return Ok(Lookup::Missing { over_link });
            }
            if name == b".." {
                if !way.last().is_some_and(Found::is_directory) {
                    return Ok(Lookup::Missing { over_link });
                }
                // The root's parent is the root.
                way.truncate((way.len() - 1).max(1));
                continue;
            }
            let directory = way.last().expect("the root stays");
            let Some(child) = self.child(directory, &name)? else {
                return Ok(Lookup::Missing { over_link });
            };
            if !child.is_symlink() || (pending.is_empty() && !follow_last) {
                way.push(child);
                continue;
            }
            over_link = true;
            let target = self.link_target(&child)?;
            if target.starts_with(b"/") {
                way.truncate(1);
            }
            pending.extend(components(&target));
        }
        Ok(Lookup::Found(*way.last().expect("the root stays")))
    }

    fn child(&self, directory: &Found, name: &[u8]) -> Result<Option<Found>, ReadError> {
        if !directory.is_directory() {
            return Ok(None);
        }
        for block in self.blocks_of(directory)? {
            let entry = super::dirents::find(&block?, name);
            if let Some(nid) = entry.ok_or(ReadError::Damaged("a directory's block"))? {
                return self.inode(nid).map(Some);
            }
        }
        Ok(None)
    }

    fn blocks_of<'a>(
        &'a self,
        directory: &'a Found,
    ) -> Result<impl Iterator<Item = Result<Vec<u8>, ReadError>> + 'a, ReadError> {
        if directory.size > u64::from(self.blocks) * BLOCK_BYTES {
            return Err(ReadError::Damaged("a directory larger than the image"));
        }
        let starts = (0..directory.size).step_by(BLOCK);
        Ok(starts.map(|at| {
            let left = usize::try_from(directory.size - at).unwrap_or(BLOCK);
            self.data(directory, at, left.min(BLOCK))
        }))
    }

    pub(crate) fn inode(&self, nid: u64) -> Result<Found, ReadError> {
        let damaged = || ReadError::Damaged("an inode's place");
        let at = nid
            .checked_mul(packer::SLOT)
            .and_then(|offset| offset.checked_add(u64::from(self.metadata_block) * BLOCK_BYTES))
            .ok_or_else(damaged)?;
        let mut bytes = [0; inode::EXTENDED];
        // The last inode of an image may be a compact one.
        self.image.read_exact_at(&mut bytes[..inode::COMPACT], at)?;
        if inode::is_extended(&bytes) {
            self.image.read_exact_at(&mut bytes, at)?;
        }
        let (inode, length) =
            inode::decode(&bytes, self.build_time).ok_or(ReadError::Damaged("an inode"))?;
        let xattrs = xattr::size_of(inode.xattr_icount);
        let behind = length + xattrs;
        Ok(Found {
            uid: inode.uid,
            gid: inode.gid,
            mode: inode.mode,
            size: inode.size,
            links: inode.links,
            mtime: inode.mtime,
            nid,
            xattrs: (at.saturating_add(length as u64), xattrs),
            layout: inode.layout,
            first_block: inode.data,
            inline_at: at.checked_add(behind as u64).ok_or_else(damaged)?,
        })
    }

    /// `length` bytes at `offset`, which does not lead beyond the file's end.
    fn data(&self, file: &Found, offset: u64, length: usize) -> Result<Vec<u8>, ReadError> {
        let mut bytes = vec![0; length];
        self.read_at(file, offset, &mut bytes)?;
        Ok(bytes)
    }

    /// Fills `bytes` from `offset` on, likewise.
    pub(super) fn read_at(
        &self,
        file: &Found,
        offset: u64,
        bytes: &mut [u8],
    ) -> Result<(), ReadError> {
        let tail_from = match file.layout {
            DataLayout::FlatPlain => file.size,
            DataLayout::FlatInline => file.size - file.size % BLOCK_BYTES,
        };
        let whole = tail_from.saturating_sub(offset).min(bytes.len() as u64);
        let (blocks, tail) = bytes.split_at_mut(usize::try_from(whole).expect("of a length"));
        let start = u64::from(file.first_block) * BLOCK_BYTES;
        self.image.read_exact_at(blocks, start + offset)?;
        let into_tail = (offset + whole).saturating_sub(tail_from);
        self.image.read_exact_at(tail, file.inline_at + into_tail)?;
        Ok(())
    }
}

/// The names of a path, the last one first.
fn components(path: &[u8]) -> Vec<Vec<u8>> {
    let names = path.rsplit(|&byte| byte == b'/');
    names
        .filter(|name| !matches!(*name, b"" | b"."))
        .map(<[u8]>::to_vec)
        .collect()
}

#[cfg(test)]
#[path = "read_test.rs"]
mod tests;
