//! A layout directory or an archive of members, read by name.

use std::io::Read;
use std::path::{Path, PathBuf};

use super::archive::Members;
use super::{Section, SourceError, open_regular, section_of};
use crate::limits::MAX_JSON_BYTES;

/// Something that has an image's documents and blobs under names.
#[derive(Debug)]
pub(crate) enum Container {
    Directory(PathBuf),
    Archive(Members),
}

impl Container {
    /// An OCI layout directory.
    pub(crate) fn directory(path: &Path) -> Result<Self, SourceError> {
        if !path.join("index.json").exists() {
            return Err(SourceError::NotLayout {
                path: path.display().to_string(),
            });
        }
        Ok(Self::Directory(path.to_owned()))
    }

    /// An uncompressed archive; `path` is its name for messages.
    pub(crate) fn archive(path: &Path, archive: Section) -> Result<Self, SourceError> {
        Members::index(path.display().to_string(), archive).map(Self::Archive)
    }

    /// The directory or the archive, for messages.
    pub(crate) fn path(&self) -> String {
        match self {
            Self::Directory(path) => path.display().to_string(),
            Self::Archive(members) => members.path().to_owned(),
        }
    }

    /// Whether there is a file of this name.
    pub(crate) fn has(&self, name: &str) -> bool {
        match self {
            Self::Directory(path) => path.join(name).is_file(),
            Self::Archive(members) => members.open(name).is_some(),
        }
    }

    /// The file of this name, which is relative and has no `..` (callers build it from checked
    /// parts).
    pub(crate) fn open(&self, name: &str) -> Result<Section, SourceError> {
        let missing = || SourceError::Missing {
            path: self.path(),
            member: name.to_owned(),
        };
        match self {
            Self::Archive(members) => members.open(name).ok_or_else(missing),
            Self::Directory(path) => {
                let file = match open_regular(&path.join(name)) {
                    Err(SourceError::Io { source, .. })
                        if source.kind() == std::io::ErrorKind::NotFound =>
                    {
                        return Err(missing());
                    }
                    other => other?,
                };
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
