//! The file tree of one image, in memory: metadata only, file data lies in the spool.
//!
//! Layers are applied to it in order. Nothing is ever looked up on the host's file system, so a
//! path in an archive cannot lead anywhere but into this tree. Symbolic links are followed in it
//! only on the way to an entry, and only those of lower layers (`follow`).

mod below;
mod error;
mod follow;
mod insert;
mod path;
mod remove;

use std::collections::{BTreeMap, HashMap, HashSet};

pub(crate) use below::Above;
pub use error::TreeError;
pub(crate) use insert::Duplicates;
pub(crate) use path::TreePath;

use crate::limits::{MAX_ENTRIES, MAX_NAME_BYTES, MAX_XATTR_BYTES};
use crate::tar::Timestamp;

/// A file, directory, link or device; an index into the tree's nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct NodeId(u32);

impl NodeId {
    pub(crate) const ROOT: Self = Self(0);

    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }
}

/// A set of extended attributes that many nodes can share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct XattrSet(u32);

/// Extended attributes with their full names, sorted by name.
pub(crate) type Xattrs = Box<[(Box<[u8]>, Box<[u8]>)]>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Metadata {
    /// Permission, set-id and sticky bits.
    pub(crate) mode: u16,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) mtime: Timestamp,
    pub(crate) xattrs: XattrSet,
}

#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) metadata: Metadata,
    pub(crate) kind: Kind,
    /// Names of this node; 0 when it has been removed. Directories have one.
    pub(crate) names: u32,
}

#[derive(Debug, Clone)]
pub(crate) enum Kind {
    Directory(BTreeMap<Box<[u8]>, DirEntry>),
    File(FileData),
    Symlink(Box<[u8]>),
    CharDevice { major: u32, minor: u32 },
    BlockDevice { major: u32, minor: u32 },
    Fifo,
}

/// Where a file's data lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct FileData {
    pub(crate) size: u64,
    /// First block in the image's data area; meaningless when `blocks` is 0.
    pub(crate) first_block: u32,
    /// Blocks in the data area, the last one padded with zeros when there is no tail.
    pub(crate) blocks: u32,
    /// Position in the tail spool of what does not fill a block.
    pub(crate) tail: Option<u64>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct DirEntry {
    pub(crate) node: NodeId,
    /// The layer that last had this name, or anything below it.
    layer: u16,
    /// That layer had an entry of this very name, not only of something below it.
    explicit: bool,
}

/// A tree, and the bounds that it keeps.
#[derive(Debug)]
pub(crate) struct Tree {
    nodes: Vec<Node>,
    xattr_sets: Vec<Xattrs>,
    xattr_index: HashMap<Xattrs, XattrSet>,
    xattr_bytes: usize,
    name_bytes: usize,
    /// The layer that is being applied.
    layer: u16,
    /// An entry said what the root is.
    has_root_entry: bool,
    /// Hard links ever made, beside the nodes' first names.
    links: usize,
    /// Directories that have nothing of lower layers any more.
    cleared: HashSet<NodeId>,
    /// Data of files that were replaced or removed.
    dead: Vec<FileData>,
}

impl Tree {
    /// A root directory, 0755, and nothing in it.
    pub(crate) fn new() -> Self {
        let none = Xattrs::default();
        Self {
            nodes: vec![Node {
                metadata: Metadata::of_missing_parent(),
                kind: Kind::Directory(BTreeMap::new()),
                names: 1,
            }],
            xattr_sets: vec![none.clone()],
            xattr_index: HashMap::from([(none, XattrSet::default())]),
            xattr_bytes: 0,
            name_bytes: 0,
            layer: 0,
            has_root_entry: false,
            links: 0,
            cleared: HashSet::new(),
            dead: Vec::new(),
        }
    }

    /// Later entries belong to the next layer: whiteouts see what is there now.
    pub(crate) fn next_layer(&mut self) {
        self.layer += 1;
        self.cleared.clear();
    }

    pub(crate) fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.index()]
    }

    /// All nodes ever made, also those that were removed (`names` is 0).
    pub(crate) fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The nodes that have a name.
    pub(crate) fn live_nodes(&self) -> impl Iterator<Item = (NodeId, &Node)> {
        let ids = (0u32..).map(NodeId);
        ids.zip(&self.nodes).filter(|(_, node)| node.names > 0)
    }

    pub(crate) fn xattrs(&self, set: XattrSet) -> &Xattrs {
        &self.xattr_sets[set.0 as usize]
    }

    /// A file's data after it has been moved.
    pub(crate) fn set_file_data(&mut self, id: NodeId, data: FileData) {
        self.nodes[id.index()].kind = Kind::File(data);
    }

    /// Data areas that no file uses any more.
    pub(crate) fn has_dead_blocks(&self) -> bool {
        self.dead.iter().any(|data| data.blocks > 0)
    }

    /// Sorts and keeps a set of attributes, or finds the same one.
    pub(crate) fn intern_xattrs(
        &mut self,
        mut xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    ) -> Result<XattrSet, TreeError> {
        xattrs.sort();
        let set: Xattrs = xattrs
            .into_iter()
            .map(|(name, value)| (name.into(), value.into()))
            .collect();
        if let Some(&known) = self.xattr_index.get(&set) {
            return Ok(known);
        }
        self.xattr_bytes += set.iter().map(|(n, v)| n.len() + v.len()).sum::<usize>();
        if self.xattr_bytes > MAX_XATTR_BYTES {
            return Err(TreeError::TooManyXattrBytes);
        }
        let id = u32::try_from(self.xattr_sets.len()).map_err(|_| TreeError::TooManyXattrBytes)?;
        self.xattr_sets.push(set.clone());
        self.xattr_index.insert(set, XattrSet(id));
        Ok(XattrSet(id))
    }

    fn add_node(&mut self, metadata: Metadata, kind: Kind) -> Result<NodeId, TreeError> {
        self.check_entries()?;
        if let Kind::Symlink(target) = &kind {
            self.count_name(target.len())?;
        }
        let id = u32::try_from(self.nodes.len()).map_err(|_| TreeError::TooManyEntries)?;
        self.nodes.push(Node {
            metadata,
            kind,
            names: 1,
        });
        Ok(NodeId(id))
    }

    /// Gives a file another name, which its caller puts somewhere.
    fn count_link(&mut self, node: NodeId) -> Result<(), TreeError> {
        self.check_entries()?;
        self.links += 1;
        self.nodes[node.index()].names += 1;
        Ok(())
    }

    /// Whether there may be one more.
    fn check_entries(&self) -> Result<(), TreeError> {
        if self.nodes.len() + self.links >= MAX_ENTRIES {
            return Err(TreeError::TooManyEntries);
        }
        Ok(())
    }

    fn count_name(&mut self, bytes: usize) -> Result<(), TreeError> {
        self.name_bytes += bytes;
        if self.name_bytes > MAX_NAME_BYTES {
            return Err(TreeError::TooManyNameBytes);
        }
        Ok(())
    }
}

impl Metadata {
    /// A directory that an archive has files in but no entry for: what `tar` and every unpacker
    /// make of it, but with a fixed time, so that the image does not depend on the day.
    fn of_missing_parent() -> Self {
        Self {
            mode: 0o755,
            uid: 0,
            gid: 0,
            mtime: Timestamp::default(),
            xattrs: XattrSet::default(),
        }
    }
}

#[cfg(test)]
mod tests;
