//! The machine's two disks and the partitions that the plan makes of them.
//!
//! The host gives the guest one disk with all images and one with all scratch file systems; where each lies is in the plan, not
//! on the disk.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use bulkhead_protocol::plan::Partition;

use crate::sys;

/// A disk that is cut on demand.
#[derive(Debug)]
pub struct Disk {
    path: PathBuf,
    /// Open once the first partition was made.
    file: Option<File>,
    /// Numbers of the partitions that were made.
    made: BTreeSet<u16>,
}

/// A partition that could not be made.
#[derive(Debug, thiserror::Error)]
#[error("make {length} bytes from {start} partition {number} of {disk:?}")]
pub struct PartitionError {
    disk: PathBuf,
    number: u16,
    start: u64,
    length: u64,
    source: io::Error,
}

impl Disk {
    /// The disk at `path`, which is not touched yet.
    pub fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            file: None,
            made: BTreeSet::new(),
        }
    }

    /// The device of the plan's partition `index`, made when it is the first use.
    ///
    /// # Errors
    /// When the disk is not there or not that long.
    pub fn partition(&mut self, index: u16, range: Partition) -> Result<PathBuf, PartitionError> {
        let number = index + 1;
        if !self.made.contains(&number) {
            self.make(number, range).map_err(|source| PartitionError {
                disk: self.path.clone(),
                number,
                start: range.start,
                length: range.length,
                source,
            })?;
            self.made.insert(number);
        }
        Ok(device(&self.path, number))
    }

    fn make(&mut self, number: u16, range: Partition) -> io::Result<()> {
        let too_long = |_| io::Error::from_raw_os_error(nix::libc::EOVERFLOW);
        let start = i64::try_from(range.start).map_err(too_long)?;
        let length = i64::try_from(range.length).map_err(too_long)?;
        let file = match self.file.take() {
            Some(file) => file,
            None => File::open(&self.path)?,
        };
        let made = sys::add_partition(&file, i32::from(number), start, length);
        self.file = Some(file);
        made
    }
}

/// The kernel names partitions after their disk; a `p` comes in between when the disk's name ends in a digit.
fn device(disk: &Path, number: u16) -> PathBuf {
    let disk = disk.to_string_lossy();
    let separator = if disk.ends_with(|c: char| c.is_ascii_digit()) {
        "p"
    } else {
        ""
    };
    PathBuf::from(format!("{disk}{separator}{number}"))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::device;

    #[test]
    fn partitions_have_the_kernels_names() {
        assert_eq!(device(Path::new("/dev/vda"), 12), Path::new("/dev/vda12"));
        assert_eq!(
            device(Path::new("/dev/loop7"), 1),
            Path::new("/dev/loop7p1")
        );
    }
}
