//! Partitions: one an image on the read-only disk, one an app on the scratch disk.

use bulkhead_pod::manifest::PodManifest;
use bulkhead_protocol::plan::Partition;
use bulkhead_protocol::vmm::EXTENT_ALIGNMENT;

use super::Image;

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

/// The read-only disk.
pub(super) struct Images {
    pub(super) partitions: Vec<Partition>,
    /// For each partition, an app that has the file.
    pub(super) apps: Vec<usize>,
    /// For each app, its partition.
    pub(super) layer_of_app: Vec<u16>,
}

/// One partition an image, however many apps run it.
pub(super) fn images(manifest: &PodManifest, images: &[Image]) -> Result<Images, DiskError> {
    let mut disk = Images {
        partitions: Vec::new(),
        apps: Vec::new(),
        layer_of_app: Vec::new(),
    };
    let mut end = 0;
    for (index, (app, image)) in manifest.apps.iter().zip(images).enumerate() {
        let same = |other: &usize| manifest.apps[*other].image.id == app.image.id;
        let layer = disk.apps.iter().position(same).map_or_else(
            || {
                disk.apps.push(index);
                let what = || format!("the image of app {}", app.name);
                disk.partitions.push(append(&mut end, image.length, what)?);
                Ok(disk.apps.len() - 1)
            },
            Ok,
        )?;
        let layer = u16::try_from(layer).expect("a pod has fewer apps than 2^16");
        disk.layer_of_app.push(layer);
    }
    Ok(disk)
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

fn append(end: &mut u64, length: u64, what: impl Fn() -> String) -> Result<Partition, DiskError> {
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
