//! Where everything goes: a pure function of the tree.

use std::collections::HashMap;

use super::inode::{self, DataLayout};
use super::packer::Packer;
use super::{BLOCK, BLOCK_BYTES, ErofsError, dirents, xattr};
use crate::limits::MAX_WRITTEN_XATTR_BYTES;
use crate::tar::Timestamp;
use crate::tree::{DirEntry, Kind, NodeId, Tree};

/// The place and the form of one inode.
#[derive(Debug, Clone, Copy)]
pub(super) struct Placed {
    pub(super) node: NodeId,
    /// The directory above, of a directory; the root's is the root.
    pub(super) parent: NodeId,
    pub(super) nid: u64,
    pub(super) compact: bool,
    pub(super) layout: DataLayout,
    pub(super) links: u32,
    pub(super) size: u64,
    /// Bytes behind the inode and its attributes.
    pub(super) inline: usize,
    pub(super) first_block: u32,
}

/// The layout of an image.
pub(super) struct Layout {
    /// Every live inode, parents before their children.
    pub(super) inodes: Vec<Placed>,
    /// Inode number by node.
    nids: Vec<u64>,
    pub(super) build_time: Timestamp,
    pub(super) metadata_block: u32,
    pub(super) blocks: u32,
}

impl Layout {
    /// Lays out the tree behind file data that ends before `next_block`.
    pub(super) fn new(tree: &Tree, next_block: u32) -> Result<Self, ErofsError> {
        let build_time = most_common_time(tree);
        let mut inodes = walk(tree);
        let mut next_block = u64::from(next_block);
        let mut packer = Packer::new();
        let mut nids = vec![0; tree.nodes().len()];
        let mut xattr_bytes = 0;
        for placed in &mut inodes {
            let node = tree.node(placed.node);
            let metadata = &node.metadata;
            let xattr_size = xattr::size(tree.xattrs(metadata.xattrs));
            xattr_bytes += xattr_size as u64;
            if xattr_bytes > MAX_WRITTEN_XATTR_BYTES {
                return Err(ErofsError::Xattrs);
            }
            next_block += place_data(&node.kind, xattr_size, next_block, placed)?;
            placed.compact = inode::fits_compact(
                (metadata.uid, metadata.gid),
                placed.links,
                placed.size,
                metadata.mtime,
                build_time,
            );
            let header = if placed.compact {
                inode::COMPACT
            } else {
                inode::EXTENDED
            };
            placed.nid = packer.place(header + xattr_size + placed.inline);
            nids[placed.node.index()] = placed.nid;
        }
        let block = |number: u64| u32::try_from(number).map_err(|_| ErofsError::TooLarge);
        Ok(Self {
            inodes,
            nids,
            build_time,
            metadata_block: block(next_block)?,
            blocks: block(next_block + packer.blocks())?,
        })
    }

    pub(super) fn nid(&self, node: NodeId) -> u64 {
        self.nids[node.index()]
    }
}

/// The names of a directory as it is stored: with `.` and `..`, sorted by their bytes.
pub(super) fn sorted_names(
    children: &std::collections::BTreeMap<Box<[u8]>, DirEntry>,
) -> Vec<&[u8]> {
    let mut names: Vec<&[u8]> = children.keys().map(|name| &**name).collect();
    for dots in [&b"."[..], b".."] {
        let at = names.partition_point(|&name| name < dots);
        names.insert(at, dots);
    }
    names
}

/// Sets size, layout and blocks of an inode's data; returns how many new blocks it takes.
fn place_data(
    kind: &Kind,
    xattr_size: usize,
    next_block: u64,
    placed: &mut Placed,
) -> Result<u64, ErofsError> {
    let fits = |tail: usize| inode::EXTENDED + xattr_size + tail <= BLOCK;
    let mut new_blocks = 0;
    match kind {
        Kind::Directory(children) => {
            let blocks = dirents::split_blocks(sorted_names(children).into_iter());
            let &(_, tail) = blocks.last().expect("a directory has dots");
            let whole = blocks.len() as u64 - 1;
            placed.size = whole * BLOCK_BYTES + tail as u64;
            new_blocks = whole;
            if fits(tail) {
                placed.inline = tail;
            } else {
                new_blocks += 1;
            }
        }
        Kind::Symlink(target) => {
            placed.size = target.len() as u64;
            if fits(target.len()) {
                placed.inline = target.len();
            } else {
                new_blocks = 1;
            }
        }
        Kind::File(data) => {
            placed.size = data.size;
            if data.tail.is_some() {
                placed.inline =
                    usize::try_from(data.size % BLOCK_BYTES).expect("smaller than a block");
            }
            if data.blocks > 0 {
                placed.first_block = data.first_block;
            }
        }
        Kind::CharDevice { .. } | Kind::BlockDevice { .. } | Kind::Fifo => {}
    }
    if new_blocks > 0 {
        placed.first_block = u32::try_from(next_block).map_err(|_| ErofsError::TooLarge)?;
    }
    if placed.inline > 0 {
        placed.layout = DataLayout::FlatInline;
    }
    Ok(new_blocks)
}

/// Every live node once, depth first, names in order.
fn walk(tree: &Tree) -> Vec<Placed> {
    let mut inodes = Vec::new();
    let mut seen = vec![false; tree.nodes().len()];
    let mut stack = vec![(NodeId::ROOT, NodeId::ROOT)];
    while let Some((id, parent)) = stack.pop() {
        if std::mem::replace(&mut seen[id.index()], true) {
            continue;
        }
        let node = tree.node(id);
        let mut links = node.names;
        if let Kind::Directory(children) = &node.kind {
            let is_directory =
                |entry: &&DirEntry| matches!(tree.node(entry.node).kind, Kind::Directory(_));
            let below = children.values().filter(is_directory).count();
            links = 2 + u32::try_from(below).expect("entries are bounded");
            stack.extend(children.values().rev().map(|entry| (entry.node, id)));
        }
        inodes.push(Placed {
            node: id,
            parent,
            nid: 0,
            compact: false,
            layout: DataLayout::FlatPlain,
            links,
            size: 0,
            inline: 0,
            first_block: 0,
        });
    }
    inodes
}

/// The time that saves most extended inodes; the earliest of several.
fn most_common_time(tree: &Tree) -> Timestamp {
    let mut counts: HashMap<Timestamp, u32> = HashMap::new();
    for (_, node) in tree.live_nodes() {
        *counts.entry(node.metadata.mtime).or_default() += 1;
    }
    counts
        .into_iter()
        .max_by_key(|&(time, count)| (count, std::cmp::Reverse(time)))
        .map_or_else(Timestamp::default, |(time, _)| time)
}
