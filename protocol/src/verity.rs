//! What the bytes of an image have to be: the root of a tree of hashes, and how many blocks it is over.
//!
//! The tree is that of Linux's dm-verity (`Documentation/admin-guide/device-mapper/verity.rst`), version 1: SHA-256, blocks of 4096
//! bytes for data and hashes, no salt, no superblock. An image's file is its data and behind it the tree, the top level first.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Bytes of a block, of data as of hashes.
pub const BLOCK: u64 = 4096;

/// Bytes of a hash.
pub const HASH: usize = 32;

/// The name of the hash, as the kernel's.
pub const ALGORITHM: &str = "sha256";

/// What goes into each hash before its block, as dm-verity writes it: nothing. The same image is to make the same bytes everywhere, and
/// whatever was fixed here would be known to everybody.
pub const SALT: &str = "-";

/// Hashes of one block: a power of two, so that none is left over.
pub const HASHES_PER_BLOCK: u64 = BLOCK / HASH as u64;

/// Most blocks of data: EROFS numbers them with 32 bits.
pub const MAX_DATA_BLOCKS: u64 = 1 << 32;

/// Longest text of a [`Verity`]: 64 digits, a space, a number and the end of the line.
pub const MAX_TEXT: u64 = 128;

/// The hash that vouches for all others.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RootDigest(pub [u8; HASH]);

/// What is checked, and against what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "(RootDigest, u64)", into = "(RootDigest, u64)")]
pub struct Verity {
    root: RootDigest,
    data_blocks: u64,
}

/// What is no [`Verity`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VerityError {
    /// So many blocks are no image.
    #[error("an image has 1 to {MAX_DATA_BLOCKS} blocks, and this one {0}")]
    Blocks(u64),
    /// Another text than `DIGEST BYTES`.
    #[error(
        "it is not a SHA-256 in 64 lower-case digits and a number of bytes, a multiple of {BLOCK}"
    )]
    Text,
}

impl Verity {
    /// Of so many blocks.
    ///
    /// # Errors
    /// When there are none, or too many.
    pub fn new(root: RootDigest, data_blocks: u64) -> Result<Self, VerityError> {
        if (1..=MAX_DATA_BLOCKS).contains(&data_blocks) {
            Ok(Self { root, data_blocks })
        } else {
            Err(VerityError::Blocks(data_blocks))
        }
    }

    /// The hash that vouches for all.
    #[must_use]
    pub fn root(&self) -> RootDigest {
        self.root
    }

    /// Blocks of data. The tree begins behind them.
    #[must_use]
    pub fn data_blocks(&self) -> u64 {
        self.data_blocks
    }

    /// Bytes of data and tree.
    #[must_use]
    pub fn length(&self) -> u64 {
        let tree: u64 = tree_levels(self.data_blocks).iter().sum();
        (self.data_blocks + tree) * BLOCK
    }
}

/// Blocks of each level of the tree over so many blocks of data, from the bottom up. The last one has one block, whose hash is the root; of a
/// single block there is no tree.
#[must_use]
pub fn tree_levels(data_blocks: u64) -> Vec<u64> {
    let mut levels = Vec::new();
    let mut below = data_blocks;
    while below > 1 {
        below = below.div_ceil(HASHES_PER_BLOCK);
        levels.push(below);
    }
    levels
}

impl TryFrom<(RootDigest, u64)> for Verity {
    type Error = VerityError;

    fn try_from((root, data_blocks): (RootDigest, u64)) -> Result<Self, VerityError> {
        Self::new(root, data_blocks)
    }
}

impl From<Verity> for (RootDigest, u64) {
    fn from(verity: Verity) -> Self {
        (verity.root, verity.data_blocks)
    }
}

/// As it stands in a file beside the image: the root in 64 digits, a space, the bytes of data, and the end of the line.
impl fmt::Display for Verity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} {}", self.root, self.data_blocks * BLOCK)
    }
}

impl FromStr for Verity {
    type Err = VerityError;

    fn from_str(text: &str) -> Result<Self, VerityError> {
        let line = text.strip_suffix('\n').ok_or(VerityError::Text)?;
        let (root, bytes) = line.split_once(' ').ok_or(VerityError::Text)?;
        let bytes: u64 = bytes.parse().map_err(|_| VerityError::Text)?;
        if !bytes.is_multiple_of(BLOCK) {
            return Err(VerityError::Text);
        }
        let verity = Self::new(root.parse()?, bytes / BLOCK)?;
        // One text for one value.
        (verity.to_string() == text)
            .then_some(verity)
            .ok_or(VerityError::Text)
    }
}

/// Lower-case digits.
impl fmt::Display for RootDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for RootDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for RootDigest {
    type Err = VerityError;

    fn from_str(text: &str) -> Result<Self, VerityError> {
        let (pairs, rest) = text.as_bytes().as_chunks::<2>();
        let pairs: &[[u8; 2]; HASH] = pairs.try_into().map_err(|_| VerityError::Text)?;
        let nibble = |digit: u8| match digit {
            b'0'..=b'9' => Ok(digit - b'0'),
            b'a'..=b'f' => Ok(digit - b'a' + 10),
            _ => Err(VerityError::Text),
        };
        let mut bytes = [0; HASH];
        for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
            *byte = nibble(*high)? << 4 | nibble(*low)?;
        }
        rest.is_empty()
            .then_some(Self(bytes))
            .ok_or(VerityError::Text)
    }
}

#[cfg(test)]
#[path = "verity_test.rs"]
mod tests;
