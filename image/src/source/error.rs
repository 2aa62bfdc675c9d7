//! What can be wrong with the place an image is read from.

use std::io;

use crate::bytes::Escaped;
use crate::limits::{MAX_ARCHIVE_MEMBERS, MAX_JSON_BYTES};
use crate::tar::TarError;
use crate::told::Told;

/// An image that cannot be found or opened.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// As another process says it.
    #[error(transparent)]
    Told(#[from] Told),
    /// A reference that needs a network.
    #[error(
        "{scheme} references are not supported yet; \
         save the image as a local ACI, OCI layout or docker archive"
    )]
    Remote {
        /// "docker://" and the like.
        scheme: &'static str,
    },
    /// A reference without a path.
    #[error("the reference names no file")]
    Empty,
    /// The file cannot be opened or read.
    #[error("cannot {what} {path}")]
    Io {
        /// "open", "read".
        what: &'static str,
        /// The file.
        path: String,
        /// The cause.
        source: io::Error,
    },
    /// A device, a fifo, a socket, or a directory where a file is needed.
    #[error("{path} is not a regular file")]
    NotRegular {
        /// The file.
        path: String,
    },
    /// A directory that is no layout.
    #[error("{path} is a directory without \"index.json\", so it is not an OCI layout")]
    NotLayout {
        /// The directory.
        path: String,
    },
    /// Something that is no image in any form that we know.
    #[error("{path} is neither an ACI, an OCI layout or archive, nor a docker archive")]
    NotImage {
        /// The file.
        path: String,
        /// What the attempt to read it as an archive came to.
        source: Option<TarError>,
    },
    /// Not the kind of archive that the reference says.
    #[error("{path} has no \"{member}\", so it is not {what}")]
    WrongKind {
        /// The file.
        path: String,
        /// What is missing.
        member: &'static str,
        /// "an OCI archive" …
        what: &'static str,
    },
    /// The archive that holds the blobs is bad.
    #[error("{path}")]
    Archive {
        /// The file.
        path: String,
        /// What is wrong with it.
        source: TarError,
    },
    /// A member's name or type is refused.
    #[error("{path}: entry \"{entry}\" {problem}")]
    Member {
        /// The archive.
        path: String,
        /// The entry.
        entry: Escaped,
        /// What is wrong.
        problem: &'static str,
    },
    /// See the bound.
    #[error("{path} has more than {MAX_ARCHIVE_MEMBERS} entries")]
    TooManyMembers {
        /// The archive.
        path: String,
    },
    /// A blob that the image names and that is not there.
    #[error("{path} has no \"{}\"", Escaped::new(.member.as_bytes()))]
    Missing {
        /// The layout or archive.
        path: String,
        /// What is missing.
        member: String,
    },
    /// See the bound.
    #[error(
        "{path}: \"{}\" is {size} bytes long, more than {MAX_JSON_BYTES}",
        Escaped::new(.member.as_bytes())
    )]
    DocumentTooLarge {
        /// The layout or archive.
        path: String,
        /// The document.
        member: String,
        /// Its size.
        size: u64,
    },
}
