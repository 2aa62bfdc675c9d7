//! What lies at the sources of the pod's volumes. Nothing is opened: that could wait, or do something to a device.

use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use bulkhead_pod::manifest::{PodManifest, VolumeKind};
use bulkhead_protocol::vmm::SECTOR;
use bulkhead_stage1::plan::{Raw, Source};
use rustix::fs::{major, minor};

/// What lies at the source of each volume of the host, links followed, or why it is of no use.
pub(crate) fn examine(manifest: &PodManifest) -> BTreeMap<String, Result<Source, String>> {
    let mounts = manifest.apps.iter().flat_map(|app| &app.mounts);
    let of_apps = mounts.filter_map(|mount| mount.app_volume.as_ref());
    let mut sources = BTreeMap::new();
    for volume in manifest.volumes.iter().chain(of_apps) {
        if let VolumeKind::Host { source, .. } | VolumeKind::Disk { source, .. } = &volume.kind {
            sources.insert(
                source.as_str().to_owned(),
                look_at(Path::new(source.as_str())),
            );
        }
    }
    sources
}

fn look_at(source: &Path) -> Result<Source, String> {
    let metadata = fs::metadata(source).map_err(|error| format!("the host says: {error}"))?;
    let kind = metadata.file_type();
    if kind.is_dir() {
        Ok(Source::Directory)
    } else if kind.is_file() {
        Ok(Source::Raw(raw(&metadata, false, metadata.len())))
    } else if kind.is_block_device() {
        Ok(Source::Raw(raw(&metadata, true, device_length(&metadata)?)))
    } else {
        Err("is neither a directory nor a regular file nor a block device".to_owned())
    }
}

fn raw(metadata: &Metadata, device: bool, length: u64) -> Raw {
    let mode = u16::try_from(metadata.mode() & 0o777).expect("nine bits");
    Raw {
        device,
        length,
        mode,
        uid: metadata.uid(),
        gid: metadata.gid(),
    }
}

/// A device's length, in bytes (`Documentation/ABI/stable/sysfs-block`, `size`: in sectors of 512 bytes whatever the device's are).
fn device_length(metadata: &Metadata) -> Result<u64, String> {
    let number = metadata.rdev();
    let path = format!("/sys/dev/block/{}:{}/size", major(number), minor(number));
    let text = fs::read_to_string(&path);
    let text = text.map_err(|error| format!("the host has no such device ({path}: {error})"))?;
    let sectors: Option<u64> = text.trim().parse().ok();
    sectors
        .and_then(|sectors| sectors.checked_mul(SECTOR))
        .ok_or_else(|| format!("the host tells no length ({path} is {text:?})"))
}
