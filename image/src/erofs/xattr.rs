//! Extended attributes, inline behind their inode (`erofs_xattr_ibody_header`,
//! `erofs_xattr_entry`).

use crate::tree::Xattrs;

/// `erofs_xattr_ibody_header`; we share no attributes between inodes, so it is all zeros.
const HEADER: usize = 12;
/// `erofs_xattr_entry` without name and value.
const ENTRY: usize = 4;

/// The prefixes that EROFS has a number for. The last two are whole names.
const PREFIXES: [(u8, &[u8]); 5] = [
    (1, b"user."),
    (4, b"trusted."),
    (6, b"security."),
    (2, b"system.posix_acl_access"),
    (3, b"system.posix_acl_default"),
];

/// Whether EROFS can store an attribute of this name and value.
pub(crate) fn is_supported(name: &[u8], value: &[u8]) -> bool {
    u16::try_from(value.len()).is_ok() && split(name).is_some()
}

/// The prefix's number, and the rest of the name, which fits one length byte.
fn split(name: &[u8]) -> Option<(u8, &[u8])> {
    PREFIXES.iter().find_map(|&(index, prefix)| {
        let rest = name.strip_prefix(prefix)?;
        let whole = !prefix.ends_with(b".");
        (rest.is_empty() == whole && rest.len() <= 255).then_some((index, rest))
    })
}

/// Bytes of the attributes behind the inode; 0 without attributes.
pub(super) fn size(xattrs: &Xattrs) -> usize {
    let entries: usize = supported(xattrs)
        .map(|(_, name, value)| (ENTRY + name.len() + value.len()).next_multiple_of(4))
        .sum();
    if entries == 0 { 0 } else { HEADER + entries }
}

/// `i_xattr_icount` for attributes of this size.
pub(super) fn icount(size: usize) -> u16 {
    match size {
        0 => 0,
        size => u16::try_from((size - HEADER) / 4 + 1)
            .expect("attributes of an entry are bounded far below 256 KiB"),
    }
}

/// Bytes of the attributes behind an inode with this `i_xattr_icount`.
pub(super) fn size_of(icount: u16) -> usize {
    match usize::from(icount) {
        0 => 0,
        count => HEADER + (count - 1) * 4,
    }
}

/// The full name of an attribute, and its value.
pub(super) type Attribute = (Vec<u8>, Vec<u8>);

/// The attributes that lie behind an inode. `None`: no list of ours.
pub(super) fn decode(bytes: &[u8]) -> Option<Vec<Attribute>> {
    let mut found = Vec::new();
    let mut left = bytes.get(HEADER..)?;
    while let [length, index, low, high, rest @ ..] = left {
        let (length, size) = (
            usize::from(*length),
            usize::from(u16::from_le_bytes([*low, *high])),
        );
        let prefix = PREFIXES.iter().find(|(number, _)| number == index)?.1;
        let name = [prefix, rest.get(..length)?].concat();
        found.push((name, rest.get(length..length + size)?.to_vec()));
        let entry = (ENTRY + length + size).next_multiple_of(4);
        left = left.get(entry..).unwrap_or_default();
    }
    Some(found)
}

/// Appends the attributes.
pub(super) fn encode(xattrs: &Xattrs, out: &mut Vec<u8>) {
    if size(xattrs) == 0 {
        return;
    }
    out.extend_from_slice(&[0; HEADER]);
    for (index, name, value) in supported(xattrs) {
        let start = out.len();
        out.push(u8::try_from(name.len()).expect("checked by split"));
        out.push(index);
        let length = u16::try_from(value.len()).expect("checked by is_supported");
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(name);
        out.extend_from_slice(value);
        let padded = (out.len() - start).next_multiple_of(4);
        out.resize(start + padded, 0);
    }
}

fn supported(xattrs: &Xattrs) -> impl Iterator<Item = (u8, &[u8], &[u8])> {
    xattrs.iter().filter_map(|(name, value)| {
        u16::try_from(value.len()).ok()?;
        let (index, rest) = split(name)?;
        Some((index, rest, &**value))
    })
}
