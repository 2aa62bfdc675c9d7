//! What a pod of this stage1 image runs in: a machine, or namespaces on the host's kernel.

use std::fs::File;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;

use anyhow::{Result, bail};
use bulkhead_jail::Child;
use bulkhead_stage1::group::Group;
use bulkhead_stage1::plan::{Added, HostDisk, Pod};

use crate::files::{PodFiles, Scratch};
use crate::shares::{self, Shares};
use crate::sockets::Sockets;
use crate::{container, helpers, kvm, machine, pressure};

/// Of the image, by the program that it has for it.
const VMM: &str = "stage1/rootfs/vmm";
const CONTAINER: &str = "stage1/rootfs/container";

/// And what it takes of the host.
pub(crate) enum Flavor {
    /// `/dev/kvm`.
    Kvm(File),
    /// The pod's control group.
    Container(Group),
}

/// What a pod is made of beside its files.
pub(crate) struct Sources<'a> {
    pub(crate) scratch: &'a Scratch,
    /// In the order of the plan's disk volumes.
    pub(crate) disks: &'a [File],
    /// In the order of the plan's listeners.
    pub(crate) sockets: Vec<BorrowedFd<'a>>,
}

impl Flavor {
    /// That of the image in the pod's directory, with a group of the pod or of an export of it.
    pub(crate) fn of_image(uuid: &str, is_export: bool) -> Result<Self> {
        if Path::new(VMM).exists() {
            return Ok(Self::Kvm(kvm::open()?));
        }
        if Path::new(CONTAINER).exists() {
            let group = match is_export {
                true => Group::of_export(uuid)?,
                false => Group::make(uuid)?,
            };
            return Ok(Self::Container(group));
        }
        bail!("the stage1 image has neither {VMM} nor {CONTAINER}")
    }

    /// The sockets whose clients the relay passes on: of a machine all, for no socket of the host can be in there.
    pub(crate) fn passed_on<'a>(&self, received: &'a Sockets) -> Result<Vec<BorrowedFd<'a>>> {
        match self {
            Self::Kvm(_) => {
                received.do_not_block()?;
                Ok(received.files().collect())
            }
            Self::Container(_) => Ok(Vec::new()),
        }
    }

    /// Starts what the apps will run in. It waits at its end of the control socket.
    pub(crate) fn spawn(&self, control: OwnedFd, debug: bool) -> Result<Child> {
        match self {
            Self::Kvm(_) => helpers::spawn_vmm(control, debug),
            Self::Container(_) => helpers::spawn_container(control, debug),
        }
    }

    /// Tells it what the pod is made of; the servers of host directories that it needs run afterwards.
    pub(crate) fn describe(
        &self,
        socket: &OwnedFd,
        files: &PodFiles,
        pod: &Pod,
        sources: &Sources<'_>,
        debug: bool,
    ) -> Result<Shares> {
        match self {
            Self::Kvm(kvm) => {
                let shares = shares::start(&pod.shares, pod.plan.waiting_shares, debug)?;
                machine::send(socket, files, pod, kvm, &shares, sources, debug)?;
                Ok(shares)
            }
            Self::Container(group) => {
                container::send(socket, files, pod, group, sources)?;
                Ok(Shares::none())
            }
        }
    }

    /// Gives it the files of an app that is added. Nobody is waited for.
    pub(crate) fn grow(
        &self,
        socket: &OwnedFd,
        added: &Added,
        image: Option<&File>,
        scratch: &File,
    ) -> Result<()> {
        match self {
            Self::Kvm(_) => machine::grow(socket, added, image, scratch),
            Self::Container(_) => container::grow(socket, added, image, scratch),
        }
    }

    /// Whether others have to wait until its killed process is gone: it may have apps, or claims and writes on disks of the host. A machine
    /// without those has only its own memory left, which the kernel takes its time to take apart.
    pub(crate) fn keeps_from_others(&self, disks: &[HostDisk]) -> bool {
        matches!(self, Self::Container(_)) || !disks.is_empty()
    }

    /// Whether programs that enter an app have the app's restrictions: there is nothing else around them.
    pub(crate) fn confines_entered(&self) -> bool {
        matches!(self, Self::Container(_))
    }

    /// Lets it hear of it when the host is short of memory.
    pub(crate) fn watch_host(&self, socket: &OwnedFd, debug: bool) {
        if matches!(self, Self::Kvm(_))
            && let Err(error) = pressure::watch(socket)
            && debug
        {
            eprintln!("stage1: the machine cannot be told of shortage of memory: {error}");
        }
    }
}
