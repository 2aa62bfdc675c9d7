//! Disks of the host that a machine has: block devices, and files with a disk's bytes. They lie on two further disks of the machine, which
//! only pods with such volumes have: one whose files are opened for writing, and one whose files are not. So what is read-only is
//! read-only on the host's side, and neither a slow device nor its flushes hold up the apps' writable layers.

use std::collections::BTreeMap;

use bulkhead_pod::manifest::FsType;
use bulkhead_protocol::plan::{DiskVolume, MAX_DISK_VOLUMES, Partition, ShownDisk};
use bulkhead_protocol::vmm::{EXTENT_ALIGNMENT, SECTOR};

use super::disks::DiskError;

/// A disk of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostDisk {
    /// The volume's name.
    pub volume: String,
    /// Absolute path on the host.
    pub source: String,
    /// What lies there.
    pub raw: Raw,
    /// Whether it is opened for reading only.
    pub read_only: bool,
}

/// A block device or regular file of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Raw {
    /// Whether it is a block device.
    pub device: bool,
    /// Its bytes.
    pub length: u64,
    /// Permission bits.
    pub mode: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// The disks so far, by volume.
#[derive(Debug, Default)]
pub(super) struct HostDisks<K> {
    known: BTreeMap<K, u8>,
    all: Vec<(HostDisk, ShownDisk)>,
}

impl<K: Ord> HostDisks<K> {
    /// The index of this volume, and whether it is a node.
    ///
    /// # Errors
    /// When it cannot be a disk as it is, or there are more than a machine can have.
    pub(super) fn index(
        &mut self,
        volume: K,
        disk: HostDisk,
        fs_type: Option<FsType>,
    ) -> Result<(u8, bool), String> {
        let node = fs_type.is_none();
        if let Some(&index) = self.known.get(&volume) {
            if self.all[usize::from(index)].0.read_only != disk.read_only {
                let (here, elsewhere) = match disk.read_only {
                    true => ("read-only", "writable"),
                    false => ("writable", "read-only"),
                };
                return Err(format!(
                    "volume {} is {here} here and {elsewhere} elsewhere, and a disk is one of them for the whole pod (readOnly of the volume)",
                    disk.volume
                ));
            }
            return Ok((index, node));
        }
        check(&disk, fs_type)?;
        if self.all.len() == MAX_DISK_VOLUMES {
            return Err(format!(
                "volume {} is one more than the {MAX_DISK_VOLUMES} disks of the host that a pod can have",
                disk.volume
            ));
        }
        let shown = match fs_type {
            None => ShownDisk::Node {
                mode: disk.raw.mode & 0o666,
                uid: disk.raw.uid,
                gid: disk.raw.gid,
            },
            Some(FsType::Ext4) => ShownDisk::Ext4,
            Some(FsType::Erofs) => ShownDisk::Erofs,
        };
        let index = u8::try_from(self.all.len()).expect("bounded by MAX_DISK_VOLUMES");
        self.known.insert(volume, index);
        self.all.push((disk, shown));
        Ok((index, node))
    }

    /// Gives each its place. The first disk of the machine is that of the writable ones, if there are any.
    pub(super) fn lay_out(self) -> Result<(Vec<DiskVolume>, Vec<HostDisk>), DiskError> {
        let mut order: Vec<usize> = (0..self.all.len()).collect();
        // The others begin at whole pages of the disk when those that are no whole pages long come last.
        let is_odd = |index: &usize| {
            !self.all[*index]
                .0
                .raw
                .length
                .is_multiple_of(EXTENT_ALIGNMENT)
        };
        order.sort_by_key(is_odd);
        let writable = self.all.iter().any(|(disk, _)| !disk.read_only);
        let mut ends = [0_u64; 2];
        let mut starts = vec![(0, 0); self.all.len()];
        for index in order {
            let (disk, _) = &self.all[index];
            let number = usize::from(disk.read_only && writable);
            let start = ends[number];
            let end = start.checked_add(disk.raw.length);
            ends[number] = end.ok_or_else(|| DiskError::TooLong {
                what: format!("volume {}", disk.volume),
            })?;
            starts[index] = (u8::from(disk.read_only && writable), start);
        }
        let placed = self.all.into_iter().zip(starts);
        Ok(placed
            .map(|((host, shown), (disk, start))| {
                let length = host.raw.length;
                let partition = Partition { start, length };
                let volume = DiskVolume {
                    disk,
                    partition,
                    shown,
                };
                (volume, host)
            })
            .unzip())
    }
}

fn check(disk: &HostDisk, fs_type: Option<FsType>) -> Result<(), String> {
    let HostDisk { volume, source, .. } = disk;
    let length = disk.raw.length;
    if length == 0 {
        return Err(format!("volume {volume}: {source}: has no bytes"));
    }
    if !length.is_multiple_of(SECTOR) {
        return Err(format!(
            "volume {volume}: {source}: has {length} bytes, and a disk has whole sectors of {SECTOR}"
        ));
    }
    if fs_type == Some(FsType::Erofs) && !disk.read_only {
        return Err(format!(
            "volume {volume}: {source}: erofs cannot be written to (readOnly=true)"
        ));
    }
    Ok(())
}
