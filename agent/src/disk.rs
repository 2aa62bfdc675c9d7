//! The machine's disks and the partitions that the plan makes of them.
//!
//! The host gives a guest one disk with all images and one with all scratch file systems; where each lies is in the plan, not
//! on the disk. A container on the host's kernel has a device for each instead.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use bulkhead_protocol::plan::Partition;

use crate::sys;

/// Where the partitions of a disk are.
#[derive(Debug, Clone)]
pub enum Storage {
    /// All on this device, which is cut.
    Disk(PathBuf),
    /// Each is a device, by its place in the plan.
    Devices(BTreeMap<u16, PathBuf>),
}

impl Storage {
    /// One more.
    pub fn insert(&mut self, index: u16, part: &Part) {
        if let Self::Devices(devices) = self {
            devices.insert(index, part.path.clone());
        }
    }

    /// One less.
    pub fn remove(&mut self, index: u16) {
        if let Self::Devices(devices) = self {
            devices.remove(&index);
        }
    }

    /// All devices: limits hold for each by itself.
    pub fn devices(&self) -> Vec<&Path> {
        match self {
            Self::Disk(path) => vec![path],
            Self::Devices(devices) => devices.values().map(PathBuf::as_path).collect(),
        }
    }
}

/// A disk and what was made of it.
#[derive(Debug)]
pub enum Disk {
    /// It is cut on demand.
    Whole(Cut),
    /// It was never one.
    Parts(BTreeMap<u16, Part>),
}

/// What stands for a partition.
#[derive(Debug)]
pub struct Part {
    path: PathBuf,
    /// Open for as long as it is wanted, where it would go away with its last user.
    _held: Option<OwnedFd>,
}

impl Part {
    /// A device that goes away when this does, and nobody uses it.
    pub fn held(path: PathBuf, device: OwnedFd) -> Self {
        let _held = Some(device);
        Self { path, _held }
    }
}

/// The devices of an app that is added.
#[derive(Debug)]
pub struct Arrived {
    /// Of an image that the pod did not have, by its place among all.
    pub image: Option<(u16, Part)>,
    /// Of its writable layer, by its number.
    pub scratch: (u16, Part),
}

/// A disk that is cut on demand.
#[derive(Debug)]
pub struct Cut {
    path: PathBuf,
    /// Open once the first partition was made.
    file: Option<File>,
    /// Numbers of the partitions that were made.
    made: BTreeSet<u16>,
}

/// A partition that is not to be had.
#[derive(Debug, thiserror::Error)]
pub enum PartitionError {
    /// It could not be made.
    #[error("make {length} bytes from {start} partition {number} of {disk:?}")]
    Make {
        /// Of this disk.
        disk: PathBuf,
        /// The kernel's number.
        number: u16,
        /// First byte.
        start: u64,
        /// Bytes.
        length: u64,
        /// Why.
        source: io::Error,
    },
    /// There is no device for it.
    #[error("there is no device for partition {0} of the plan")]
    NoDevice(u16),
}

impl Disk {
    /// What `storage` says, not touched yet.
    pub fn new(storage: &Storage) -> Self {
        match storage {
            Storage::Disk(path) => Self::Whole(Cut {
                path: path.clone(),
                file: None,
                made: BTreeSet::new(),
            }),
            Storage::Devices(devices) => {
                let part = |(index, path): (&u16, &PathBuf)| {
                    let (path, _held) = (path.clone(), None);
                    (*index, Part { path, _held })
                };
                Self::Parts(devices.iter().map(part).collect())
            }
        }
    }

    /// One more.
    pub fn insert(&mut self, index: u16, part: Part) {
        if let Self::Parts(parts) = self {
            parts.insert(index, part);
        }
    }

    /// Whether the disk is long enough for the plan's partition `index`, or has a device for it. It grows while the machine runs.
    pub fn reaches(&self, index: u16, range: Partition) -> bool {
        match self {
            Self::Whole(disk) => {
                let end = range.start.checked_add(range.length);
                let length = disk.length().ok();
                matches!((end, length), (Some(end), Some(length)) if end <= length)
            }
            Self::Parts(devices) => devices.contains_key(&index),
        }
    }

    /// Takes the plan's partition `index` back, if it was made.
    ///
    /// # Errors
    /// While it is in use.
    pub fn drop_partition(&mut self, index: u16) -> io::Result<()> {
        match self {
            Self::Whole(disk) => disk.drop_partition(index),
            Self::Parts(devices) => {
                devices.remove(&index);
                Ok(())
            }
        }
    }

    /// The device of the plan's partition `index`, made when it is the first use.
    ///
    /// # Errors
    /// When the disk is not there or not that long.
    pub fn partition(&mut self, index: u16, range: Partition) -> Result<PathBuf, PartitionError> {
        match self {
            Self::Whole(disk) => disk.partition(index, range),
            Self::Parts(devices) => devices
                .get(&index)
                .map(|part| part.path.clone())
                .ok_or(PartitionError::NoDevice(index)),
        }
    }
}

impl Cut {
    fn length(&self) -> io::Result<u64> {
        File::open(&self.path)?.seek(SeekFrom::End(0))
    }

    fn drop_partition(&mut self, index: u16) -> io::Result<()> {
        let number = index + 1;
        if let (true, Some(file)) = (self.made.contains(&number), &self.file) {
            sys::delete_partition(file, i32::from(number))?;
            self.made.remove(&number);
        }
        Ok(())
    }

    fn partition(&mut self, index: u16, range: Partition) -> Result<PathBuf, PartitionError> {
        let number = index + 1;
        if !self.made.contains(&number) {
            self.make(number, range)
                .map_err(|source| PartitionError::Make {
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
