//! The superblock (`erofs_super_block`).

use super::BLOCK;
use crate::tar::Timestamp;

/// Where it lies in block 0.
pub(super) const OFFSET: usize = 1024;
/// Its length, of `erofs_super_block`.
pub(super) const LENGTH: usize = 128;
const MAGIC: u32 = 0xE0F5_E1E2;
/// `EROFS_FEATURE_COMPAT_SB_CHKSUM` and `EROFS_FEATURE_COMPAT_MTIME`.
const FEATURE_COMPAT: u32 = 0x1 | 0x2;

/// What the superblock says about the image.
pub(super) struct Superblock {
    pub(super) root: u16,
    pub(super) inodes: u64,
    pub(super) build_time: Timestamp,
    pub(super) blocks: u32,
    pub(super) metadata_block: u32,
    pub(super) uuid: [u8; 16],
}

impl Superblock {
    /// Block 0 of the image.
    pub(super) fn encode(&self) -> [u8; BLOCK] {
        let mut block = [0; BLOCK];
        let mut put = |at: usize, bytes: &[u8]| {
            block[OFFSET + at..OFFSET + at + bytes.len()].copy_from_slice(bytes);
        };
        put(0, &MAGIC.to_le_bytes());
        put(8, &FEATURE_COMPAT.to_le_bytes());
        let block_bits = u8::try_from(BLOCK.trailing_zeros()).expect("small");
        put(12, &[block_bits]);
        put(14, &self.root.to_le_bytes());
        put(16, &self.inodes.to_le_bytes());
        put(24, &self.build_time.seconds.to_le_bytes());
        put(32, &self.build_time.nanos.to_le_bytes());
        put(36, &self.blocks.to_le_bytes());
        put(40, &self.metadata_block.to_le_bytes());
        put(48, &self.uuid);
        let checksum = crc32c(&block[OFFSET..]).to_le_bytes();
        block[OFFSET + 4..OFFSET + 8].copy_from_slice(&checksum);
        block
    }
}

/// What a reader needs of a superblock.
pub(super) struct Places {
    pub(super) root: u16,
    pub(super) blocks: u32,
    pub(super) metadata_block: u32,
    pub(super) build_time: Timestamp,
}

/// Reads a superblock; `None` for what is none of ours.
pub(super) fn decode(bytes: &[u8; LENGTH]) -> Option<Places> {
    let word =
        |at: usize| -> Option<u32> { Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?)) };
    let seconds = u64::from_le_bytes(*bytes.get(24..)?.first_chunk()?);
    let build_time = Timestamp {
        seconds: seconds.cast_signed(),
        nanos: word(32)?,
    };
    let root = u16::from_le_bytes(*bytes.get(14..)?.first_chunk()?);
    (word(0)? == MAGIC).then_some(Places {
        root,
        blocks: word(36)?,
        metadata_block: word(40)?,
        build_time,
    })
}

/// The kernel's `crc32c(~0, …)`: without the usual inversion at the end.
fn crc32c(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for &byte in bytes {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0x82F6_3B78 & (crc & 1).wrapping_neg());
        }
    }
    crc
}

#[cfg(test)]
#[path = "superblock_test.rs"]
mod tests;
