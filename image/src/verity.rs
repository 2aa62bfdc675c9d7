//! The tree of hashes behind an image's data, by which a guest checks each block that it reads.
//!
//! ```text
//! rootfs.erofs   data (EROFS) │ top level │ … │ bottom level
//! ```
//!
//! Its form is dm-verity's ([`bulkhead_protocol::verity`]). It is made in one pass over the data, with a block of memory for each level.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use bulkhead_protocol::verity::{BLOCK, HASH, RootDigest, Verity, VerityError, tree_levels};
use sha2::{Digest as _, Sha256};

use crate::erofs::BLOCK as BLOCK_BYTES;

const _: () = assert!(BLOCK == BLOCK_BYTES as u64);

/// Blocks that are read at a time.
const READ_BLOCKS: usize = 64;

/// A tree that cannot be made or looked at.
#[derive(Debug, thiserror::Error)]
pub enum TreeOfHashesError {
    /// The disk or its file system failed.
    #[error("cannot {what} of the image")]
    Io {
        /// The part.
        what: &'static str,
        /// Why.
        source: io::Error,
    },
    /// A size that no image has.
    #[error(transparent)]
    Size(#[from] VerityError),
}

type Hash = [u8; HASH];

/// Writes the tree over the first `data_bytes` of a file, which are all that it has, behind them.
pub(crate) fn append(image: &File, data_bytes: u64) -> Result<Verity, TreeOfHashesError> {
    // Before anything is read: the size may be out of bounds.
    let placeholder = Verity::new(RootDigest([0; HASH]), data_bytes / BLOCK)?;
    image
        .set_len(placeholder.length())
        .map_err(failed("set the size"))?;
    let blocks = placeholder.data_blocks();
    let root = tree(image, blocks, |block, at| {
        image
            .write_all_at(block, at)
            .map_err(failed("write the hashes"))
    })?;
    Ok(Verity::new(RootDigest(root), blocks)?)
}

/// Whether a file of this length still has this root, and the whole tree to it.
pub(crate) fn is_intact(image: &File, verity: &Verity) -> Result<bool, TreeOfHashesError> {
    let mut found = vec![0; BLOCK_BYTES];
    let mut is_same = true;
    let root = tree(image, verity.data_blocks(), |block, at| {
        image
            .read_exact_at(&mut found, at)
            .map_err(failed("read the hashes"))?;
        is_same &= found == block;
        Ok(())
    })?;
    Ok(is_same && RootDigest(root) == verity.root())
}

fn failed(what: &'static str) -> impl FnOnce(io::Error) -> TreeOfHashesError {
    move |source| TreeOfHashesError::Io { what, source }
}

/// The root of the tree over a file's first blocks. `put` gets each block of hashes, and where it belongs.
fn tree(
    image: &File,
    blocks: u64,
    put: impl FnMut(&[u8], u64) -> Result<(), TreeOfHashesError>,
) -> Result<Hash, TreeOfHashesError> {
    let mut tree = Tree::new(blocks, put);
    let mut buffer = vec![0; READ_BLOCKS * BLOCK_BYTES];
    // Of a sparse image many are.
    let zeros = [0; BLOCK_BYTES];
    let hash_of_zeros = hash(&zeros);
    let data_bytes = blocks * BLOCK;
    let mut done = 0;
    while done < data_bytes {
        let left = usize::try_from(data_bytes - done).unwrap_or(usize::MAX);
        let part = &mut buffer[..left.min(READ_BLOCKS * BLOCK_BYTES)];
        image
            .read_exact_at(part, done)
            .map_err(failed("read the data back"))?;
        for block in part.chunks(BLOCK_BYTES) {
            let hash = match block == zeros {
                true => hash_of_zeros,
                false => hash(block),
            };
            tree.push(0, hash)?;
        }
        done += part.len() as u64;
    }
    tree.finish()
}

fn hash(block: &[u8]) -> Hash {
    Sha256::digest(block).into()
}

/// The levels as they fill, from the bottom up.
struct Tree<P> {
    put: P,
    levels: Vec<Level>,
    root: Hash,
}

/// The block of a level that is being filled.
struct Level {
    block: Box<[u8]>,
    filled: usize,
    /// Where in the file it goes.
    at: u64,
}

impl<P: FnMut(&[u8], u64) -> Result<(), TreeOfHashesError>> Tree<P> {
    fn new(data_blocks: u64, put: P) -> Self {
        let mut at = data_blocks * BLOCK;
        let mut levels = Vec::new();
        for blocks in tree_levels(data_blocks).into_iter().rev() {
            levels.push(Level {
                block: vec![0; BLOCK_BYTES].into_boxed_slice(),
                filled: 0,
                at,
            });
            at += blocks * BLOCK;
        }
        levels.reverse();
        let root = [0; HASH];
        Self { put, levels, root }
    }

    /// The next hash of a level; what comes above the last one is the root.
    fn push(&mut self, level: usize, hash: Hash) -> Result<(), TreeOfHashesError> {
        let Some(Level { block, filled, .. }) = self.levels.get_mut(level) else {
            self.root = hash;
            return Ok(());
        };
        block[*filled..*filled + HASH].copy_from_slice(&hash);
        *filled += HASH;
        match *filled == BLOCK_BYTES {
            true => self.put(level),
            false => Ok(()),
        }
    }

    fn put(&mut self, level: usize) -> Result<(), TreeOfHashesError> {
        let Level { block, filled, at } = &mut self.levels[level];
        block[*filled..].fill(0);
        (self.put)(block, *at)?;
        let above = hash(block);
        *filled = 0;
        *at += BLOCK;
        self.push(level + 1, above)
    }

    fn finish(mut self) -> Result<Hash, TreeOfHashesError> {
        for level in 0..self.levels.len() {
            if self.levels[level].filled > 0 {
                self.put(level)?;
            }
        }
        Ok(self.root)
    }
}

#[cfg(test)]
#[path = "verity_test.rs"]
mod tests;
