//! On-disk inodes (`erofs_inode_compact`, `erofs_inode_extended`).

use crate::tar::Timestamp;

/// Size of a compact inode.
pub(super) const COMPACT: usize = 32;
/// Size of an extended inode.
pub(super) const EXTENDED: usize = 64;

/// How an inode's data is stored (`EROFS_INODE_*`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DataLayout {
    /// Whole blocks, the last one padded.
    FlatPlain = 0,
    /// Whole blocks, and the rest behind the inode.
    FlatInline = 2,
}

/// What an inode says, in either form.
#[derive(Debug, Clone, Copy)]
pub(super) struct Inode {
    pub(super) layout: DataLayout,
    pub(super) xattr_icount: u16,
    /// Type and permission bits.
    pub(super) mode: u16,
    pub(super) links: u32,
    pub(super) size: u64,
    /// First data block, or the device number.
    pub(super) data: u32,
    /// Serial number, for 32-bit `stat`.
    pub(super) number: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) mtime: Timestamp,
}

/// The fields that decide about the form.
pub(super) fn fits_compact(
    (uid, gid): (u32, u32),
    links: u32,
    size: u64,
    mtime: Timestamp,
    build_time: Timestamp,
) -> bool {
    let u16_fits = |value: u32| u16::try_from(value).is_ok();
    u16_fits(uid)
        && u16_fits(gid)
        && u16_fits(links)
        && u32::try_from(size).is_ok()
        // A compact inode has no time of its own.
        && mtime == build_time
}

impl Inode {
    /// Appends the inode, in the compact form if `compact` (see [`fits_compact`]).
    pub(super) fn encode(&self, compact: bool, out: &mut Vec<u8>) {
        let format = u16::from(!compact) | (self.layout as u16) << 1;
        out.extend_from_slice(&format.to_le_bytes());
        out.extend_from_slice(&self.xattr_icount.to_le_bytes());
        out.extend_from_slice(&self.mode.to_le_bytes());
        if compact {
            self.encode_compact(out);
        } else {
            self.encode_extended(out);
        }
    }

    fn encode_compact(&self, out: &mut Vec<u8>) {
        let low = |value: u32| u16::try_from(value).expect("checked by fits_compact");
        out.extend_from_slice(&low(self.links).to_le_bytes());
        let size = u32::try_from(self.size).expect("checked by fits_compact");
        out.extend_from_slice(&size.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&self.data.to_le_bytes());
        out.extend_from_slice(&self.number.to_le_bytes());
        out.extend_from_slice(&low(self.uid).to_le_bytes());
        out.extend_from_slice(&low(self.gid).to_le_bytes());
        out.extend_from_slice(&[0; 4]);
    }

    fn encode_extended(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[0; 2]);
        out.extend_from_slice(&self.size.to_le_bytes());
        out.extend_from_slice(&self.data.to_le_bytes());
        out.extend_from_slice(&self.number.to_le_bytes());
        out.extend_from_slice(&self.uid.to_le_bytes());
        out.extend_from_slice(&self.gid.to_le_bytes());
        out.extend_from_slice(&self.mtime.seconds.to_le_bytes());
        out.extend_from_slice(&self.mtime.nanos.to_le_bytes());
        out.extend_from_slice(&self.links.to_le_bytes());
        out.extend_from_slice(&[0; 16]);
    }
}

/// Whether the form is the extended one.
pub(super) fn is_extended(bytes: &[u8; EXTENDED]) -> bool {
    bytes[0] & 1 != 0
}

/// Reads an inode of either form, and says how long that is. `None`: a layout that we do not write.
///
/// Of a compact one only the first [`COMPACT`] bytes are looked at, and its time is the image's.
pub(super) fn decode(bytes: &[u8; EXTENDED], build_time: Timestamp) -> Option<(Inode, usize)> {
    let half =
        |at: usize| -> Option<u16> { Some(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?)) };
    let word =
        |at: usize| -> Option<u32> { Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?)) };
    let extended = is_extended(bytes);
    let layout = match half(0)? >> 1 {
        0 => DataLayout::FlatPlain,
        2 => DataLayout::FlatInline,
        _ => return None,
    };
    let long =
        |at: usize| -> Option<u64> { Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?)) };
    let (uid, gid, size, links, mtime) = if extended {
        let mtime = Timestamp {
            seconds: long(32)?.cast_signed(),
            nanos: word(40)?,
        };
        (word(24)?, word(28)?, long(8)?, word(44)?, mtime)
    } else {
        let owner = (u32::from(half(24)?), u32::from(half(26)?));
        let links = u32::from(half(6)?);
        (owner.0, owner.1, u64::from(word(8)?), links, build_time)
    };
    let inode = Inode {
        layout,
        xattr_icount: half(2)?,
        mode: half(4)?,
        links,
        size,
        data: word(16)?,
        number: word(20)?,
        uid,
        gid,
        mtime,
    };
    Some((inode, if extended { EXTENDED } else { COMPACT }))
}

/// Linux's encoding of a device number on disk (`new_encode_dev`).
pub(super) fn encode_device(major: u32, minor: u32) -> u32 {
    (minor & 0xff) | (major << 8) | ((minor & !0xff) << 12)
}

/// The same back: major and minor.
pub(super) fn decode_device(number: u32) -> (u32, u32) {
    let minor = (number & 0xff) | ((number >> 12) & 0xf_ff00);
    ((number >> 8) & 0xfff, minor)
}
