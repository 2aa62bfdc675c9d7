//! An app's root, made by the first process of the app in a mount namespace of its own.
//!
//! ```text
//! /provided  files of the agent in memory, read-only    ┐
//! /layer/N   image partitions   erofs, read-only        │
//! /scratch   upper/, work/      ext4                    ├─ overlay on /root, which becomes /
//! ```
//!
//! An app whose image is a directory of the host has that directory, a share, for its root as it is.
//!
//! All of it is done by the child that becomes the app's program, so that a slow disk of one app holds up neither the agent nor
//! another app. The namespace goes away with its last process and the agent's hold on it, and takes the mounts along: that is how
//! the scratch file systems are unmounted.

mod error;

use std::ffi::CString;
use std::fmt::Write;
use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use bulkhead_protocol::plan::{
    DiskVolume, EmptyVolume, ImageFiles, Mount, MountSource, SHARED_FILE, share_tag,
};
use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_change, mount_remount, unmount,
};
use rustix::process::{chdir, pivot_root};

use crate::device_policy::{self, Device};
use crate::disk_volumes;
use crate::mounts;
use crate::provided;
use crate::sys;
use crate::volumes::{self, VolumeError};
pub use error::RootError;

/// `discard`: what an app deletes is given back to the host. The others: no background work on a disk that was made for this app,
/// be it writing zeroes over holes or reading ahead what is all the same.
const SCRATCH_OPTIONS: &std::ffi::CStr = c"discard,noinit_itable,no_prefetch_block_bitmaps";

/// Block groups whose bitmaps ext4 gets ready for each allocation. Its own 32 make the first file of a new disk wait for what
/// takes longer than all the rest of an app's start.
const GROUPS_AT_A_TIME: &str = "1";

/// What an app's root is made of.
#[derive(Debug)]
pub struct Root<'a> {
    /// Directory for mount points; `/` in a guest.
    pub base: &'a Path,
    /// What the root is made of.
    pub image: &'a ImageFiles,
    /// Image partitions, the first on top. The number is the mount point's.
    pub layers: &'a [(u16, PathBuf)],
    /// Partition of the writable layer.
    pub scratch: &'a Path,
    /// Whether the app cannot write to it.
    pub read_only: bool,
    /// Mounts in it, in order.
    pub mounts: &'a [Mount],
    /// The pod's empty volumes, of which the mounts show some.
    pub empty_volumes: &'a [EmptyVolume],
    /// Partition of the volumes that several apps share, if the mounts show one.
    pub volume_scratch: Option<&'a Path>,
    /// Image partitions that the volumes of the mounts are filled from, as in `layers`.
    pub fills: &'a [(u16, PathBuf)],
    /// Disks of the host that the mounts show, with their numbers and partitions.
    pub disks: &'a [(u8, DiskVolume, PathBuf)],
    /// Whether the directories of the host are mounted below `base` already.
    pub has_shares: bool,
    /// The app's control group, which this process is in.
    pub cgroup: Option<&'a OwnedFd>,
    /// What is hidden, where it exists.
    pub masked: &'a [bulkhead_protocol::plan::Path],
    /// What becomes read-only, where it exists.
    pub closed: &'a [bulkhead_protocol::plan::Path],
    /// Whether the agent's own files are in it.
    pub is_provided: bool,
}

impl Root<'_> {
    /// Makes the root and moves this process into it. The process must have a mount namespace of its own.
    ///
    /// # Errors
    /// When anything fails; the namespace is of no use then.
    pub fn enter(&self) -> Result<(), RootError> {
        let change = |step| move |source| RootError::Change { step, source };
        let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
        mount_change("/", private).map_err(change("make mounts private"))?;
        let mut directories = VolumeDirectories::default();
        let root = self.make(&mut directories)?;
        let given = self.files_to_give()?;
        let mounts = self.take_volumes(&mut directories)?;
        let devices = self.own_devices()?;
        chdir(&root).map_err(change("chdir"))?;
        // Old and new root on one mount point: the old one is taken from under it.
        pivot_root(".", ".").map_err(change("pivot_root"))?;
        unmount(".", UnmountFlags::DETACH).map_err(change("detach the old root"))?;
        chdir("/").map_err(change("chdir"))?;
        if self.is_provided {
            let root = Path::new("/");
            let named = given.write_missing(root);
            named
                .and_then(|()| provided::name_host(root))
                .map_err(|source| RootError::Provided { source })?;
        }
        mounts::apply(&mounts)?;
        for path in self.closed {
            mounts::make_read_only(Path::new(path.as_str()))?;
        }
        for path in self.masked {
            mounts::mask(Path::new(path.as_str()))?;
        }
        if self.read_only {
            // Last, for targets of mounts were still to be made.
            let flags = MountFlags::BIND | MountFlags::RDONLY;
            mount_remount("/", flags, "").map_err(change("make it read-only"))?;
        }
        // After the last mount of a disk, which this process could not open any more.
        match self.cgroup {
            None => Ok(()),
            Some(cgroup) => sys::limit_devices(cgroup.as_fd(), &device_policy::program(&devices))
                .map_err(|source| RootError::Devices { source }),
        }
    }

    fn make(&self, directories: &mut VolumeDirectories) -> Result<PathBuf, RootError> {
        match self.image {
            ImageFiles::Layers(_) => {
                let layers = self.mount_layers(self.layers)?;
                self.mount_overlay(&layers)
            }
            ImageFiles::Share(index) => {
                // For the app's own volumes.
                mount_scratch(self.scratch, &self.base.join("scratch"))?;
                self.mount_share(*index, directories)
            }
        }
    }

    /// What lies below the layers of an image, for a root that nothing can lie below.
    fn files_to_give(&self) -> Result<provided::Missing, RootError> {
        match self.image {
            ImageFiles::Share(_) if self.is_provided => {
                let files = provided::Missing::read(self.base);
                files.map_err(|source| RootError::Provided { source })
            }
            _ => Ok(provided::Missing::default()),
        }
    }

    /// The disks that the app has as nodes.
    fn own_devices(&self) -> Result<Vec<Device>, RootError> {
        let nodes = self
            .disks
            .iter()
            .filter(|(_, volume, _)| volume.shown.is_node());
        nodes
            .map(|(_, _, device)| Device::of_block_node(device))
            .collect::<io::Result<_>>()
            .map_err(|source| RootError::Devices { source })
    }

    /// The mounts, each with its volume: taken before the root changes, when the file systems are still in sight.
    fn take_volumes(
        &self,
        directories: &mut VolumeDirectories,
    ) -> Result<Vec<(&Mount, Option<OwnedFd>)>, RootError> {
        let mut taken = Vec::new();
        for mount in self.mounts {
            let failed = |source| RootError::Volume {
                target: mount.target.as_str().to_owned(),
                source,
            };
            let volume = match mount.source {
                MountSource::EmptyVolume { index } => {
                    let volume = self.take_volume(index, directories)?;
                    Some(volume.map_err(failed)?)
                }
                MountSource::Share { index, file } => {
                    Some(self.take_share(index, file, directories)?)
                }
                MountSource::Disk { index, .. } => {
                    let disk = self.disks.iter().find(|(number, ..)| *number == index);
                    let directory = self.base.join("disks").join(index.to_string());
                    let taken = disk.map(|(_, volume, device)| {
                        disk_volumes::take(volume, device, &directory, mount.read_only)
                    });
                    taken.transpose().map_err(|source| RootError::DiskVolume {
                        target: mount.target.as_str().to_owned(),
                        source,
                    })?
                }
                MountSource::NameFile(file) => {
                    let path = provided::file_of(self.base, file);
                    Some(volumes::detached(&path).map_err(failed)?)
                }
                _ => None,
            };
            taken.push((mount, volume));
        }
        Ok(taken)
    }

    /// A directory or file of the host, mounted once however many targets it has.
    fn take_share(
        &self,
        index: u8,
        file: bool,
        directories: &mut VolumeDirectories,
    ) -> Result<OwnedFd, RootError> {
        let mut path = self.mount_share(index, directories)?;
        if file {
            path.push(SHARED_FILE);
        }
        volumes::detached(&path).map_err(|source| RootError::Volume {
            target: share_tag(index),
            source,
        })
    }

    /// Where a directory or file of the host is before an app has it.
    fn mount_share(
        &self,
        index: u8,
        directories: &mut VolumeDirectories,
    ) -> Result<PathBuf, RootError> {
        let tag = share_tag(index);
        let path = self.base.join("shares").join(&tag);
        if !self.has_shares && !directories.shares.contains(&index) {
            make_directory(&path)?;
            mount(&*tag, &path, "virtiofs", mounts::SHARE_FLAGS, None).map_err(|source| {
                RootError::Mount {
                    kind: "virtiofs",
                    device: PathBuf::from(&tag),
                    source,
                }
            })?;
            directories.shares.push(index);
        }
        Ok(path)
    }

    fn take_volume(
        &self,
        number: u16,
        directories: &mut VolumeDirectories,
    ) -> Result<Result<OwnedFd, VolumeError>, RootError> {
        let planned = &self.empty_volumes[usize::from(number)];
        let directory = match self.volume_scratch.filter(|_| planned.shared) {
            None => self.base.join("scratch/volumes"),
            Some(device) => {
                let target = self.base.join("volumes");
                if !directories.shared_is_mounted {
                    mount_scratch(device, &target)?;
                    directories.shared_is_mounted = true;
                }
                target
            }
        };
        let image = match &planned.fill {
            None => None,
            Some(fill) => Some(self.image_root(&fill.image, directories)?),
        };
        let made = volumes::find_or_make(&directory, number, planned, image.as_deref());
        Ok(made.and_then(|path| volumes::detached(&path)))
    }

    fn mount_layers(&self, layers: &[(u16, PathBuf)]) -> Result<Vec<PathBuf>, RootError> {
        let mut targets = Vec::new();
        for (number, device) in layers {
            let target = self.base.join(format!("layer/{number}"));
            make_directory(&target)?;
            mount(device, &target, "erofs", MountFlags::RDONLY, None).map_err(|source| {
                RootError::Mount {
                    kind: "erofs",
                    device: device.clone(),
                    source,
                }
            })?;
            targets.push(target);
        }
        if self.is_provided {
            // Below all others: only for images that lack these files.
            targets.push(self.base.join(provided::DIRECTORY));
        }
        Ok(targets)
    }

    fn mount_overlay(&self, layers: &[PathBuf]) -> Result<PathBuf, RootError> {
        let scratch = self.base.join("scratch");
        mount_scratch(self.scratch, &scratch)?;
        let (upper, work) = (scratch.join("upper"), scratch.join("work"));
        make_directory(&work)?;
        make_directory(&upper)?;
        if let Some(top) = layers.first() {
            copy_owner_and_mode(top, &upper).map_err(|source| RootError::Directory {
                path: upper.clone(),
                source,
            })?;
        }
        let root = self.base.join("root");
        make_directory(&root)?;
        let options = overlay_options(layers, &upper, &work);
        mount_overlay_at(&root, MountFlags::empty(), options)?;
        Ok(root)
    }

    /// The root of an image, mounted when it is not this app's own.
    fn image_root(
        &self,
        image: &ImageFiles,
        directories: &mut VolumeDirectories,
    ) -> Result<PathBuf, RootError> {
        let layers = match image {
            ImageFiles::Layers(layers) => layers,
            ImageFiles::Share(index) => return self.mount_share(*index, directories),
        };
        let is_own = |number: &u16| self.layers.iter().any(|(own, _)| own == number);
        let mut targets = Vec::new();
        for number in layers {
            if !is_own(number) && !directories.layers.contains(number) {
                let devices = self.fills.iter().filter(|(other, _)| other == number);
                self.mount_layers(&devices.cloned().collect::<Vec<_>>())?;
                directories.layers.push(*number);
            }
            targets.push(self.base.join(format!("layer/{number}")));
        }
        if let [only] = &targets[..] {
            return Ok(only.clone());
        }
        let root = self.base.join("image");
        make_directory(&root)?;
        let options = lower_directories(&targets);
        mount_overlay_at(&root, MountFlags::RDONLY, options)?;
        Ok(root)
    }
}

/// What of the volumes is mounted while a root is made.
#[derive(Debug, Default)]
struct VolumeDirectories {
    shared_is_mounted: bool,
    shares: Vec<u8>,
    layers: Vec<u16>,
}

/// Mounts a writable file system. One that is mounted elsewhere already is the same there and here.
fn mount_scratch(device: &Path, target: &Path) -> Result<(), RootError> {
    make_directory(target)?;
    let flags = MountFlags::empty();
    mount(device, target, "ext4", flags, SCRATCH_OPTIONS).map_err(|source| RootError::Mount {
        kind: "ext4",
        device: device.to_owned(),
        source,
    })?;
    if let Some(name) = device.file_name() {
        let setting = Path::new("/sys/fs/ext4").join(name).join("mb_prefetch");
        // Without it the disk works as well, and later.
        let _ = fs::write(setting, GROUPS_AT_A_TIME);
    }
    Ok(())
}

fn mount_overlay_at(root: &Path, flags: MountFlags, options: String) -> Result<(), RootError> {
    let data = CString::new(options.as_bytes()).unwrap_or_default();
    mount("overlay", root, "overlay", flags, data.as_c_str())
        .map_err(|source| RootError::Overlay { options, source })
}

/// The names are ours and short: [`bulkhead_protocol::plan::MAX_LAYERS`] of them stay far below the page that `mount` takes, and none
/// has a comma or a colon.
fn overlay_options(layers: &[PathBuf], upper: &Path, work: &Path) -> String {
    let mut options = lower_directories(layers);
    let _ = write!(
        options,
        ",upperdir={},workdir={}",
        upper.display(),
        work.display()
    );
    options
}

fn lower_directories(layers: &[PathBuf]) -> String {
    let mut options = String::from("lowerdir=");
    for (index, layer) in layers.iter().enumerate() {
        let separator = if index == 0 { "" } else { ":" };
        let _ = write!(options, "{separator}{}", layer.display());
    }
    options
}

/// The root of an overlay has the owner and mode of its upper directory, not the image's.
fn copy_owner_and_mode(from: &Path, to: &Path) -> io::Result<()> {
    let metadata = fs::metadata(from)?;
    chown(to, Some(metadata.uid()), Some(metadata.gid()))?;
    fs::set_permissions(to, fs::Permissions::from_mode(metadata.mode() & 0o7777))
}

fn make_directory(path: &Path) -> Result<(), RootError> {
    fs::create_dir_all(path).map_err(|source| RootError::Directory {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use bulkhead_protocol::MAX_APPS;
    use bulkhead_protocol::plan::MAX_LAYERS;

    use super::overlay_options;

    #[test]
    fn the_first_layer_is_the_topmost() {
        let layers = [PathBuf::from("/layer/2"), PathBuf::from("/layer/0")];
        assert_eq!(
            overlay_options(&layers, Path::new("/u"), Path::new("/w")),
            "lowerdir=/layer/2:/layer/0,upperdir=/u,workdir=/w"
        );
    }

    #[test]
    fn the_most_layers_fit_in_a_page() {
        let layers = vec![PathBuf::from(format!("/layer/{}", 2 * MAX_APPS)); MAX_LAYERS];
        assert!(
            overlay_options(
                &layers,
                Path::new("/scratch/upper"),
                Path::new("/scratch/work")
            )
            .len()
                < 4096
        );
    }
}
