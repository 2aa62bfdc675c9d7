//! Layouts and numbers of virtio-blk (virtio 1.2, section 5.2).

use super::disk::{Access, Disk};

pub(super) const DEVICE_TYPE: u32 = 2;
/// Bytes in a sector, whatever the block size.
pub(super) const SECTOR: u64 = 512;
/// Bytes of the answer to GET_ID.
pub(super) const ID_BYTES: usize = 20;
pub(super) const HEADER_BYTES: usize = 16;
pub(super) const RANGE_BYTES: usize = 16;

/// Feature bits.
pub(super) mod feature {
    pub(in super::super) const SIZE_MAX: u64 = 1 << 1;
    pub(in super::super) const SEG_MAX: u64 = 1 << 2;
    pub(in super::super) const READ_ONLY: u64 = 1 << 5;
    pub(in super::super) const FLUSH: u64 = 1 << 9;
    pub(in super::super) const DISCARD: u64 = 1 << 13;
    pub(in super::super) const WRITE_ZEROES: u64 = 1 << 14;
}

/// The last byte of every request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Status {
    Ok = 0,
    IoError = 1,
    Unsupported = 2,
}

/// What a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    In,
    Out,
    Flush,
    GetId,
    Discard,
    WriteZeroes,
}

/// The first bytes of every request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    /// `None`: a type that this device does not know.
    pub(super) operation: Option<Operation>,
    pub(super) sector: u64,
}

impl Header {
    pub(super) fn parse(bytes: [u8; HEADER_BYTES]) -> Self {
        let [t0, t1, t2, t3, _, _, _, _, sector @ ..] = bytes;
        let operation = match u32::from_le_bytes([t0, t1, t2, t3]) {
            0 => Some(Operation::In),
            1 => Some(Operation::Out),
            4 => Some(Operation::Flush),
            8 => Some(Operation::GetId),
            11 => Some(Operation::Discard),
            13 => Some(Operation::WriteZeroes),
            _ => None,
        };
        Header {
            operation,
            sector: u64::from_le_bytes(sector),
        }
    }
}

/// One range of a DISCARD or WRITE_ZEROES request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SectorRange {
    pub(super) sector: u64,
    pub(super) sectors: u32,
    pub(super) unmap: bool,
    /// A flag is set that has no meaning yet.
    pub(super) unknown_flags: bool,
}

impl SectorRange {
    pub(super) fn parse(bytes: [u8; RANGE_BYTES]) -> Self {
        let [s0, s1, s2, s3, s4, s5, s6, s7, n0, n1, n2, n3, flags @ ..] = bytes;
        let flags = u32::from_le_bytes(flags);
        SectorRange {
            sector: u64::from_le_bytes([s0, s1, s2, s3, s4, s5, s6, s7]),
            sectors: u32::from_le_bytes([n0, n1, n2, n3]),
            unmap: flags & 1 != 0,
            unknown_flags: flags & !1 != 0,
        }
    }
}

/// Limits that the driver reads, and that requests are held to.
pub(super) struct Limits {
    pub(super) segment_bytes: u32,
    pub(super) segments: u32,
    pub(super) discard_sectors: u32,
    pub(super) zero_sectors: u32,
    pub(super) ranges: u32,
}

/// `struct virtio_blk_config` as far as this device offers fields.
pub(super) fn config(disk: &Disk, limits: &Limits) -> Vec<u8> {
    let mut config = Vec::with_capacity(60);
    config.extend((disk.length() / SECTOR).to_le_bytes());
    config.extend(limits.segment_bytes.to_le_bytes());
    config.extend(limits.segments.to_le_bytes());
    config.extend([0; 20]); // geometry, blk_size, topology, writeback, num_queues: not offered
    if disk.access() != Access::ReadOnly {
        config.extend(limits.discard_sectors.to_le_bytes());
        config.extend(limits.ranges.to_le_bytes());
        config.extend(DISCARD_ALIGNMENT_SECTORS.to_le_bytes());
        config.extend(limits.zero_sectors.to_le_bytes());
        config.extend(limits.ranges.to_le_bytes());
        config.extend([1, 0, 0, 0]); // write_zeroes_may_unmap
    }
    config
}

/// A host file gives back whole pages.
const DISCARD_ALIGNMENT_SECTORS: u32 = 8;
