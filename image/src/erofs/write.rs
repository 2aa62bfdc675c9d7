//! From the finished tree to the finished image.

use std::fs::File;
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;

use super::dirents::{self, Dirent};
use super::inode::{Inode, encode_device};
use super::layout::{Layout, Placed, sorted_names};
use super::superblock::Superblock;
use super::{BLOCK, BLOCK_BYTES, ErofsError, Spool, packer, xattr};
use crate::tree::{Kind, NodeId, Tree};

/// A written image.
#[derive(Debug)]
pub(crate) struct Written {
    /// Its file.
    pub(crate) image: File,
    /// Its size, a multiple of the block size.
    pub(crate) bytes: u64,
    /// Files, directories, links and devices.
    pub(crate) inodes: u64,
}

/// Writes directories, inodes and the superblock to the image whose data `spool` has collected.
pub(crate) fn write(
    tree: &mut Tree,
    mut spool: Spool,
    uuid: [u8; 16],
) -> Result<Written, ErofsError> {
    spool.compact(tree)?;
    let (image, tails, next_block) = spool.finish()?;
    let layout = Layout::new(tree, next_block)?;
    let bytes = u64::from(layout.blocks) * BLOCK_BYTES;
    image
        .set_len(bytes)
        .map_err(ErofsError::io("set the size"))?;

    let writer = Writer {
        tree,
        tails: &tails,
        layout: &layout,
    };
    let mut out = BufWriter::with_capacity(64 * BLOCK, &image);
    writer
        .write_directory_blocks(&mut out)
        .map_err(ErofsError::io("write directories"))?;
    writer
        .write_metadata(&mut out)
        .map_err(ErofsError::io("write inodes"))?;
    drop(out);

    let superblock = Superblock {
        root: u16::try_from(layout.nid(NodeId::ROOT)).expect("the root is placed first"),
        inodes: layout.inodes.len() as u64,
        build_time: layout.build_time,
        blocks: layout.blocks,
        metadata_block: layout.metadata_block,
        uuid,
    };
    image
        .write_all_at(&superblock.encode(), 0)
        .map_err(ErofsError::io("write the superblock"))?;
    Ok(Written {
        image,
        bytes,
        inodes: superblock.inodes,
    })
}

struct Writer<'a> {
    tree: &'a Tree,
    tails: &'a File,
    layout: &'a Layout,
}

impl Writer<'_> {
    /// The whole blocks of directories and links, in the order in which they were given numbers.
    fn write_directory_blocks(&self, out: &mut (impl Write + Seek)) -> io::Result<()> {
        let mut data = Vec::new();
        for placed in &self.layout.inodes {
            data.clear();
            match &self.tree.node(placed.node).kind {
                Kind::Directory(_) => self.encode_directory(placed, &mut data),
                Kind::Symlink(target) if placed.inline == 0 => data.extend_from_slice(target),
                _ => continue,
            }
            data.truncate(data.len() - placed.inline);
            data.resize(data.len().next_multiple_of(BLOCK), 0);
            if !data.is_empty() {
                out.seek(SeekFrom::Start(u64::from(placed.first_block) * BLOCK_BYTES))?;
                out.write_all(&data)?;
            }
        }
        out.flush()
    }

    /// The metadata area, front to back.
    fn write_metadata(&self, out: &mut (impl Write + Seek)) -> io::Result<()> {
        let mut by_place: Vec<(usize, &Placed)> = self.layout.inodes.iter().enumerate().collect();
        by_place.sort_unstable_by_key(|(_, placed)| placed.nid);
        out.seek(SeekFrom::Start(
            u64::from(self.layout.metadata_block) * BLOCK_BYTES,
        ))?;
        let mut at = 0;
        let mut bytes = Vec::new();
        for (index, placed) in by_place {
            let start = placed.nid * packer::SLOT;
            write_zeros(out, start - at)?;
            bytes.clear();
            self.encode_inode(index, placed, &mut bytes)?;
            out.write_all(&bytes)?;
            at = start + bytes.len() as u64;
        }
        let blocks = self.layout.blocks - self.layout.metadata_block;
        write_zeros(out, u64::from(blocks) * BLOCK_BYTES - at)?;
        out.flush()
    }

    fn encode_inode(&self, index: usize, placed: &Placed, out: &mut Vec<u8>) -> io::Result<()> {
        let node = self.tree.node(placed.node);
        let metadata = &node.metadata;
        let xattrs = self.tree.xattrs(metadata.xattrs);
        let inode = Inode {
            layout: placed.layout,
            xattr_icount: xattr::icount(xattr::size(xattrs)),
            mode: file_type(&node.kind).mode | metadata.mode,
            links: placed.links,
            size: placed.size,
            data: match node.kind {
                Kind::CharDevice { major, minor } | Kind::BlockDevice { major, minor } => {
                    encode_device(major, minor)
                }
                _ => placed.first_block,
            },
            number: u32::try_from(index + 1).expect("entries are bounded"),
            uid: metadata.uid,
            gid: metadata.gid,
            mtime: metadata.mtime,
        };
        inode.encode(placed.compact, out);
        xattr::encode(xattrs, out);
        if placed.inline == 0 {
            return Ok(());
        }
        match &node.kind {
            Kind::Directory(_) => {
                let mut data = Vec::new();
                self.encode_directory(placed, &mut data);
                out.extend_from_slice(&data[data.len() - placed.inline..]);
            }
            Kind::Symlink(target) => out.extend_from_slice(target),
            Kind::File(data) => {
                let start = out.len();
                out.resize(start + placed.inline, 0);
                let tail = data.tail.expect("an inline file has a tail");
                self.tails.read_exact_at(&mut out[start..], tail)?;
            }
            Kind::CharDevice { .. } | Kind::BlockDevice { .. } | Kind::Fifo => {}
        }
        Ok(())
    }

    /// All of a directory's blocks, padded but for the last.
    fn encode_directory(&self, placed: &Placed, out: &mut Vec<u8>) {
        let Kind::Directory(children) = &self.tree.node(placed.node).kind else {
            return;
        };
        let names = sorted_names(children);
        let entries: Vec<Dirent<'_>> = names
            .iter()
            .map(|&name| {
                let node = match name {
                    b"." => placed.node,
                    b".." => placed.parent,
                    name => children[name].node,
                };
                Dirent {
                    name,
                    nid: self.layout.nid(node),
                    file_type: file_type(&self.tree.node(node).kind).dirent,
                }
            })
            .collect();
        let mut rest = &entries[..];
        for (count, _) in dirents::split_blocks(names.iter().copied()) {
            out.resize(out.len().next_multiple_of(BLOCK), 0);
            let (block, behind) = rest.split_at(count);
            dirents::encode_block(block, out);
            rest = behind;
        }
    }
}

struct FileType {
    /// `S_IFMT` bits of the mode.
    mode: u16,
    /// `FT_*` in a directory entry.
    dirent: u8,
}

fn file_type(kind: &Kind) -> FileType {
    let (mode, dirent) = match kind {
        Kind::File(_) => (0o100_000, 1),
        Kind::Directory(_) => (0o040_000, 2),
        Kind::CharDevice { .. } => (0o020_000, 3),
        Kind::BlockDevice { .. } => (0o060_000, 4),
        Kind::Fifo => (0o010_000, 5),
        Kind::Symlink(_) => (0o120_000, 7),
    };
    FileType { mode, dirent }
}

fn write_zeros(out: &mut impl Write, count: u64) -> io::Result<()> {
    io::copy(&mut io::Read::take(io::repeat(0), count), out).map(drop)
}
