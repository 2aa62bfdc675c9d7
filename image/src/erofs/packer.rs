//! Places for inodes in the metadata area.

use super::BLOCK;

/// Inode numbers count these: an inode starts at a multiple of it.
pub(super) const SLOT: u64 = 32;

/// Blocks with room left that are remembered. More of them pack a little better and cost time.
const OPEN_BLOCKS: usize = 16;

/// Puts an inode with its attributes and tail into the first open block that has room for all of
/// it.
///
/// The kernel wants an inline tail within one block; keeping inode and attributes in it too means
/// that one read brings all of a small file.
#[derive(Debug)]
pub(super) struct Packer {
    /// Block number in the metadata area and bytes in use, oldest first.
    open: Vec<(u64, usize)>,
    blocks: u64,
}

impl Packer {
    /// Slot 0 stays empty: some programs take inode number 0 for "deleted".
    pub(super) fn new() -> Self {
        Self {
            open: vec![(0, usize::try_from(SLOT).expect("small"))],
            blocks: 1,
        }
    }

    /// The slot number (`nid`) for an inode of `size` bytes.
    pub(super) fn place(&mut self, size: usize) -> u64 {
        let fitting = self.open.iter().position(|&(_, used)| used + size <= BLOCK);
        let (block, used) = match fitting {
            Some(i) => self.open.remove(i),
            None => (self.blocks, 0),
        };
        let end = (used + size).next_multiple_of(usize::try_from(SLOT).expect("small"));
        let last_block = block + u64::try_from((end - 1) / BLOCK).expect("small");
        self.blocks = self.blocks.max(last_block + 1);
        let used_in_last = (end - 1) % BLOCK + 1;
        if used_in_last < BLOCK {
            // It keeps its place in the order, so that the oldest block fills first.
            let i = fitting.unwrap_or(self.open.len());
            self.open.insert(i, (last_block, used_in_last));
            if self.open.len() > OPEN_BLOCKS {
                self.open.remove(0);
            }
        }
        block * (BLOCK as u64 / SLOT) + used as u64 / SLOT
    }

    /// Blocks of the metadata area so far.
    pub(super) fn blocks(&self) -> u64 {
        self.blocks
    }
}
