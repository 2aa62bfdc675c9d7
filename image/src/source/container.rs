//! A layout or an archive of members, read by name.

use std::io::Read;

use super::archive::Members;
use super::{Section, SourceError, section_of};
use crate::import::Owner;
use crate::limits::MAX_JSON_BYTES;

/// Something that has an image's documents and blobs under names.
pub(crate) enum Container<'a> {
    Archive(Members),
    /// A layout, whose owner gives its members.
    Asked {
        path: String,
        owner: &'a dyn Owner,
    },
}

impl<'a> Container<'a> {
    /// A layout; `path` is its name for messages.
    pub(crate) fn asked(path: &str, owner: &'a dyn Owner) -> Self {
        let path = path.to_owned();
        Self::Asked { path, owner }
    }

    /// An uncompressed archive; `path` is its name for messages.
    pub(crate) fn archive(path: &str, archive: Section) -> Result<Self, SourceError> {
        Members::index(path.to_owned(), archive).map(Self::Archive)
    }

    /// The layout or the archive, for messages.
    pub(crate) fn path(&self) -> String {
        match self {
            Self::Archive(members) => members.path().to_owned(),
            Self::Asked { path, .. } => path.clone(),
        }
    }

    /// Whether an archive has a file of this name.
    pub(crate) fn has(&self, name: &str) -> bool {
        match self {
            Self::Archive(members) => members.open(name).is_some(),
            Self::Asked { .. } => false,
        }
    }

    /// The file of this name, which is relative and has no `..` (callers build it from checked
    /// parts).
    pub(crate) fn open(&self, name: &str) -> Result<Section, SourceError> {
        match self {
            Self::Archive(members) => members.open(name).ok_or_else(|| SourceError::Missing {
                path: self.path(),
                member: name.to_owned(),
            }),
            Self::Asked { owner, .. } => {
                let file = owner.open(name)?;
                section_of(file).map_err(|source| self.unreadable(name, source))
            }
        }
    }

    /// The whole of a small document.
    pub(crate) fn document(&self, name: &str) -> Result<Vec<u8>, SourceError> {
        let mut section = self.open(name)?;
        let size = section.len();
        if size > MAX_JSON_BYTES {
            return Err(SourceError::DocumentTooLarge {
                path: self.path(),
                member: name.to_owned(),
                size,
            });
        }
        let mut bytes = Vec::new();
        section
            .read_to_end(&mut bytes)
            .map_err(|source| self.unreadable(name, source))?;
        Ok(bytes)
    }

    fn unreadable(&self, name: &str, source: std::io::Error) -> SourceError {
        SourceError::Io {
            what: "read",
            path: format!("{}: {name}", self.path()),
            source,
        }
    }
}
