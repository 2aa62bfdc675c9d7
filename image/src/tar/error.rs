//! What can be wrong with an archive.

use std::io;

use crate::bytes::Escaped;

/// A tar archive that cannot be read. Fields are named as in POSIX `pax`, section "ustar".
#[derive(Debug, thiserror::Error)]
pub enum TarError {
    /// The source of the bytes failed.
    #[error("cannot read the archive at byte {offset}")]
    Read {
        /// Position in the uncompressed archive.
        offset: u64,
        /// The cause.
        source: io::Error,
    },
    /// The archive ends inside a header or inside an entry's data.
    #[error("truncated: {missing} bytes are missing at byte {offset} ({inside})")]
    Truncated {
        /// Position in the uncompressed archive.
        offset: u64,
        /// How much of what was promised did not come.
        missing: u64,
        /// Where it ended.
        inside: String,
    },
    /// The archive ends without the two zero blocks that end an archive.
    #[error("truncated: no end-of-archive marker at byte {offset}")]
    NoEndMarker {
        /// Position in the uncompressed archive.
        offset: u64,
    },
    /// The header block is not one.
    #[error("not a tar header at byte {offset}: checksum field {found}, computed {computed}")]
    Checksum {
        /// Position in the uncompressed archive.
        offset: u64,
        /// What the header says.
        found: String,
        /// What its bytes sum up to.
        computed: u64,
    },
    /// A number that is none, or out of the range of its field.
    #[error("entry \"{entry}\": field {field} is not a valid number: \"{value}\"")]
    Number {
        /// The entry's path so far.
        entry: Escaped,
        /// The header field or PAX keyword.
        field: &'static str,
        /// Its bytes.
        value: Escaped,
    },
    /// A well-formed field with a value that is refused.
    #[error("entry \"{entry}\": {field} {problem}")]
    Field {
        /// The entry's path so far.
        entry: Escaped,
        /// The header field or PAX keyword.
        field: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// An entry type that no image needs.
    #[error("entry \"{entry}\": typeflag '{typeflag}' ({what}) is not supported")]
    Type {
        /// The entry's path.
        entry: Escaped,
        /// The type byte.
        typeflag: Escaped,
        /// Its meaning.
        what: &'static str,
    },
}
