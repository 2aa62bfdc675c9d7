//! Adding entries.

use std::collections::BTreeMap;

use super::path::Name;
use super::{DirEntry, Kind, Metadata, NodeId, Tree, TreeError, TreePath};
use crate::bytes::Escaped;
use crate::limits::MAX_SYMLINK_TARGET;

/// What a name means that an archive has already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Duplicates {
    /// An error: the rule of ACIs.
    Refuse,
    /// The later one counts. OCI forbids them too, but some builders write them, and every runtime
    /// unpacks them like this.
    Replace,
}

impl Tree {
    /// Adds an entry of the current layer, in place of what lower layers have there.
    ///
    /// A directory on a directory keeps its children and takes the new metadata.
    pub(crate) fn insert(
        &mut self,
        path: &TreePath,
        metadata: Metadata,
        kind: Kind,
        duplicates: Duplicates,
    ) -> Result<(), TreeError> {
        self.check_kind(&kind)?;
        let is_directory = matches!(kind, Kind::Directory(_));
        let Some((parents, name)) = path.split_last() else {
            if !is_directory {
                return Err(TreeError::RootNotDirectory);
            }
            self.nodes[0].metadata = metadata;
            self.has_root_entry = true;
            return Ok(());
        };
        let parent = self.make_parents(parents)?;
        let old = self.child(parent, name);
        if let Some(old) = old
            && is_directory
            && self.is_directory(old.node)
        {
            if old.layer == self.layer && old.explicit && duplicates == Duplicates::Refuse {
                return Err(TreeError::Duplicate);
            }
            self.nodes[old.node.index()].metadata = metadata;
            self.put(parent, name, old.node, true)?;
            return Ok(());
        }
        self.check_replaceable(old, duplicates)?;
        let node = self.add_node(metadata, kind)?;
        self.replace_child(parent, name, node)
    }

    /// Adds another name of an existing file.
    pub(crate) fn insert_hard_link(
        &mut self,
        path: &TreePath,
        target: &TreePath,
        duplicates: Duplicates,
    ) -> Result<(), TreeError> {
        let Some((parents, name)) = path.split_last() else {
            return Err(TreeError::RootNotDirectory);
        };
        if path == target {
            return Err(TreeError::LinkToItself);
        }
        let shown = || Escaped::new(&target.components().join(&b'/'));
        let node = self
            .lookup(target)?
            .ok_or_else(|| TreeError::LinkTargetMissing { target: shown() })?;
        if self.is_directory(node) {
            return Err(TreeError::LinkTargetDirectory { target: shown() });
        }
        let parent = self.make_parents(parents)?;
        let old = self.child(parent, name);
        self.check_replaceable(old, duplicates)?;
        self.count_link(node)?;
        self.replace_child(parent, name, node)
    }

    /// Finds what has this name; the last component is not followed.
    pub(crate) fn lookup(&self, path: &TreePath) -> Result<Option<NodeId>, TreeError> {
        let Some((parents, name)) = path.split_last() else {
            return Ok(Some(NodeId::ROOT));
        };
        let directory = self.find_directory(parents)?;
        Ok(directory
            .and_then(|directory| self.child(directory, name))
            .map(|entry| entry.node))
    }

    /// Finds the directory that a name leads to.
    pub(super) fn find_directory(&self, parents: &[Name]) -> Result<Option<NodeId>, TreeError> {
        let mut node = NodeId::ROOT;
        for name in self.without_links(parents)?.iter() {
            match self.child(node, name) {
                Some(entry) => node = entry.node,
                None => return Ok(None),
            }
        }
        Ok(self.is_directory(node).then_some(node))
    }

    pub(super) fn is_directory(&self, id: NodeId) -> bool {
        matches!(self.node(id).kind, Kind::Directory(_))
    }

    pub(super) fn child(&self, directory: NodeId, name: &[u8]) -> Option<DirEntry> {
        match &self.node(directory).kind {
            Kind::Directory(children) => children.get(name).copied(),
            _ => None,
        }
    }

    fn check_kind(&self, kind: &Kind) -> Result<(), TreeError> {
        match kind {
            Kind::Symlink(target) if target.is_empty() || target.len() > MAX_SYMLINK_TARGET => {
                Err(TreeError::SymlinkTarget {
                    length: target.len(),
                })
            }
            Kind::Symlink(target) if target.contains(&0) => {
                Err(TreeError::Nul { field: "linkname" })
            }
            &Kind::CharDevice { major, minor } | &Kind::BlockDevice { major, minor }
                if major >= 1 << 12 || minor >= 1 << 20 =>
            {
                Err(TreeError::DeviceNumber { major, minor })
            }
            _ => Ok(()),
        }
    }

    /// What this layer has put there, or below there, is a duplicate.
    fn check_replaceable(
        &self,
        old: Option<DirEntry>,
        duplicates: Duplicates,
    ) -> Result<(), TreeError> {
        match old {
            Some(old) if old.layer == self.layer && duplicates == Duplicates::Refuse => {
                Err(TreeError::Duplicate)
            }
            _ => Ok(()),
        }
    }

    /// Walks to a directory, makes what is missing, and marks the way as part of this layer.
    fn make_parents(&mut self, parents: &[Name]) -> Result<NodeId, TreeError> {
        let parents = &*self.without_links(parents)?;
        let mut directory = NodeId::ROOT;
        for (depth, name) in parents.iter().enumerate() {
            directory = match self.child(directory, name) {
                None => {
                    let kind = Kind::Directory(BTreeMap::new());
                    let node = self.add_node(Metadata::of_missing_parent(), kind)?;
                    self.put(directory, name, node, false)?;
                    node
                }
                Some(entry) if self.is_directory(entry.node) => {
                    self.touch(directory, name);
                    entry.node
                }
                Some(entry) => {
                    return Err(TreeError::ParentNotDirectory {
                        parent: Escaped::new(&parents[..=depth].join(&b'/')),
                        what: self.node(entry.node).kind.describe(),
                    });
                }
            };
        }
        Ok(directory)
    }

    fn touch(&mut self, directory: NodeId, name: &[u8]) {
        let layer = self.layer;
        if let Kind::Directory(children) = &mut self.nodes[directory.index()].kind
            && let Some(entry) = children.get_mut(name)
            && entry.layer != layer
        {
            entry.layer = layer;
            entry.explicit = false;
        }
    }

    fn replace_child(
        &mut self,
        parent: NodeId,
        name: &[u8],
        node: NodeId,
    ) -> Result<(), TreeError> {
        if let Some(old) = self.put(parent, name, node, true)? {
            self.release(old.node);
        }
        Ok(())
    }

    pub(super) fn put(
        &mut self,
        parent: NodeId,
        name: &[u8],
        node: NodeId,
        explicit: bool,
    ) -> Result<Option<DirEntry>, TreeError> {
        let entry = DirEntry {
            node,
            layer: self.layer,
            explicit,
        };
        let Kind::Directory(children) = &mut self.nodes[parent.index()].kind else {
            unreachable!("callers pass directories");
        };
        if let Some(old) = children.get_mut(name) {
            return Ok(Some(std::mem::replace(old, entry)));
        }
        children.insert(name.into(), entry);
        self.count_name(name.len())?;
        Ok(None)
    }
}

impl Kind {
    fn describe(&self) -> &'static str {
        match self {
            Self::Directory(_) => "a directory",
            Self::File(_) => "a file",
            Self::Symlink(_) => "a symbolic link",
            Self::CharDevice { .. } | Self::BlockDevice { .. } => "a device",
            Self::Fifo => "a fifo",
        }
    }
}
