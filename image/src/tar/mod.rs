//! A strict, streaming tar reader: ustar, GNU long names and base-256 numbers, PAX.
//!
//! It is ours because an archive is hostile: names are bytes, each header has one meaning or is an
//! error (a reader that guesses differs from the scanner that looked at the archive before), every
//! buffer has a bound, and an error names the entry and the field. Nothing here touches the disk.
//!
//! Absent on purpose: sparse files, multi-volume archives, and data behind links or directories.

mod error;
mod header;
mod number;
mod pax;
mod reader;

pub use error::TarError;
pub(crate) use reader::{Skip, Stream, TarReader};

/// One archive entry. Its data, if it has any, is read from the [`TarReader`] that returned it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// As the archive has it: not normalized, any bytes.
    pub(crate) path: Vec<u8>,
    pub(crate) kind: EntryKind,
    /// Permission, set-id and sticky bits (07777).
    pub(crate) mode: u16,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) mtime: Timestamp,
    /// Full name (`user.a`) and value, in the archive's order.
    pub(crate) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum EntryKind {
    File { size: u64 },
    Directory,
    Symlink { target: Vec<u8> },
    HardLink { target: Vec<u8> },
    CharDevice { major: u32, minor: u32 },
    BlockDevice { major: u32, minor: u32 },
    Fifo,
}

/// Seconds since 1970, rounded down, and the nanoseconds above them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(crate) struct Timestamp {
    pub(crate) seconds: i64,
    /// Below 10⁹.
    pub(crate) nanos: u32,
}

/// Bytes of a header block, and the unit that data is padded to.
const BLOCK: usize = 512;

#[cfg(test)]
mod tests;
