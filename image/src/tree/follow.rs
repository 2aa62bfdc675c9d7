//! Symbolic links on the way to an entry.
//!
//! A layer may write below a link that a lower layer made: `lib/x` where `lib` leads to `usr/lib`. Such a link is followed
//! as the kernel would follow it for a process whose root is the image: absolute targets start at the image's
//! root, and `..` ends there. A link of the layer itself is never followed: no tool writes both a link and something below
//! it, but an attack does.

use std::borrow::Cow;

use super::path::Name;
use super::{Kind, NodeId, Tree, TreeError};
use crate::bytes::Escaped;
use crate::limits::{MAX_DEPTH, MAX_NAME_COMPONENT, MAX_WALK};

impl Tree {
    /// The same directory without links of lower layers in its name. What is not there, or no directory, stays in it.
    pub(super) fn without_links<'a>(
        &self,
        parents: &'a [Name],
    ) -> Result<Cow<'a, [Name]>, TreeError> {
        let mut node = NodeId::ROOT;
        for name in parents {
            match self.child(node, name) {
                None => break,
                Some(entry) if self.lower_link(entry).is_some() => {
                    return self.follow(parents).map(Cow::Owned);
                }
                Some(entry) => node = entry.node,
            }
        }
        Ok(Cow::Borrowed(parents))
    }

    fn follow(&self, parents: &[Name]) -> Result<Vec<Name>, TreeError> {
        // From the root: each name, and what it names if there is something.
        let mut way: Vec<(Name, Option<NodeId>)> = Vec::new();
        // The next one last.
        let mut pending: Vec<Name> = parents.iter().rev().cloned().collect();
        let mut walked = 0;
        while let Some(name) = pending.pop() {
            walked += 1;
            if walked + pending.len() > MAX_WALK {
                let parent = Escaped::new(&parents.join(&b'/'));
                return Err(TreeError::TooManyLinks { parent });
            }
            if *name == *b".." {
                way.pop();
                continue;
            }
            let directory = way.last().map_or(Some(NodeId::ROOT), |(_, node)| *node);
            let entry = directory.and_then(|directory| self.child(directory, &name));
            if let Some(target) = entry.and_then(|entry| self.lower_link(entry)) {
                if target.starts_with(b"/") {
                    way.clear();
                }
                pending.extend(components(target)?.into_iter().rev());
            } else {
                way.push((name, entry.map(|entry| entry.node)));
            }
        }
        // One name more comes below.
        if way.len() >= MAX_DEPTH {
            return Err(TreeError::TooDeep { field: "name" });
        }
        Ok(way.into_iter().map(|(name, _)| name).collect())
    }

    /// The target of a link that a lower layer made.
    fn lower_link(&self, entry: super::DirEntry) -> Option<&[u8]> {
        match &self.node(entry.node).kind {
            Kind::Symlink(target) if entry.layer < self.layer => Some(target),
            _ => None,
        }
    }
}

/// A link's target, `..` among its components.
fn components(target: &[u8]) -> Result<Vec<Name>, TreeError> {
    let names = target.split(|&byte| byte == b'/');
    names
        .filter(|name| !matches!(*name, b"" | b"."))
        .map(|name| match name.len() {
            length if length > MAX_NAME_COMPONENT => Err(TreeError::NameTooLong {
                field: "a link in its name",
                length,
            }),
            _ => Ok(name.into()),
        })
        .collect()
}

#[cfg(test)]
#[path = "follow_test.rs"]
mod tests;
