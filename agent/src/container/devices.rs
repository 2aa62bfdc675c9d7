//! Block devices for the files of a pod: a loop device each, and the host's own devices as they are.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use bulkhead_protocol::container::{ContainerDisk, ContainerSpec};
use bulkhead_protocol::plan::VOLUME_PARTITION;
use bulkhead_protocol::vmm::FdIndex;
use rustix::fs::{CWD, FileType, Mode, fstat, makedev, mknodat};
use rustix::io::Errno;

use super::{ContainerError, descriptor};
use crate::sys;

/// Tries to have a free loop device before somebody else has it.
const ATTEMPTS: usize = 64;

/// Character devices of the agent's own `/dev`: what it gives programs for no input, and puts over hidden files.
const NULL: (u32, u32) = (1, 3);

/// See the module docs.
pub(super) struct Devices {
    /// `/dev/loop-control`.
    pub(super) loops: File,
    images: BTreeMap<u16, Device>,
    scratch: BTreeMap<u16, Device>,
    disks: BTreeMap<u16, Device>,
}

pub(super) struct Device {
    /// Below `/dev`.
    pub(super) name: String,
    /// As the kernel numbers it.
    number: u64,
    /// Open, for a loop device goes away with its last user.
    pub(super) file: OwnedFd,
}

impl Devices {
    /// Sees the host's `/dev`.
    pub(super) fn of(spec: &ContainerSpec, files: &[OwnedFd]) -> Result<Self, ContainerError> {
        let control = open_of_host("loop-control").map_err(failed("files"))?;
        let attach = |what: &str, index: FdIndex, read_only| {
            let file = descriptor("a file", index.0, files)?;
            attach(&control, file, read_only, open_of_host).map_err(failed(what))
        };
        let mut images = BTreeMap::new();
        for (number, file) in (0..).zip(spec.images.iter()) {
            images.insert(number, attach("an image", *file, true)?);
        }
        let mut scratch = BTreeMap::new();
        for (number, file) in (0..).zip(spec.scratch.iter()) {
            scratch.insert(number, attach("a writable layer", *file, false)?);
        }
        if let Some(file) = spec.volume_scratch {
            scratch.insert(VOLUME_PARTITION, attach("the volumes", file, false)?);
        }
        let mut disks = BTreeMap::new();
        for (number, disk) in (0..).zip(spec.disks.iter()) {
            let ContainerDisk { file, read_only } = *disk;
            let opened = descriptor("a disk", file.0, files)?;
            let device = match own_number(opened).map_err(failed("a disk"))? {
                None => attach("a disk", file, read_only)?,
                Some(of_disk) => Device {
                    name: format!("disk{number}"),
                    number: of_disk,
                    file: opened.try_clone().map_err(failed("a disk"))?,
                },
            };
            disks.insert(number, device);
        }
        Ok(Self {
            loops: control,
            images,
            scratch,
            disks,
        })
    }

    /// Images, writable layers and disks by their places in the plan.
    pub(super) fn storage(&self) -> [BTreeMap<u16, PathBuf>; 3] {
        [&self.images, &self.scratch, &self.disks].map(|devices| {
            let paths = devices
                .iter()
                .map(|(index, device)| (*index, Path::new("/dev").join(&device.name)));
            paths.collect()
        })
    }

    /// Nodes of our own: their owners and permissions are the pod's to change.
    pub(super) fn make_nodes(&self, directory: &Path) -> Result<(), ContainerError> {
        let make = |name: &str, kind, number, mode| {
            let mode = Mode::from_raw_mode(mode);
            mknodat(CWD, directory.join(name), kind, mode, number)
                .map_err(|errno| failed(name)(errno.into()))
        };
        let null = makedev(NULL.0, NULL.1);
        make("null", FileType::CharacterDevice, null, 0o666)?;
        for devices in [&self.images, &self.scratch, &self.disks] {
            for device in devices.values() {
                make(&device.name, FileType::BlockDevice, device.number, 0o600)?;
            }
        }
        Ok(())
    }
}

/// The number of a block device; none of a regular file.
fn own_number(file: &OwnedFd) -> io::Result<Option<u64>> {
    let metadata = fstat(file)?;
    let is_device = FileType::from_raw_mode(metadata.st_mode) == FileType::BlockDevice;
    Ok(is_device.then_some(metadata.st_rdev))
}

/// Makes a loop device of a file. `open` opens one by its name.
pub(super) fn attach(
    control: &File,
    file: &OwnedFd,
    read_only: bool,
    open: impl Fn(&str) -> io::Result<File>,
) -> io::Result<Device> {
    let mut last = Errno::BUSY.into();
    for _ in 0..ATTEMPTS {
        let name = format!("loop{}", sys::free_loop_device(control)?);
        let device = open(&name)?;
        match sys::attach_loop_device(&device, file.as_fd(), read_only) {
            Ok(()) => {
                return Ok(Device {
                    name,
                    number: fstat(&device)?.st_rdev,
                    file: device.into(),
                });
            }
            Err(error) if Errno::from_io_error(&error) == Some(Errno::BUSY) => last = error,
            Err(error) => return Err(error),
        }
    }
    Err(last)
}

fn open_of_host(name: &str) -> io::Result<File> {
    let path = Path::new("/dev").join(name);
    File::options().read(true).write(true).open(path)
}

fn failed(what: &str) -> impl FnOnce(io::Error) -> ContainerError {
    let what = what.to_owned();
    move |source| ContainerError::Device { what, source }
}
