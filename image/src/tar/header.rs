//! One 512-byte header block.

use super::{BLOCK, number};

/// A header block whose checksum holds.
pub(super) struct Header(Box<[u8; BLOCK]>);

/// What the block says about its own correctness.
pub(super) enum Checked {
    /// All bytes are zero: half of an end marker.
    Zero,
    /// A header.
    Header(Header),
    /// Something else: what the checksum field says and what it should say.
    Bad { found: Vec<u8>, computed: u64 },
}

impl Header {
    pub(super) fn check(block: [u8; BLOCK]) -> Checked {
        if block.iter().all(|&b| b == 0) {
            return Checked::Zero;
        }
        // The checksum counts its own field as blanks. Old programs summed signed bytes.
        let outside = |i: usize| !(148..156).contains(&i);
        let bytes = || block.iter().enumerate().filter(|&(i, _)| outside(i));
        let computed = bytes().map(|(_, &b)| u64::from(b)).sum::<u64>() + 8 * u64::from(b' ');
        let signed: i64 = bytes()
            .map(|(_, &b)| i64::from(b.cast_signed()))
            .sum::<i64>()
            + 8 * i64::from(b' ');
        let found = number::unsigned(&block[148..156]);
        if found == Some(computed) || (found.is_some() && found == u64::try_from(signed).ok()) {
            Checked::Header(Self(Box::new(block)))
        } else {
            Checked::Bad {
                found: until_nul(&block[148..156]).to_vec(),
                computed,
            }
        }
    }

    pub(super) fn typeflag(&self) -> u8 {
        self.0[156]
    }

    /// Name, with ustar's prefix. GNU headers use those bytes for other things.
    pub(super) fn path(&self) -> Vec<u8> {
        let name = until_nul(&self.0[..100]);
        let prefix = match &self.0[257..263] {
            b"ustar\0" => until_nul(&self.0[345..500]),
            _ => b"",
        };
        if prefix.is_empty() {
            return name.to_vec();
        }
        [prefix, b"/", name].concat()
    }

    pub(super) fn link(&self) -> &[u8] {
        until_nul(&self.0[157..257])
    }

    /// The raw bytes of a numeric field.
    pub(super) fn field(&self, field: Field) -> &[u8] {
        &self.0[field.range.0..field.range.1]
    }
}

/// A numeric header field.
#[derive(Clone, Copy)]
pub(super) struct Field {
    pub(super) name: &'static str,
    range: (usize, usize),
}

const fn field(name: &'static str, from: usize, to: usize) -> Field {
    Field {
        name,
        range: (from, to),
    }
}

pub(super) const MODE: Field = field("mode", 100, 108);
pub(super) const UID: Field = field("uid", 108, 116);
pub(super) const GID: Field = field("gid", 116, 124);
pub(super) const SIZE: Field = field("size", 124, 136);
pub(super) const MTIME: Field = field("mtime", 136, 148);
pub(super) const DEVMAJOR: Field = field("devmajor", 329, 337);
pub(super) const DEVMINOR: Field = field("devminor", 337, 345);

fn until_nul(field: &[u8]) -> &[u8] {
    let end = field.iter().position(|&b| b == 0).unwrap_or(field.len());
    &field[..end]
}
