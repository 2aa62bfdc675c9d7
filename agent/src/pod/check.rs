//! Whether a plan makes sense: what apps name is there.

use bulkhead_protocol::plan::{
    App, DiskVolume, EmptyVolume, ImageFiles, MAX_VOLUME_DISKS, MountSource,
};

use super::{PlanError, Pod};

/// An app among those that the pod has so far.
pub(super) fn app(pod: &Pod, app: &App) -> Result<(), PlanError> {
    let whose = || app.name.clone();
    if pod.find(&app.name).is_some() {
        return Err(PlanError::SameName { name: whose() });
    }
    if matches!(&app.image, ImageFiles::Layers(layers) if layers.is_empty()) {
        return Err(PlanError::NoLayers { app: whose() });
    }
    let count = pod.images.count();
    let mut layers = app.image.layers().iter();
    if let Some(&index) = layers.find(|&&index| usize::from(index) >= count) {
        return Err(PlanError::NoImage {
            app: whose(),
            index,
            count,
        });
    }
    let count = pod.empty_volumes.len();
    if let Some(index) = volumes_of(app).find(|&index| usize::from(index) >= count) {
        return Err(PlanError::NoVolume {
            app: whose(),
            index,
            count,
        });
    }
    let is_there = |volume: &DiskVolume| usize::from(volume.disk) < MAX_VOLUME_DISKS;
    let known = |index: u8| {
        let volume = pod.disk_volumes.get(usize::from(index));
        volume.is_some_and(is_there)
    };
    match disks_of(app).find(|&index| !known(index)) {
        Some(index) => Err(PlanError::NoDisk {
            app: whose(),
            index,
        }),
        None => Ok(()),
    }
}

/// The pod's volumes.
pub(super) fn volumes(pod: &Pod) -> Result<(), PlanError> {
    let has_disk = |volume: &EmptyVolume| {
        let layers = volume.fill.iter().flat_map(|fill| fill.image.layers());
        let known = |&layer: &u16| usize::from(layer) < pod.images.count();
        (!volume.shared || pod.volume_scratch.is_some()) && layers.into_iter().all(known)
    };
    match pod.empty_volumes.iter().position(|v| !has_disk(v)) {
        Some(index) => Err(PlanError::NoVolumeDisk { index }),
        None => Ok(()),
    }
}

/// Numbers of the empty volumes that an app mounts.
pub(super) fn volumes_of(app: &App) -> impl Iterator<Item = u16> {
    app.mounts.iter().filter_map(|mount| match mount.source {
        MountSource::EmptyVolume { index } => Some(index),
        _ => None,
    })
}

/// Numbers of the host's disks that an app mounts.
pub(super) fn disks_of(app: &App) -> impl Iterator<Item = u8> {
    app.mounts.iter().filter_map(|mount| match mount.source {
        MountSource::Disk { index, .. } => Some(index),
        _ => None,
    })
}
