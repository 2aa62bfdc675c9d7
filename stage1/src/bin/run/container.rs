//! What a container is made of, and every descriptor that it gets.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use anyhow::{Context, Result};
use bulkhead_jail::{Tree, TreeOptions};
use bulkhead_protocol::bounded::List;
use bulkhead_protocol::container::{ContainerDisk, ContainerSpec, SharedTree};
use bulkhead_protocol::frame;
use bulkhead_protocol::mutable::Arrival;
use bulkhead_protocol::plan::ImageFiles;
use bulkhead_protocol::vmm::MAX_PACKET;
use bulkhead_stage1::group::Group;
use bulkhead_stage1::plan::{Added, Pod, Share, ShareKind};

use crate::files::PodFiles;
use crate::flavor::Sources;
use crate::machine::{Descriptors, images, send_packet, send_packet_now};

/// Writes the container's description into its socket.
pub(crate) fn send(
    socket: &OwnedFd,
    files: &PodFiles,
    pod: &Pod,
    group: &Group,
    sources: &Sources<'_>,
) -> Result<()> {
    let images = images(files, pod)?;
    let trees: Vec<Tree> = pod.shares.iter().map(tree).collect::<Result<_>>()?;
    let mut descriptors = Descriptors::default();
    let image_files = descriptors.add_all(&images)?;
    let mut scratch = descriptors.add_all(&sources.scratch.files)?;
    let disk_files = descriptors.add_all(sources.disks)?;
    let volume_scratch = match pod.plan.volume_scratch {
        Some(_) => scratch.pop(),
        None => None,
    };
    let disks = disk_files.into_iter().zip(&pod.disks);
    let disks = disks.map(|(file, disk)| ContainerDisk {
        file,
        read_only: disk.read_only,
    });
    let disks = disks.collect::<Vec<_>>();
    let mut shares = Vec::new();
    for (tree, share) in trees.iter().zip(&pod.shares) {
        shares.push(SharedTree {
            tree: descriptors.add(tree.as_fd())?,
            is_file: share.kind == ShareKind::File,
        });
    }
    let mut listeners = Vec::new();
    for socket in &sources.sockets {
        listeners.push(descriptors.add(*socket)?);
    }
    let spec = ContainerSpec {
        cgroup: descriptors.add(group.as_fd())?,
        images: List::try_from(image_files).context("the pod's images")?,
        scratch: List::try_from(scratch).context("the pod's writable layers")?,
        volume_scratch,
        disks: List::try_from(disks).context("the pod's disks")?,
        shares: List::try_from(shares).context("the pod's shares")?,
        listeners: List::try_from(listeners).context("the pod's sockets")?,
    };
    let packet = frame::encode_packet(&spec, MAX_PACKET).context("the container's description")?;
    send_packet(socket, &packet, descriptors.all()).context("send its description to the container")
}

fn tree(share: &Share) -> Result<Tree> {
    let options = TreeOptions {
        recursive: share.recursive,
        read_only: share.read_only,
        privileged: share.kind == ShareKind::Root,
    };
    Tree::of(Path::new(&share.source), options)
        .with_context(|| format!("{}: take the mount of {}", share.whose, share.source))
}

/// Gives it the files of an app that is added: what is new of its image, and its writable layer.
pub(crate) fn grow(
    socket: &OwnedFd,
    added: &Added,
    image: Option<&File>,
    scratch: &File,
) -> Result<()> {
    let mut descriptors = Descriptors::default();
    let image = match (added.new_image, image) {
        (Some(number), Some(file)) => Some((number, descriptors.add(file.as_fd())?)),
        _ => None,
    };
    let root = added.root.as_ref().map(tree).transpose()?;
    let root = match (&root, &added.app.app.image) {
        (Some(tree), ImageFiles::Share(index)) => Some((*index, descriptors.add(tree.as_fd())?)),
        _ => None,
    };
    let arrival = Arrival {
        image,
        scratch: (added.app.number, descriptors.add(scratch.as_fd())?),
        root,
    };
    let packet = frame::encode_packet(&arrival, MAX_PACKET).context("an app's files")?;
    send_packet_now(socket, &packet, descriptors.all())
        .context("send the app's files to the container")
}
