//! The pod's images, as devices.
//!
//! In a machine each is a partition of the image disk, and on top of it a device that checks what is read ([`crate::mapper`]): the host's disk
//! may have lost or changed it. On the host's own kernel there is nobody between the disk and who reads it.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use bulkhead_protocol::plan::DiskImage;

use crate::disk::{Disk, Part, PartitionError, Storage};
use crate::mapper::Mapper;

/// See the module docs.
#[derive(Debug)]
pub struct Images {
    disk: Disk,
    list: Vec<DiskImage>,
    /// `/dev/mapper/control`, where images are checked.
    control: Option<PathBuf>,
    mapper: Option<Mapper>,
    /// The devices that were made of them, by their places in the plan.
    checked: BTreeMap<u16, PathBuf>,
    /// Those of which a bad block was read.
    damaged: BTreeSet<u16>,
}

/// An image that is not to be had.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// Its place on the disk.
    #[error(transparent)]
    Partition(#[from] PartitionError),
    /// Nothing would check what is read of it.
    #[error("check image {index} of the plan ({device:?}) against its digest")]
    Check {
        /// Its place in the plan.
        index: u16,
        /// Where it lies.
        device: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Images {
    /// As planned. Nothing is made yet.
    pub fn new(storage: &Storage, control: Option<&Path>, list: Vec<DiskImage>) -> Self {
        Self {
            disk: Disk::new(storage),
            list,
            control: control.map(Path::to_owned),
            mapper: None,
            checked: BTreeMap::new(),
            damaged: BTreeSet::new(),
        }
    }

    /// More of them.
    pub fn extend(&mut self, images: &[DiskImage]) {
        self.list.extend_from_slice(images);
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.list.len()
    }

    /// The device of one that comes.
    pub fn provide(&mut self, index: u16, part: Part) {
        self.disk.insert(index, part);
    }

    /// Whether it is there: the disk grows while the machine runs.
    pub fn has(&self, index: u16) -> bool {
        let range = self.list[usize::from(index)].partition();
        self.disk.reaches(index, range)
    }

    /// The device has a bad block: whether that is news of an image.
    pub fn note_damage(&mut self, device: &Path) -> bool {
        let mut checked = self.checked.iter();
        let index = checked.find(|(_, path)| *path == device);
        index.is_some_and(|(index, _)| self.damaged.insert(*index))
    }

    /// Whether a bad block of it was read.
    pub fn is_damaged(&self, index: u16) -> bool {
        self.damaged.contains(&index)
    }

    /// The device to mount, made when it is the first use.
    ///
    /// # Errors
    /// When the disk is not there or not that long, and when what is read would not be checked.
    pub fn device(&mut self, index: u16) -> Result<PathBuf, ImageError> {
        if let Some(device) = self.checked.get(&index) {
            return Ok(device.clone());
        }
        let image = self.list[usize::from(index)];
        let device = self.disk.partition(index, image.partition())?;
        let Some(control) = &self.control else {
            return Ok(device);
        };
        let failed = |source| ImageError::Check {
            index,
            device: device.clone(),
            source,
        };
        let mapper = match self.mapper.take() {
            Some(mapper) => mapper,
            None => Mapper::open(control).map_err(failed)?,
        };
        let checked = mapper.check(&format!("image{index}"), &device, &image.verity);
        self.mapper = Some(mapper);
        let checked = checked.map_err(failed)?;
        self.checked.insert(index, checked.clone());
        Ok(checked)
    }
}
