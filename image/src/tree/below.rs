//! Another image's files below those that are there: what is there hides them.

use super::{Kind, Metadata, NodeId, Tree, TreeError};

/// What is there of a name already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Above {
    /// Nothing.
    Nothing,
    /// A directory, in which there may be room.
    Directory(NodeId),
    /// Something else, or what hides a directory.
    Other,
}

impl Tree {
    /// What is there.
    pub(crate) fn above(&self, directory: NodeId, name: &[u8]) -> Above {
        match self.child(directory, name) {
            None => Above::Nothing,
            Some(entry) if self.is_directory(entry.node) => Above::Directory(entry.node),
            Some(_) => Above::Other,
        }
    }

    /// Adds what nothing is above.
    pub(crate) fn add_below(
        &mut self,
        directory: NodeId,
        name: &[u8],
        metadata: Metadata,
        kind: Kind,
    ) -> Result<NodeId, TreeError> {
        let node = self.add_node(metadata, kind)?;
        self.put(directory, name, node, true)?;
        Ok(node)
    }

    /// Adds another name of a file, likewise.
    pub(crate) fn link_below(
        &mut self,
        directory: NodeId,
        name: &[u8],
        node: NodeId,
    ) -> Result<(), TreeError> {
        self.count_link(node)?;
        self.put(directory, name, node, true)?;
        Ok(())
    }

    /// Gives a directory metadata that no entry above has given it: it is only there because of what is in it.
    pub(crate) fn dress_below(
        &mut self,
        directory: NodeId,
        name: &[u8],
        metadata: Metadata,
    ) -> Result<(), TreeError> {
        let Some(entry) = self.child(directory, name) else {
            return Ok(());
        };
        if !entry.explicit {
            self.nodes[entry.node.index()].metadata = metadata;
            self.put(directory, name, entry.node, true)?;
        }
        Ok(())
    }

    /// The same for the root.
    pub(crate) fn dress_root_below(&mut self, metadata: Metadata) {
        if !self.has_root_entry {
            self.nodes[0].metadata = metadata;
            self.has_root_entry = true;
        }
    }
}
