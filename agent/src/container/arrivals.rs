//! Files of apps that the pod gets while it runs, as devices.
//!
//! The host's `/dev` is out of sight by then: nodes of loop devices are made in our own, by what the kernel says of them.

use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use bulkhead_protocol::container::SharedTree;
use bulkhead_protocol::vmm::FdIndex;
use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
use rustix::io::Errno;

use super::control::Control;
use super::devices::{Device, attach};
use super::{ContainerError, descriptor, place_share};
use crate::disk::{Arrived, Part};

/// What brings them.
pub(super) struct Arrivals {
    control: Rc<Control>,
    /// `/dev/loop-control`.
    loops: File,
}

impl Arrivals {
    pub(super) fn new(control: Rc<Control>, loops: File) -> Self {
        Self { control, loops }
    }

    /// The files of the next app, if they have come.
    pub(super) fn next(&self) -> io::Result<Option<Arrived>> {
        let Some((arrival, files)) = self.control.receive_arrival().map_err(io::Error::other)?
        else {
            return Ok(None);
        };
        let part = |index: FdIndex, read_only| self.part(index, &files, read_only);
        let image = match arrival.image {
            Some((number, file)) => Some((number, part(file, true)?)),
            None => None,
        };
        let (number, file) = arrival.scratch;
        let scratch = (number, part(file, false)?);
        if let Some((index, tree)) = arrival.root {
            let share = SharedTree {
                tree,
                is_file: false,
            };
            place_share(index, share, &files).map_err(io::Error::other)?;
        }
        Ok(Some(Arrived { image, scratch }))
    }

    fn part(&self, index: FdIndex, files: &[OwnedFd], read_only: bool) -> io::Result<Part> {
        let file = descriptor("an app's file", index.0, files);
        let file = file.map_err(|error: ContainerError| io::Error::other(error))?;
        let Device { name, file, .. } = attach(&self.loops, file, read_only, open)?;
        Ok(Part::held(Path::new("/dev").join(name), file))
    }
}

/// Opens a loop device by a node that is made for it.
fn open(name: &str) -> io::Result<File> {
    let number = fs::read_to_string(format!("/sys/block/{name}/dev"))?;
    let parts = number.trim().split_once(':');
    let number = parts.and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)));
    let (major, minor) = number.ok_or_else(|| io::Error::other("no number of a device"))?;
    let path = PathBuf::from("/dev").join(name);
    let mode = Mode::from_raw_mode(0o600);
    match mknodat(
        CWD,
        &path,
        FileType::BlockDevice,
        mode,
        makedev(major, minor),
    ) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(errno) => return Err(errno.into()),
    }
    File::options().read(true).write(true).open(path)
}
