//! The machine's description, and every descriptor that it is made of.

use std::fs::File;
use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use anyhow::{Context, Result};
use bulkhead_protocol::bounded::{List, Text};
use bulkhead_protocol::frame;
use bulkhead_protocol::mutable::EMPTY_DISK;
use bulkhead_protocol::plan::{DiskImage, MAX_VOLUME_DISKS, Partition, share_tag};
use bulkhead_protocol::vmm::{
    DiskAccess, DiskSpec, Extent, FdIndex, MAX_DISKS, MAX_FDS, MAX_PACKET, MachineSpec, ShareSpec,
    ToVmm,
};
use bulkhead_stage1::command_line::command_line;
use bulkhead_stage1::plan::{Added, Pod};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

use crate::files::{PodFiles, open_image, open_stage1};
use crate::flavor::Sources;
use crate::shares::Shares;

/// The guest's vsock address. Each machine has a vsock of its own, so all can have the same.
const GUEST_CID: u32 = 3;

/// Descriptors in the order in which they are sent.
#[derive(Default)]
pub(crate) struct Descriptors<'a>(Vec<BorrowedFd<'a>>);

impl<'a> Descriptors<'a> {
    pub(crate) fn add(&mut self, file: BorrowedFd<'a>) -> Result<FdIndex> {
        let index = u8::try_from(self.0.len()).ok();
        let index = index.filter(|index| usize::from(*index) < MAX_FDS);
        self.0.push(file);
        index
            .map(FdIndex)
            .with_context(|| format!("the pod needs more than {MAX_FDS} files"))
    }

    pub(crate) fn add_all(&mut self, files: &'a [File]) -> Result<Vec<FdIndex>> {
        files.iter().map(|file| self.add(file.as_fd())).collect()
    }

    pub(crate) fn all(&self) -> &[BorrowedFd<'a>] {
        &self.0
    }
}

/// Opens each image of the plan.
pub(crate) fn images(files: &PodFiles, pod: &Pod) -> Result<Vec<File>> {
    let apps = &files.manifest().apps;
    let images = pod.image_apps.iter();
    images.map(|app| open_image(&apps[*app].name)).collect()
}

/// Writes the machine's description into the VMM's socket.
pub(crate) fn send(
    socket: &OwnedFd,
    files: &PodFiles,
    pod: &Pod,
    kvm: &File,
    shares: &Shares,
    sources: &Sources<'_>,
    debug: bool,
) -> Result<()> {
    let kernel = open_stage1("kernel/vmlinux")?;
    let initramfs = open_stage1("initramfs.cpio")?;
    let images = images(files, pod)?;
    let mut descriptors = Descriptors::default();
    let mut specs = Vec::new();
    for (index, (connection, late)) in (0..).zip(shares.connections()) {
        specs.push(ShareSpec {
            tag: Text::try_from(share_tag(index)).context("a share's tag")?,
            socket: descriptors.add(connection.as_fd())?,
            late,
        });
    }
    let spec = MachineSpec {
        kvm: descriptors.add(kvm.as_fd())?,
        vcpus: pod.size.vcpus,
        memory_mib: pod.size.memory_mib,
        kernel: descriptors.add(kernel.as_fd())?,
        initramfs: Some(descriptors.add(initramfs.as_fd())?),
        command_line: Text::try_from(command_line(debug)).context("the kernel's command line")?,
        disks: disks(&mut descriptors, &images, pod, sources)?,
        shares: List::try_from(specs).context("the machine's shares")?,
        vsock_cid: GUEST_CID,
        debug_console: debug,
    };
    let packet = frame::encode_packet(&ToVmm::Machine(spec), MAX_PACKET)
        .context("the machine's description")?;
    send_packet(socket, &packet, descriptors.all())
        .context("send the machine's description to the VMM")
}

/// Images, scratch file systems, and where the pod has them, disks of the host.
fn disks<'a>(
    descriptors: &mut Descriptors<'a>,
    images: &'a [File],
    pod: &Pod,
    sources: &Sources<'a>,
) -> Result<List<DiskSpec, MAX_DISKS>> {
    let plan = &pod.plan;
    let of_images = images
        .iter()
        .zip(plan.images.iter().map(DiskImage::partition));
    let partitions = plan.apps.iter().map(|app| app.scratch);
    let partitions = partitions.chain(plan.volume_scratch);
    let scratch = sources.scratch.files.iter().zip(partitions);
    let nothing = Partition {
        start: 0,
        length: EMPTY_DISK,
    };
    let empty_images = sources.scratch.empty_images.iter();
    let of_images = empty_images.map(|file| (file, nothing)).chain(of_images);
    let empty_scratch = sources.scratch.empty_scratch.iter();
    let scratch = empty_scratch.map(|file| (file, nothing)).chain(scratch);
    let mut disks = vec![
        disk(descriptors, of_images, DiskAccess::ReadOnly, false)?,
        disk(descriptors, scratch, DiskAccess::Temporary, true)?,
    ];
    for number in 0..MAX_VOLUME_DISKS {
        let volumes = plan.disk_volumes.iter().zip(&pod.disks).zip(sources.disks);
        let mut of_disk: Vec<_> = volumes
            .filter(|((volume, _), _)| usize::from(volume.disk) == number)
            .collect();
        let Some(((_, first), _)) = of_disk.first() else {
            break;
        };
        let access = match first.read_only {
            true => DiskAccess::ReadOnly,
            false => DiskAccess::Writable,
        };
        of_disk.sort_by_key(|((volume, _), _)| volume.partition.start);
        let extents = of_disk
            .into_iter()
            .map(|((volume, _), file)| (file, volume.partition));
        disks.push(disk(descriptors, extents, access, true)?);
    }
    List::try_from(disks).context("the machine's disks")
}

/// The places of the two disks that every machine has.
const IMAGES: u8 = 0;
const SCRATCH: u8 = 1;

/// Makes both longer by the files of an app: what is new of its image, and its writable layer.
pub(crate) fn grow(
    socket: &OwnedFd,
    added: &Added,
    image: Option<&File>,
    scratch: &File,
) -> Result<()> {
    let of_image = image.into_iter().zip(added.app.images.iter());
    let parts = of_image.map(|(file, image)| (IMAGES, file, image.partition()));
    let of_scratch = (SCRATCH, scratch, added.app.app.scratch);
    for (disk, file, partition) in parts.chain([of_scratch]) {
        let extent = Extent {
            file: FdIndex(0),
            offset: 0,
            length: partition.length,
        };
        let message = ToVmm::GrowDisk { disk, extent };
        let packet = frame::encode_packet(&message, MAX_PACKET).context("a disk's new part")?;
        send_packet_now(socket, &packet, &[file.as_fd()])
            .context("send a disk's new part to the VMM")?;
    }
    Ok(())
}

fn disk<'a>(
    descriptors: &mut Descriptors<'a>,
    parts: impl Iterator<Item = (&'a File, Partition)>,
    access: DiskAccess,
    own_thread: bool,
) -> Result<DiskSpec> {
    let extents: Result<Vec<_>> = parts
        .map(|(file, partition)| {
            Ok(Extent {
                file: descriptors.add(file.as_fd())?,
                offset: 0,
                length: partition.length,
            })
        })
        .collect();
    let extents = List::try_from(extents?).context("the parts of a disk")?;
    Ok(DiskSpec {
        extents,
        access,
        own_thread,
    })
}

pub(crate) fn send_packet(
    socket: &OwnedFd,
    bytes: &[u8],
    files: &[BorrowedFd<'_>],
) -> std::io::Result<()> {
    send_with(socket, bytes, files, SendFlags::NOSIGNAL)
}

/// The same to somebody who is not waited for.
pub(crate) fn send_packet_now(
    socket: &OwnedFd,
    bytes: &[u8],
    files: &[BorrowedFd<'_>],
) -> std::io::Result<()> {
    send_with(
        socket,
        bytes,
        files,
        SendFlags::NOSIGNAL | SendFlags::DONTWAIT,
    )
}

fn send_with(
    socket: &OwnedFd,
    bytes: &[u8],
    files: &[BorrowedFd<'_>],
    flags: SendFlags,
) -> std::io::Result<()> {
    let mut space = vec![MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !ancillary.push(SendAncillaryMessage::ScmRights(files)) {
        return Err(std::io::ErrorKind::InvalidInput.into());
    }
    sendmsg(socket, &[IoSlice::new(bytes)], &mut ancillary, flags)?;
    Ok(())
}
