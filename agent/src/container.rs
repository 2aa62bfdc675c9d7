//! A pod on the host's own kernel: the agent as the first process of namespaces, in place of a guest's.
//!
//! The supervisor has made the namespaces and gives descriptors ([`ContainerSpec`]). Here they become what a guest finds: devices for
//! images and writable layers, the host's directories, a root of our own in memory, and a connection to the relay, which takes this
//! process for a VMM.
//!
//! Nothing of the host is in sight afterwards but what was given; the old root is detached before any app's first instruction.

mod arrivals;
mod control;
mod devices;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use bulkhead_protocol::bounded::Blob;
use bulkhead_protocol::container::{ContainerSpec, SharedTree};
use bulkhead_protocol::plan::{SHARED_FILE, share_tag};
use bulkhead_protocol::vmm::{ExitReason, FromVmm};
use bulkhead_protocol::{AGENT_PORT, frame::FrameError};
use nix::sched::{CloneFlags, unshare};
use rustix::fs::{Mode, OFlags, openat};
use rustix::io::Errno;
use rustix::mount::{
    MountFlags, MountPropagationFlags, MoveMountFlags, UnmountFlags, mount, mount_change,
    move_mount, unmount,
};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::process::{chdir, pivot_root};

use crate::agent::{Agent, Fatal};
use crate::cgroup::{self, CgroupError};
use crate::disk::Storage;
use crate::setup::{Kernel, Machine, Step, bring_loopback_up};
use arrivals::Arrivals;
use control::Control;
use devices::Devices;

/// Any directory that every host has: in this mount namespace alone, the new root lies on it until it is the root.
const MOUNT_POINT: &str = "/proc";

/// The agent's own control group. No app's name has a dot.
const OWN_GROUP: &str = "the.agent";

/// In order; the rest is done before the agent runs.
const STEPS: [Step; 1] = [bring_loopback_up];

/// A container that cannot be.
#[derive(Debug, thiserror::Error)]
pub enum ContainerError {
    /// The socket to supervisor and relay.
    #[error("use the control socket")]
    Control(#[source] io::Error),
    /// The supervisor's message.
    #[error("the supervisor's message makes no sense")]
    Message(#[from] FrameError),
    /// A descriptor that did not come along.
    #[error("{what} is descriptor {index} of {count}")]
    Descriptor {
        /// What for.
        what: &'static str,
        /// Which.
        index: u8,
        /// How many came.
        count: usize,
    },
    /// A device cannot be had.
    #[error("make a device of {what}")]
    Device {
        /// Of what.
        what: String,
        /// Why.
        source: io::Error,
    },
    /// The root cannot be made.
    #[error("make the container's root ({step})")]
    Root {
        /// What was tried.
        step: &'static str,
        /// Why.
        source: io::Error,
    },
    /// The control group cannot be entered.
    #[error("enter the pod's control group ({step})")]
    Group {
        /// What was tried.
        step: &'static str,
        /// Why.
        source: io::Error,
    },
    /// Controllers are missing.
    #[error("set up control groups")]
    Cgroups(#[from] CgroupError),
    /// The agent itself.
    #[error(transparent)]
    Agent(#[from] Fatal),
}

/// Runs the pod that the first message on this socket describes, to its end.
///
/// # Errors
/// When there can be no container. What happens to apps is told to the relay.
pub fn run(socket: OwnedFd, start_ns: u64) -> Result<(), ContainerError> {
    let control = Rc::new(Control::new(socket));
    let end = control
        .receive()
        .and_then(|(spec, files)| run_pod(&control, &spec, files, start_ns));
    let reason = match &end {
        Ok(()) | Err(ContainerError::Agent(_)) => ExitReason::GuestReset,
        Err(error) => ExitReason::Failed {
            message: bulkhead_protocol::bounded::Text::truncated(&crate::reason::reason(error)),
        },
    };
    let console = Blob::default();
    // A relay that is gone needs no last word.
    let _ = control.send(&FromVmm::Exited { reason, console }, None);
    end
}

fn run_pod(
    control: &Rc<Control>,
    spec: &ContainerSpec,
    files: Vec<OwnedFd>,
    start_ns: u64,
) -> Result<(), ContainerError> {
    enter_group(spec, &files)?;
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    mount_change("/", private).map_err(root("make mounts private"))?;
    let devices = Devices::of(spec, &files)?;
    make_root(&devices, spec, &files)?;
    let listeners = spec.listeners.iter();
    let listeners: Result<Vec<OwnedFd>, _> = listeners
        .map(|index| {
            let socket = descriptor("a listening socket", index.0, &files)?;
            socket.try_clone().map_err(ContainerError::Control)
        })
        .collect();
    let listeners = listeners?;
    // The devices keep what they stand for; mounts were moved.
    drop(files);
    cgroup::delegate(Path::new("/cgroup"))?;
    let (ours, theirs) = socketpair(
        AddressFamily::UNIX,
        SocketType::STREAM,
        SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
        None,
    )
    .map_err(|errno| ContainerError::Control(errno.into()))?;
    let port = AGENT_PORT;
    let connection = FromVmm::Connection { port };
    control
        .send(&connection, Some(theirs.as_fd()))
        .map_err(ContainerError::Control)?;
    drop(theirs);
    let mut ours = Some(ours);
    // There is no second connection: a relay that is gone does not come back.
    let dial = Box::new(move || ours.take().ok_or_else(|| Errno::CONNREFUSED.into()));
    let machine = machine(devices.storage());
    let loops = devices.loops.try_clone().map_err(ContainerError::Control)?;
    let arrivals = Arrivals::new(Rc::clone(control), loops);
    let mut agent = Agent::new(machine, &STEPS, dial, start_ns)?;
    agent.give_listeners(listeners);
    agent.expect_arrivals(Box::new(move || arrivals.next()));
    Ok(agent.run()?)
}

fn machine([images, scratch, disks]: [BTreeMap<u16, PathBuf>; 3]) -> Machine {
    let disks = Storage::Devices(disks);
    Machine {
        base: PathBuf::from("/"),
        image_disk: Storage::Devices(images),
        mapper: None,
        scratch_disk: Storage::Devices(scratch),
        volume_disks: [disks.clone(), disks],
        cgroups: PathBuf::from("/cgroup"),
        late_devices: None,
        kernel: Kernel::Shared,
    }
}

/// The pod's group becomes the root of all that this process and its children see, and this process has a group below it: one with
/// controllers for others has no processes itself.
fn enter_group(spec: &ContainerSpec, files: &[OwnedFd]) -> Result<(), ContainerError> {
    let failed = |step| move |source| ContainerError::Group { step, source };
    let group = descriptor("the control group", spec.cgroup.0, files)?;
    let join = |path: String| {
        let flags = OFlags::WRONLY | OFlags::CLOEXEC;
        let file = openat(group, path, flags, Mode::empty())?;
        File::from(file).write_all(b"0")
    };
    join("cgroup.procs".to_owned()).map_err(failed("move there"))?;
    unshare(CloneFlags::CLONE_NEWCGROUP)
        .map_err(|errno| failed("make a namespace")(errno.into()))?;
    rustix::fs::mkdirat(group, OWN_GROUP, Mode::from_raw_mode(0o755))
        .map_err(|errno| failed("make a group")(errno.into()))?;
    join(format!("{OWN_GROUP}/cgroup.procs")).map_err(failed("move below it"))
}

fn make_root(
    devices: &Devices,
    spec: &ContainerSpec,
    files: &[OwnedFd],
) -> Result<(), ContainerError> {
    let new = Path::new(MOUNT_POINT);
    let data = Some(c"mode=755,size=16m");
    mount("tmpfs", new, "tmpfs", MountFlags::empty(), data).map_err(root("mount a tmpfs"))?;
    chdir(new).map_err(root("chdir"))?;
    for directory in ["dev", "proc", "sys", "cgroup", "shares"] {
        fs::create_dir(directory).map_err(root("make a directory"))?;
    }
    let hidden = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    for (kind, target) in [("proc", "proc"), ("sysfs", "sys"), ("cgroup2", "cgroup")] {
        mount(kind, target, kind, hidden, None).map_err(root("mount what the kernel tells"))?;
    }
    devices.make_nodes(Path::new("dev"))?;
    for (index, share) in (0..).zip(spec.shares.iter()) {
        place_share(index, *share, files)?;
    }
    // Old and new root on one mount point: the old one is taken from under it.
    pivot_root(".", ".").map_err(root("pivot_root"))?;
    unmount(".", UnmountFlags::DETACH).map_err(root("detach the host's root"))?;
    chdir("/").map_err(root("chdir"))
}

/// Where a guest would mount it by virtio-fs.
fn place_share(index: u8, share: SharedTree, files: &[OwnedFd]) -> Result<(), ContainerError> {
    let tree = descriptor("a share", share.tree.0, files)?;
    let mut target = Path::new("shares").join(share_tag(index));
    fs::create_dir(&target).map_err(root("make a share's directory"))?;
    if share.is_file {
        target.push(SHARED_FILE);
        File::create_new(&target).map_err(root("make a share's file"))?;
    }
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    move_mount(tree, "", rustix::fs::CWD, &target, flags).map_err(root("mount a share"))
}

fn root<E: Into<io::Error>>(step: &'static str) -> impl FnOnce(E) -> ContainerError {
    move |source| ContainerError::Root {
        step,
        source: source.into(),
    }
}

fn descriptor<'a>(
    what: &'static str,
    index: u8,
    files: &'a [OwnedFd],
) -> Result<&'a OwnedFd, ContainerError> {
    let count = files.len();
    files
        .get(usize::from(index))
        .ok_or(ContainerError::Descriptor { what, index, count })
}
