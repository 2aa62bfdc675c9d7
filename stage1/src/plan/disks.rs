//! Partitions of the machine's disks.

use bulkhead_protocol::plan::{DiskImage, Partition};
use bulkhead_protocol::verity::Verity;
use bulkhead_protocol::vmm::EXTENT_ALIGNMENT;

/// A file that cannot be part of a disk.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DiskError {
    /// Its length.
    #[error("{what} has {length} bytes, which is 0 or no multiple of {EXTENT_ALIGNMENT}")]
    Length {
        /// Which file.
        what: String,
        /// Its bytes.
        length: u64,
    },
    /// Together they are longer than a disk can be.
    #[error("the disk is longer than 2^64 bytes with {what}")]
    TooLong {
        /// The file with which it is.
        what: String,
    },
}

/// The scratch disk: one partition an app and one for the volumes of several apps, all of one length.
pub(super) fn scratch(
    apps: usize,
    volumes: bool,
    length: u64,
) -> Result<Vec<Partition>, DiskError> {
    let mut end = 0;
    let what = || "the scratch disk's template".to_owned();
    let count = apps + usize::from(volumes);
    (0..count).map(|_| append(&mut end, length, what)).collect()
}

/// A disk that has one partition only.
pub(super) fn alone(what: &str, length: u64) -> Result<Partition, DiskError> {
    append(&mut 0, length, || what.to_owned())
}

pub(super) fn append_image(
    end: &mut u64,
    verity: Verity,
    what: impl Fn() -> String,
) -> Result<DiskImage, DiskError> {
    let Partition { start, .. } = append(end, verity.length(), what)?;
    Ok(DiskImage { start, verity })
}

pub(super) fn append(
    end: &mut u64,
    length: u64,
    what: impl Fn() -> String,
) -> Result<Partition, DiskError> {
    if length == 0 || !length.is_multiple_of(EXTENT_ALIGNMENT) {
        return Err(DiskError::Length {
            what: what(),
            length,
        });
    }
    let start = *end;
    let too_long = || DiskError::TooLong { what: what() };
    *end = start.checked_add(length).ok_or_else(too_long)?;
    Ok(Partition { start, length })
}
