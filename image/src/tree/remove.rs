//! Whiteouts, and what becomes of removed nodes.
//!
//! A whiteout hides what lower layers have, wherever it stands in its own layer's archive: entries
//! of the same layer stay, before and behind it (OCI image specification, "Layer Filesystem
//! Changeset").

use std::collections::HashSet;

use super::path::Name;
use super::{DirEntry, Kind, NodeId, Tree, TreePath};

impl Tree {
    /// Hides `path` as lower layers have it. A path that is not there is no error: layers are also
    /// made by comparing with another base.
    pub(crate) fn white_out(&mut self, path: &TreePath) {
        let Some((parents, name)) = path.split_last() else {
            return;
        };
        // A way that cannot be gone leads to nothing that could be hidden.
        let Ok(Some(parent)) = self.find_directory(parents) else {
            return;
        };
        let Some(entry) = self.child(parent, name) else {
            return;
        };
        if entry.layer == self.layer {
            self.remove_lower_children(entry.node);
        } else {
            self.remove_child(parent, name);
        }
    }

    /// Hides everything that lower layers have below the directory `path`.
    pub(crate) fn make_opaque(&mut self, path: &TreePath) {
        if let Ok(Some(directory)) = self.find_directory(path.components()) {
            self.remove_lower_children(directory);
        }
    }

    /// Keeps the given paths, and the directories that lead to them, and removes the rest.
    pub(crate) fn retain_paths(&mut self, paths: &[TreePath]) {
        let mut kept = HashSet::from([(NodeId::ROOT, Box::default())]);
        for path in paths {
            let mut directory = NodeId::ROOT;
            for name in path.components() {
                let Some(entry) = self.child(directory, name) else {
                    break;
                };
                kept.insert((directory, name.clone()));
                directory = entry.node;
            }
        }
        self.retain_children(NodeId::ROOT, &kept);
    }

    fn retain_children(&mut self, directory: NodeId, kept: &HashSet<(NodeId, Name)>) {
        let is_gone = |name: &[u8], _: &DirEntry| !kept.contains(&(directory, name.into()));
        for node in self.remove_children(directory, is_gone) {
            self.retain_children(node, kept);
        }
    }

    /// What it has looked at it never looks at again in the same layer, which adds entries of its own alone: a layer may have as
    /// many whiteouts as it likes.
    fn remove_lower_children(&mut self, directory: NodeId) {
        if !self.is_directory(directory) || !self.cleared.insert(directory) {
            return;
        }
        let layer = self.layer;
        for node in self.remove_children(directory, |_, entry| entry.layer < layer) {
            self.remove_lower_children(node);
        }
    }

    /// Removes the children that `is_gone` names; returns those that stay.
    fn remove_children(
        &mut self,
        directory: NodeId,
        is_gone: impl Fn(&[u8], &DirEntry) -> bool,
    ) -> Vec<NodeId> {
        let Kind::Directory(children) = &mut self.nodes[directory.index()].kind else {
            return Vec::new();
        };
        let mut removed = Vec::new();
        let mut kept = Vec::new();
        children.retain(|name, entry| {
            let gone = is_gone(name, entry);
            if gone { &mut removed } else { &mut kept }.push(entry.node);
            !gone
        });
        for node in removed {
            self.release(node);
        }
        kept
    }

    fn remove_child(&mut self, parent: NodeId, name: &[u8]) {
        if let Kind::Directory(children) = &mut self.nodes[parent.index()].kind
            && let Some(entry) = children.remove(name)
        {
            self.release(entry.node);
        }
    }

    /// Takes one name from a node; the last one takes its children and its data along.
    pub(super) fn release(&mut self, id: NodeId) {
        let node = &mut self.nodes[id.index()];
        node.names -= 1;
        if node.names > 0 {
            return;
        }
        match std::mem::replace(&mut node.kind, Kind::Fifo) {
            Kind::Directory(children) => {
                for entry in children.into_values() {
                    self.release(entry.node);
                }
            }
            Kind::File(data) => self.dead.push(data),
            _ => {}
        }
    }
}
