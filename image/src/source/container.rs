//! A layout or an archive of members.

use std::fs::File;
use std::io::{self, Read};

use rustix::fs::{FileType, fstat};

use super::archive::Members;
use super::{Member, Section, SourceError, section_of};
use crate::import::Owner;
use crate::limits::MAX_JSON_BYTES;

/// Something that has an image's documents and blobs.
pub(crate) enum Container<'a> {
    Archive(Members),
    /// A layout, whose owner gives its members.
    Asked {
        path: String,
        owner: &'a dyn Owner,
    },
}

/// A blob to read from its start to its end.
pub(crate) enum Blob {
    File(Section),
    /// On its way.
    Stream(File),
}

impl Blob {
    fn of(file: File) -> io::Result<Self> {
        let kind = FileType::from_raw_mode(fstat(&file)?.st_mode);
        Ok(match kind {
            FileType::Fifo => Self::Stream(file),
            _ => Self::File(section_of(file)?),
        })
    }

    /// Whether who passes it on lets its end through only if it is the right one.
    pub(crate) fn is_checked(&self) -> bool {
        matches!(self, Self::Stream(_))
    }

    /// Its size, if it is known before its end.
    pub(crate) fn size(&self) -> Option<u64> {
        match self {
            Self::File(section) => Some(section.len()),
            Self::Stream(_) => None,
        }
    }
}

impl Read for Blob {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::File(section) => section.read(buf),
            Self::Stream(pipe) => pipe.read(buf),
        }
    }
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

    /// Says what will be opened, to an owner who has it brought.
    pub(crate) fn expect(&self, members: &[Member]) {
        if let Self::Asked { owner, .. } = self {
            owner.expect(members);
        }
    }

    /// A member's content.
    pub(crate) fn open(&self, member: &Member) -> Result<Blob, SourceError> {
        let name = member.name();
        match self {
            Self::Archive(members) => {
                let section = members.open(&name);
                section.map(Blob::File).ok_or_else(|| SourceError::Missing {
                    path: self.path(),
                    member: name,
                })
            }
            Self::Asked { owner, .. } => {
                let file = owner.open(member)?;
                Blob::of(file).map_err(|source| self.unreadable(&name, source))
            }
        }
    }

    /// The whole of a small document.
    pub(crate) fn document(&self, member: &Member) -> Result<Vec<u8>, SourceError> {
        let blob = self.open(member)?;
        let name = member.name();
        let too_large = |size| SourceError::DocumentTooLarge {
            path: self.path(),
            member: name.clone(),
            size,
        };
        if let Some(size) = blob.size().filter(|&size| size > MAX_JSON_BYTES) {
            return Err(too_large(size));
        }
        let mut bytes = Vec::new();
        let read = blob.take(MAX_JSON_BYTES + 1).read_to_end(&mut bytes);
        read.map_err(|source| self.unreadable(&name, source))?;
        match bytes.len() as u64 {
            size if size > MAX_JSON_BYTES => Err(too_large(size)),
            _ => Ok(bytes),
        }
    }

    fn unreadable(&self, name: &str, source: io::Error) -> SourceError {
        SourceError::Io {
            what: "read",
            path: format!("{}: {name}", self.path()),
            source,
        }
    }
}
