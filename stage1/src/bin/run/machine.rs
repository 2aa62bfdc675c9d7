//! The machine's description, and every descriptor that it is made of.

use std::fs::File;
use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use anyhow::{Context, Result};
use bulkhead_protocol::bounded::{List, Text};
use bulkhead_protocol::frame;
use bulkhead_protocol::plan::Partition;
use bulkhead_protocol::vmm::{DiskSpec, Extent, FdIndex, MAX_FDS, MAX_PACKET, MachineSpec, ToVmm};
use bulkhead_stage1::command_line::command_line;
use bulkhead_stage1::plan::Pod;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

use crate::files::{PodFiles, Scratch, open_image, open_stage1};

/// The guest's vsock address. Each machine has a vsock of its own, so all can have the same.
const GUEST_CID: u32 = 3;

/// Descriptors in the order in which they are sent.
#[derive(Default)]
struct Descriptors<'a>(Vec<BorrowedFd<'a>>);

impl<'a> Descriptors<'a> {
    fn add(&mut self, file: &'a File) -> Result<FdIndex> {
        let index = u8::try_from(self.0.len()).ok();
        let index = index.filter(|index| usize::from(*index) < MAX_FDS);
        self.0.push(file.as_fd());
        index
            .map(FdIndex)
            .with_context(|| format!("the machine needs more than {MAX_FDS} files"))
    }
}

/// Writes the machine's description into the VMM's socket.
pub(crate) fn send(
    socket: &OwnedFd,
    files: &PodFiles,
    pod: &Pod,
    kvm: &File,
    scratch: &Scratch,
    debug: bool,
) -> Result<()> {
    let kernel = open_stage1("kernel/vmlinux")?;
    let initramfs = open_stage1("initramfs.cpio")?;
    let apps = &files.manifest().apps;
    let images = pod.image_apps.iter();
    let images: Vec<File> = images
        .map(|app| open_image(&apps[*app].name))
        .collect::<Result<_>>()?;

    let mut descriptors = Descriptors::default();
    let partitions = pod.plan.apps.iter().map(|app| app.scratch);
    let partitions = partitions.chain(pod.plan.volume_scratch);
    let spec = MachineSpec {
        kvm: descriptors.add(kvm)?,
        vcpus: pod.size.vcpus,
        memory_mib: pod.size.memory_mib,
        kernel: descriptors.add(&kernel)?,
        initramfs: Some(descriptors.add(&initramfs)?),
        command_line: Text::try_from(command_line(debug)).context("the kernel's command line")?,
        disks: List::try_from(vec![
            disk(
                &mut descriptors,
                &images,
                pod.plan.images.iter().copied(),
                false,
            )?,
            disk(&mut descriptors, &scratch.files, partitions, true)?,
        ])
        .context("the machine's disks")?,
        vsock_cid: GUEST_CID,
        debug_console: debug,
    };
    let packet = frame::encode_packet(&ToVmm::Machine(spec), MAX_PACKET)
        .context("the machine's description")?;
    send_packet(socket, &packet, &descriptors.0)
        .context("send the machine's description to the VMM")
}

fn disk<'a>(
    descriptors: &mut Descriptors<'a>,
    files: &'a [File],
    partitions: impl Iterator<Item = Partition>,
    writable: bool,
) -> Result<DiskSpec> {
    let extents: Result<Vec<_>> = files
        .iter()
        .zip(partitions)
        .map(|(file, partition)| {
            Ok(Extent {
                file: descriptors.add(file)?,
                offset: 0,
                length: partition.length,
            })
        })
        .collect();
    let extents = List::try_from(extents?).context("the parts of a disk")?;
    Ok(DiskSpec { extents, writable })
}

fn send_packet(socket: &OwnedFd, bytes: &[u8], files: &[BorrowedFd<'_>]) -> std::io::Result<()> {
    let mut space = vec![MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !ancillary.push(SendAncillaryMessage::ScmRights(files)) {
        return Err(std::io::ErrorKind::InvalidInput.into());
    }
    sendmsg(
        socket,
        &[IoSlice::new(bytes)],
        &mut ancillary,
        SendFlags::NOSIGNAL,
    )?;
    Ok(())
}
