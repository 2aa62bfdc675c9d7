//! Paths of archive entries.

use super::TreeError;
use crate::limits::{MAX_DEPTH, MAX_NAME_COMPONENT, MAX_PATH_BYTES};

/// A checked path from the image's root: no `..`, no `.`, no empty component. Empty for the root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TreePath(Vec<Name>);

/// One component of a path: any bytes but NUL and `/`.
pub(crate) type Name = Box<[u8]>;

impl TreePath {
    /// Checks an entry's name, or a hard link's target (`field` says which, for the error).
    ///
    /// `./a//b/` is `a/b`. An absolute name is refused.
    pub(crate) fn parse(path: &[u8], field: &'static str) -> Result<Self, TreeError> {
        if path.len() > MAX_PATH_BYTES {
            return Err(TreeError::PathTooLong {
                field,
                length: path.len(),
            });
        }
        if path.contains(&0) {
            return Err(TreeError::Nul { field });
        }
        if path.starts_with(b"/") {
            return Err(TreeError::Absolute { field });
        }
        let mut components = Vec::new();
        for component in path.split(|&b| b == b'/') {
            match component {
                b"" | b"." => {}
                b".." => return Err(TreeError::ParentComponent { field }),
                long if long.len() > MAX_NAME_COMPONENT => {
                    return Err(TreeError::NameTooLong {
                        field,
                        length: long.len(),
                    });
                }
                name => components.push(name.into()),
            }
        }
        if components.len() > MAX_DEPTH {
            return Err(TreeError::TooDeep { field });
        }
        Ok(Self(components))
    }

    /// The same for an entry of a layer, where `/a` is `a`: some builders (ko) write all names so.
    pub(crate) fn parse_in_layer(path: &[u8], field: &'static str) -> Result<Self, TreeError> {
        let start = path.iter().position(|&b| b != b'/').unwrap_or(path.len());
        Self::parse(&path[start..], field)
    }

    pub(crate) fn components(&self) -> &[Name] {
        &self.0
    }

    /// The directory and the name in it; nothing for the root.
    pub(crate) fn split_last(&self) -> Option<(&[Name], &[u8])> {
        let (last, parents) = self.0.split_last()?;
        Some((parents, last))
    }

    /// The path without its first component, when that is `first`.
    pub(crate) fn strip_first(&self, first: &[u8]) -> Option<Self> {
        match self.0.split_first() {
            Some((head, rest)) if **head == *first => Some(Self(rest.to_vec())),
            _ => None,
        }
    }

    /// Same directory, other name.
    pub(crate) fn with_name(&self, name: &[u8]) -> Self {
        let mut components = self.0.clone();
        components.pop();
        components.push(name.into());
        Self(components)
    }

    /// The directory that this path lies in.
    pub(crate) fn parent(&self) -> Self {
        let mut components = self.0.clone();
        components.pop();
        Self(components)
    }

    /// What a relative symbolic link beside this path leads to, within the root: `..` is resolved
    /// in the text. Only for archives whose links are known to be plain references between members.
    pub(crate) fn resolve_sibling(&self, target: &[u8]) -> Option<Self> {
        if target.starts_with(b"/") || target.len() > MAX_PATH_BYTES {
            return None;
        }
        let mut resolved = self.parent();
        for component in target.split(|&b| b == b'/') {
            match component {
                b"" | b"." => {}
                b".." => drop(resolved.0.pop()?),
                name => resolved.0.push(name.into()),
            }
        }
        Some(resolved)
    }
}
