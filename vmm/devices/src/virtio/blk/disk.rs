//! One disk made of an ordered list of extents of several files.
//!
//! Invariant: extents tile the disk without gap or overlap, so that a position has exactly one place; no sum here can
//! overflow, because the whole disk is at most [`MAX_DISK_BYTES`]. The disk is raw: no byte that a guest wrote is
//! ever interpreted.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, FileTypeExt};

use rustix::fs::{FallocateFlags, OFlags, fallocate, fcntl_getfl};
use rustix::io::Errno;
use thiserror::Error;

use super::wire::SECTOR;

/// Alignment of an extent's offset in its file, bytes: the page size. Extents whose length is a multiple of it too keep what
/// follows them page-aligned on the disk.
pub const EXTENT_ALIGNMENT: u64 = 4096;
/// Extents of one disk: every image layer of the largest pod several times over.
pub const MAX_EXTENTS: usize = 256;
/// Size of one disk, bytes: far above any host file, far below what 64-bit offsets can sum to.
pub const MAX_DISK_BYTES: u64 = 1 << 56;

const HOLE: FallocateFlags = FallocateFlags::PUNCH_HOLE.union(FallocateFlags::KEEP_SIZE);
const ZERO: FallocateFlags = FallocateFlags::ZERO_RANGE.union(FallocateFlags::KEEP_SIZE);

static ZEROES: [u8; 64 * 1024] = [0; 64 * 1024];

/// A range of a file. The fd is this disk's own.
#[derive(Debug)]
pub struct Extent {
    /// A regular file or a block device.
    pub file: File,
    /// Where the range starts in the file, bytes.
    pub offset: u64,
    /// Its length, bytes.
    pub length: u64,
}

/// Whether the guest may write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Every fd must be opened read-only.
    ReadOnly,
    /// Every fd must be opened for reading and writing.
    Writable,
    /// As [`Writable`](Self::Writable), but nothing is brought to the host's own disk: what was written outlives this process, and not
    /// the host.
    Temporary,
}

/// Why an extent cannot be part of a disk: the host's mistake, never the guest's.
#[derive(Debug, Error)]
pub enum DiskError {
    /// A disk needs an extent.
    #[error("a disk needs at least one extent")]
    Empty,
    /// More than [`MAX_EXTENTS`].
    #[error("a disk has at most {MAX_EXTENTS} extents")]
    TooMany,
    /// The disk would grow beyond [`MAX_DISK_BYTES`].
    #[error("extent of {length} bytes at disk position {start} ends beyond {MAX_DISK_BYTES} bytes")]
    TooLarge {
        /// Where it would start.
        start: u64,
        /// Its length.
        length: u64,
    },
    /// The offset is no multiple of [`EXTENT_ALIGNMENT`], the length none of a sector, or the length is 0.
    #[error(
        "extent offset {offset} must be a multiple of {EXTENT_ALIGNMENT}, and its length {length} one of {SECTOR} and not 0"
    )]
    Alignment {
        /// As given.
        offset: u64,
        /// As given.
        length: u64,
    },
    /// The file ends before the extent does.
    #[error("extent {offset}+{length} ends beyond its file of {size} bytes")]
    BeyondFile {
        /// As given.
        offset: u64,
        /// As given.
        length: u64,
        /// Of the file.
        size: u64,
    },
    /// Neither a regular file nor a block device.
    #[error("an extent must be a regular file or a block device")]
    FileKind,
    /// The fd's access mode is not the disk's.
    #[error("extent's fd is not opened {0}")]
    AccessMode(&'static str),
    /// The fd cannot be examined.
    #[error("examine an extent's fd")]
    Examine(#[source] io::Error),
}

#[derive(Debug)]
struct Placed {
    /// Position on the disk, bytes.
    start: u64,
    extent: Extent,
    /// Written since the last flush.
    dirty: bool,
}

/// See the module docs.
#[derive(Debug)]
pub struct Disk {
    access: Access,
    extents: Vec<Placed>,
    length: u64,
}

/// What to do with each piece of a range: its extent, the offset in that file, and the piece's range in the
/// caller's buffer.
type Piece = (usize, u64, std::ops::Range<usize>);

impl Disk {
    /// Tiles a disk with the extents, in order.
    ///
    /// # Errors
    /// An extent that is not aligned, not backed by its file, or whose fd allows other access than `access`.
    pub fn new(extents: Vec<Extent>, access: Access) -> Result<Self, DiskError> {
        let mut disk = Disk {
            access,
            extents: Vec::with_capacity(extents.len().min(MAX_EXTENTS)),
            length: 0,
        };
        for extent in extents {
            disk.append(extent)?;
        }
        if disk.extents.is_empty() {
            return Err(DiskError::Empty);
        }
        Ok(disk)
    }

    /// Adds an extent at the end.
    ///
    /// # Errors
    /// As [`Disk::new`]; the disk is then as before.
    pub fn append(&mut self, extent: Extent) -> Result<(), DiskError> {
        if self.extents.len() == MAX_EXTENTS {
            return Err(DiskError::TooMany);
        }
        check_extent(&extent, self.access)?;
        let end = self.length.checked_add(extent.length);
        let Some(end) = end.filter(|end| *end <= MAX_DISK_BYTES) else {
            return Err(DiskError::TooLarge {
                start: self.length,
                length: extent.length,
            });
        };
        self.extents.push(Placed {
            start: self.length,
            extent,
            dirty: false,
        });
        self.length = end;
        Ok(())
    }

    /// Size of the disk, bytes.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Whether the guest may write.
    #[must_use]
    pub fn access(&self) -> Access {
        self.access
    }

    /// Whether `length` bytes from `position` on lie on the disk.
    pub(super) fn contains(&self, position: u64, length: u64) -> bool {
        position
            .checked_add(length)
            .is_some_and(|end| end <= self.length)
    }

    pub(super) fn read_at(&self, position: u64, data: &mut [u8]) -> io::Result<()> {
        for (index, offset, range) in self.pieces(position, data.len())? {
            let (Some(placed), Some(piece)) = (self.extents.get(index), data.get_mut(range)) else {
                return Err(out_of_range());
            };
            placed.extent.file.read_exact_at(piece, offset)?;
        }
        Ok(())
    }

    pub(super) fn write_at(&mut self, position: u64, data: &[u8]) -> io::Result<()> {
        for (index, offset, range) in self.pieces(position, data.len())? {
            let (Some(placed), Some(piece)) = (self.extents.get_mut(index), data.get(range)) else {
                return Err(out_of_range());
            };
            placed.dirty = true;
            placed.extent.file.write_all_at(piece, offset)?;
        }
        Ok(())
    }

    /// Gives the range's blocks back to the host, where its file or device can do so: the guest no longer needs their content.
    pub(super) fn discard(&mut self, position: u64, length: u64) -> io::Result<()> {
        self.each(position, length, |file, offset, length| {
            match fallocate(file, HOLE, offset, length) {
                Err(errno) if is_beyond_the_file(errno) => Ok(()),
                other => Ok(other?),
            }
        })
    }

    /// Makes the range read as zeroes, and gives its blocks back to the host where `unmap` says so and the host can.
    pub(super) fn zero(&mut self, position: u64, length: u64, unmap: bool) -> io::Result<()> {
        self.each(position, length, |file, offset, length| {
            let how = if unmap { HOLE } else { ZERO };
            match fallocate(file, how, offset, length) {
                Err(errno) if is_beyond_the_file(errno) => write_zeroes(file, offset, length),
                other => Ok(other?),
            }
        })
    }

    /// Makes every write so far durable.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        for placed in self.extents.iter_mut().filter(|placed| placed.dirty) {
            placed.extent.file.sync_data()?;
            placed.dirty = false; // Not after an error: the next flush must not claim success for free.
        }
        Ok(())
    }

    fn each(
        &mut self,
        position: u64,
        length: u64,
        change: impl Fn(&File, u64, u64) -> io::Result<()>,
    ) -> io::Result<()> {
        let length = usize::try_from(length).map_err(|_| out_of_range())?;
        for (index, offset, range) in self.pieces(position, length)? {
            let placed = self.extents.get_mut(index).ok_or_else(out_of_range)?;
            let length = u64::try_from(range.len()).map_err(|_| out_of_range())?;
            placed.dirty = true;
            change(&placed.extent.file, offset, length)?;
        }
        Ok(())
    }

    /// Splits a range of the disk at extent boundaries.
    fn pieces(&self, position: u64, length: usize) -> io::Result<Vec<Piece>> {
        let total = u64::try_from(length).map_err(|_| out_of_range())?;
        if !self.contains(position, total) {
            return Err(out_of_range());
        }
        let mut pieces = Vec::with_capacity(1);
        let (mut position, mut done) = (position, 0);
        let mut index = self
            .extents
            .partition_point(|placed| placed.start <= position);
        while done < length {
            // `index` is one past the extent that holds `position`.
            let placed = index
                .checked_sub(1)
                .and_then(|index| self.extents.get(index));
            let Placed { start, extent, .. } = placed.ok_or_else(out_of_range)?;
            let inside = position - start;
            let rest = usize::try_from(extent.length - inside).unwrap_or(usize::MAX);
            let take = rest.min(length - done);
            pieces.push((index - 1, extent.offset + inside, done..done + take));
            done += take;
            position = start + extent.length;
            index += 1;
        }
        Ok(pieces)
    }
}

fn check_extent(extent: &Extent, access: Access) -> Result<(), DiskError> {
    let &Extent {
        ref file,
        offset,
        length,
    } = extent;
    let aligned = offset.is_multiple_of(EXTENT_ALIGNMENT) && length.is_multiple_of(SECTOR);
    if !aligned || length == 0 {
        return Err(DiskError::Alignment { offset, length });
    }
    check_access_mode(file, access)?;
    let metadata = file.metadata().map_err(DiskError::Examine)?;
    if metadata.file_type().is_block_device() {
        return Ok(()); // Its size is not in its metadata; a short one gives I/O errors.
    }
    if !metadata.is_file() {
        return Err(DiskError::FileKind);
    }
    let size = metadata.len();
    if offset.checked_add(length).is_none_or(|end| end > size) {
        return Err(DiskError::BeyondFile {
            offset,
            length,
            size,
        });
    }
    Ok(())
}

/// A read-only disk is read-only by its fd, whatever this crate does wrong.
fn check_access_mode(file: &File, access: Access) -> Result<(), DiskError> {
    let flags = fcntl_getfl(file).map_err(|errno| DiskError::Examine(errno.into()))?;
    let (wanted, name) = match access {
        Access::ReadOnly => (OFlags::RDONLY, "read-only"),
        Access::Writable | Access::Temporary => (OFlags::RDWR, "for reading and writing"),
    };
    if flags & OFlags::RWMODE == wanted && !flags.contains(OFlags::PATH) {
        Ok(())
    } else {
        Err(DiskError::AccessMode(name))
    }
}

/// What a file system or device answers that does not know the operation, or only for larger blocks than a sector.
fn is_beyond_the_file(errno: Errno) -> bool {
    matches!(errno, Errno::OPNOTSUPP | Errno::INVAL)
}

fn write_zeroes(file: &File, offset: u64, length: u64) -> io::Result<()> {
    let end = offset + length;
    let mut at = offset;
    while at < end {
        let left = usize::try_from(end - at).unwrap_or(usize::MAX);
        let piece = ZEROES.get(..left).unwrap_or(&ZEROES);
        file.write_all_at(piece, at)?;
        at += u64::try_from(piece.len()).map_err(|_| out_of_range())?;
    }
    Ok(())
}

fn out_of_range() -> io::Error {
    io::Error::from(io::ErrorKind::InvalidInput)
}

#[cfg(test)]
#[path = "disk_test.rs"]
mod tests;
