//! A directory's tree out as a tar archive: what an app has made of its root, for an image.
//!
//! [`write_tree`] runs in the guest, where the root is a mounted disk, and on the host, where it is a directory that an app could
//! write to: the tree is hostile, and is only ever looked at one name at a time. What the archive says is checked by who makes an image of it.

mod tar;
mod tree;

pub use tree::{MAX_BYTES, MAX_DEPTH, MAX_ENTRIES, TreeError, write_tree};
