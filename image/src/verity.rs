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

/// An image without a tree.
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
    let failed = |what| move |source| TreeOfHashesError::Io { what, source };
    // Before anything is read: the size may be out of bounds.
    let placeholder = Verity::new(RootDigest([0; HASH]), data_bytes / BLOCK)?;
    image
        .set_len(placeholder.length())
        .map_err(failed("set the size"))?;
    let blocks = placeholder.data_blocks();
    let mut tree = TreeWriter::new(image, blocks);
    let mut buffer = vec![0; READ_BLOCKS * BLOCK_BYTES];
    // Of a sparse image many are.
    let zeros = [0; BLOCK_BYTES];
    let hash_of_zeros = hash(&zeros);
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
            tree.push(0, hash).map_err(failed("write the hashes"))?;
        }
        done += part.len() as u64;
    }
    let root = tree.finish().map_err(failed("write the hashes"))?;
    Ok(Verity::new(RootDigest(root), blocks)?)
}

fn hash(block: &[u8]) -> Hash {
    Sha256::digest(block).into()
}

/// The levels as they fill, from the bottom up.
struct TreeWriter<'a> {
    image: &'a File,
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

impl<'a> TreeWriter<'a> {
    fn new(image: &'a File, data_blocks: u64) -> Self {
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
        Self {
            image,
            levels,
            root,
        }
    }

    /// The next hash of a level; what comes above the last one is the root.
    fn push(&mut self, level: usize, hash: Hash) -> io::Result<()> {
        let Some(Level { block, filled, .. }) = self.levels.get_mut(level) else {
            self.root = hash;
            return Ok(());
        };
        block[*filled..*filled + HASH].copy_from_slice(&hash);
        *filled += HASH;
        match *filled == BLOCK_BYTES {
            true => self.write(level),
            false => Ok(()),
        }
    }

    fn write(&mut self, level: usize) -> io::Result<()> {
        let Level { block, filled, at } = &mut self.levels[level];
        block[*filled..].fill(0);
        self.image.write_all_at(block, *at)?;
        let above = hash(block);
        *filled = 0;
        *at += BLOCK;
        self.push(level + 1, above)
    }

    fn finish(mut self) -> io::Result<Hash> {
        for level in 0..self.levels.len() {
            if self.levels[level].filled > 0 {
                self.write(level)?;
            }
        }
        Ok(self.root)
    }
}

#[cfg(test)]
#[path = "verity_test.rs"]
mod tests;
