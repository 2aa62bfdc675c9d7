//! EROFS images: a writer, uncompressed and deterministic, in two steps; and [`Filesystem`], a reader of what it wrote.
//!
//! 1. While archives are read, [`Spool`] puts whole blocks of file data where they will stay in the
//!    image, and the rest of each file ("tail") into a temporary file.
//! 2. When the tree is complete, [`write`] lays out inodes, attributes and directories behind the
//!    data and packs tails beside their inodes.
//!
//! So each byte of file data is written once, and memory holds metadata only.
//!
//! Layout: block 0 with the superblock, file data, directory and link blocks, the metadata area.
//! Only features of the first EROFS release are used (`feature_incompat` is 0), so any kernel since
//! 5.4 mounts it. The on-disk structures are those of Linux 6.12, `fs/erofs/erofs_fs.h`.

mod below;
mod dirents;
mod inode;
mod layout;
mod packer;
mod read;
mod render;
mod spool;
mod superblock;
#[cfg(test)]
pub(crate) mod test_oracle;
mod write;
mod xattr;

use std::io;

use crate::limits::MAX_WRITTEN_XATTR_BYTES;

pub use read::{Filesystem, Found, Lookup, ReadError};
pub use render::RenderError;
pub(crate) use spool::Spool;
pub(crate) use write::write;
pub(crate) use xattr::is_supported as is_supported_xattr;

/// Block size: also the page size of every kernel that we boot.
pub(crate) const BLOCK: usize = 4096;
/// The same for offsets in files.
pub(crate) const BLOCK_BYTES: u64 = BLOCK as u64;

/// An image that cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum ErofsError {
    /// The disk or its file system failed.
    #[error("cannot {what} of the image")]
    Io {
        /// The part that was being written.
        what: &'static str,
        /// The cause.
        source: io::Error,
    },
    /// More blocks than a block number can name (16 TiB).
    #[error("the image needs more than 2^32 blocks")]
    TooLarge,
    /// A few attributes of very many files.
    #[error("the extended attributes of all files have more than {MAX_WRITTEN_XATTR_BYTES} bytes")]
    Xattrs,
}

impl ErofsError {
    fn io(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { what, source }
    }
}

#[cfg(test)]
mod tests;
