//! Archives that hold an image's documents and layers as members.

use std::collections::HashMap;
use std::io::{self, Read};

use super::{Section, SourceError};
use crate::bytes::Escaped;
use crate::limits::MAX_ARCHIVE_MEMBERS;
use crate::tar::{Entry, EntryKind, Stream, TarError, TarReader};
use crate::tree::TreePath;

/// Links between members that are followed: old `docker save` writes a layer that occurs twice as a
/// link.
const MAX_MEMBER_LINKS: usize = 4;

/// What kind of archive a first entry belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Content {
    /// An ACI: `manifest` and `rootfs/`.
    Aci,
    /// Members to be looked up by name: OCI or docker.
    Members,
}

/// Looks at the first entry with a name. An archive without one holds nothing.
pub(crate) fn first_entry(source: impl Read) -> Result<Option<Content>, TarError> {
    let mut reader = TarReader::new(Stream(source));
    while let Some(entry) = reader.next_entry()? {
        let Ok(path) = TreePath::parse(&entry.path, "name") else {
            // Whoever reads the whole archive says what is wrong with the name.
            return Ok(Some(Content::Members));
        };
        match path.components().first().map(|name| &**name) {
            None => {}
            Some(b"manifest" | b"rootfs") => return Ok(Some(Content::Aci)),
            Some(_) => return Ok(Some(Content::Members)),
        }
    }
    Ok(None)
}

/// The members of an uncompressed archive.
#[derive(Debug)]
pub(crate) struct Members {
    /// The archive's name, for messages.
    path: String,
    archive: Section,
    members: HashMap<Vec<u8>, Member>,
}

#[derive(Debug)]
enum Member {
    File { offset: u64, size: u64 },
    Link(TreePath),
}

impl Members {
    /// Indexes the archive; no data is read.
    pub(super) fn index(path: String, archive: Section) -> Result<Self, SourceError> {
        let mut members = HashMap::new();
        // Headers are read with their own small reads: data between them is passed over.
        let mut reader = TarReader::new(archive.clone());
        let bad = |source| SourceError::Archive {
            path: path.clone(),
            source,
        };
        while let Some(entry) = reader.next_entry().map_err(bad)? {
            let refuse = |problem| SourceError::Member {
                path: path.clone(),
                entry: Escaped::new(&entry.path),
                problem,
            };
            let name =
                TreePath::parse(&entry.path, "name").map_err(|_| refuse("has a bad name"))?;
            let Some(member) = member(&entry, &name, reader.offset()).map_err(refuse)? else {
                continue;
            };
            if members.len() >= MAX_ARCHIVE_MEMBERS {
                return Err(SourceError::TooManyMembers { path });
            }
            let key = name.components().join(&b'/');
            if members.insert(key, member).is_some() {
                return Err(refuse("occurs twice"));
            }
        }
        Ok(Self {
            path,
            archive,
            members,
        })
    }

    pub(super) fn path(&self) -> &str {
        &self.path
    }

    pub(super) fn open(&self, name: &str) -> Option<Section> {
        let mut name = TreePath::parse(name.as_bytes(), "name").ok()?;
        for _ in 0..=MAX_MEMBER_LINKS {
            match self.members.get(&name.components().join(&b'/'))? {
                &Member::File { offset, size } => return Some(self.archive.part(offset, size)),
                Member::Link(target) => name = target.clone(),
            }
        }
        None
    }
}

/// `Ok(None)` for a directory.
fn member(entry: &Entry, name: &TreePath, offset: u64) -> Result<Option<Member>, &'static str> {
    Ok(match &entry.kind {
        EntryKind::Directory => None,
        &EntryKind::File { size } => Some(Member::File { offset, size }),
        EntryKind::Symlink { target } => {
            let target = name
                .resolve_sibling(target)
                .ok_or("is a symbolic link out of the archive")?;
            Some(Member::Link(target))
        }
        EntryKind::HardLink { target } => {
            let target = TreePath::parse(target, "linkname")
                .map_err(|_| "is a hard link out of the archive")?;
            Some(Member::Link(target))
        }
        _ => return Err("is neither a file nor a directory"),
    })
}

/// Copies a decompressed archive into `scratch`, to be indexed there.
pub(crate) fn unpack_stream(source: &mut dyn Read, scratch: &mut std::fs::File) -> io::Result<u64> {
    let bound = crate::limits::MAX_IMAGE_BYTES;
    let copied = io::copy(&mut source.take(bound + 1), scratch)?;
    if copied > bound {
        return Err(io::Error::other(format!(
            "decompresses to more than {bound} bytes"
        )));
    }
    Ok(copied)
}
