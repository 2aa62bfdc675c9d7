//! Directory blocks: sorted entries (`erofs_dirent`), then their names.

use super::BLOCK;

/// `erofs_dirent`: inode number, offset of the name, type.
const ENTRY: usize = 12;

/// One entry of a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Dirent<'a> {
    pub(super) name: &'a [u8],
    pub(super) nid: u64,
    /// `FT_*`.
    pub(super) file_type: u8,
}

/// Splits sorted names into blocks: the number of names in each, and the bytes in use.
pub(super) fn split_blocks<'a>(names: impl Iterator<Item = &'a [u8]>) -> Vec<(usize, usize)> {
    let mut blocks = Vec::new();
    let (mut count, mut used) = (0, 0);
    for name in names {
        let size = ENTRY + name.len();
        if used + size > BLOCK {
            blocks.push((count, used));
            (count, used) = (0, 0);
        }
        count += 1;
        used += size;
    }
    blocks.push((count, used));
    blocks
}

/// Appends one block, without padding.
pub(super) fn encode_block(entries: &[Dirent<'_>], out: &mut Vec<u8>) {
    let mut name_offset = entries.len() * ENTRY;
    for entry in entries {
        let offset = u16::try_from(name_offset).expect("a block is 4 KiB");
        out.extend_from_slice(&entry.nid.to_le_bytes());
        out.extend_from_slice(&offset.to_le_bytes());
        out.push(entry.file_type);
        out.push(0);
        name_offset += entry.name.len();
    }
    for entry in entries {
        out.extend_from_slice(entry.name);
    }
}

/// The inode number of `name` in a block, `None` in it when the name is not there. `None` at all: no block of a directory.
#[expect(clippy::option_option, reason = "damage, and a name that is not there")]
pub(super) fn find(block: &[u8], name: &[u8]) -> Option<Option<u64>> {
    for entry in entries(block)? {
        let (found, nid) = entry?;
        if found == name {
            return Some(Some(nid));
        }
    }
    Some(None)
}

/// All names of a block, with their inode numbers. `None`: no block of a directory, from there on.
pub(super) fn entries(block: &[u8]) -> Option<impl Iterator<Item = Option<(&[u8], u64)>>> {
    let name_at = move |entry: usize| -> Option<usize> {
        let offset = u16::from_le_bytes(*block.get(entry * ENTRY + 8..)?.first_chunk()?);
        Some(usize::from(offset))
    };
    // The first name lies behind the last entry.
    let count = name_at(0)? / ENTRY;
    let at = move |entry: usize| {
        let start = name_at(entry)?;
        let end = if entry + 1 < count {
            name_at(entry + 1)?
        } else {
            block.len()
        };
        let mut name = block.get(start..end)?;
        if entry + 1 == count {
            // Padding; no name has a zero in it.
            name = name.split(|&byte| byte == 0).next()?;
        }
        let nid = u64::from_le_bytes(*block.get(entry * ENTRY..)?.first_chunk()?);
        Some((name, nid))
    };
    Some((0..count).map(at))
}
