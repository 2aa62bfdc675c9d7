//! What the guest needs before the first app, in small steps that are done while the host is awaited.

use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use bulkhead_protocol::plan::MAX_VOLUME_DISKS;
use rustix::io::Errno;
use rustix::mount::{MountFlags, mount, mount_move};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
use rustix::process::{chdir, chroot};

use crate::cgroup::{self, CgroupError};
use crate::disk::Storage;
use crate::sys;

/// Where things are in this machine.
#[derive(Debug)]
pub struct Machine {
    /// Directory for the mount points of an app's root.
    pub base: PathBuf,
    /// The disk of all images.
    pub image_disk: Storage,
    /// The disk of all writable layers.
    pub scratch_disk: Storage,
    /// The kernel's device mapper, by which images are checked; none where the host's own kernel reads its disk.
    pub mapper: Option<PathBuf>,
    /// The disks of the host's disks, as many as the plan uses.
    pub volume_disks: [Storage; MAX_VOLUME_DISKS],
    /// Root of the control groups.
    pub cgroups: PathBuf,
    /// Where devices that the boot passed over wait for a driver ([`crate::late_devices`]); none where there are none.
    pub late_devices: Option<PathBuf>,
    /// Whose kernel this is.
    pub kernel: Kernel,
}

/// Whose kernel a pod runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kernel {
    /// The pod's: the agent keeps its clock and its randomness, writes it back, and mounts shares by virtio-fs.
    Own,
    /// The host's: that is nobody's here to change, and shares are mounted already.
    Shared,
}

impl Machine {
    /// The guest that `vmm` builds: disks in its fixed order of devices.
    pub fn guest() -> Self {
        Self {
            base: PathBuf::from("/"),
            image_disk: Storage::Disk(PathBuf::from("/dev/vda")),
            mapper: Some(PathBuf::from("/dev/mapper/control")),
            scratch_disk: Storage::Disk(PathBuf::from("/dev/vdb")),
            volume_disks: ["/dev/vdc", "/dev/vdd"].map(|path| Storage::Disk(PathBuf::from(path))),
            cgroups: PathBuf::from("/cgroup"),
            late_devices: Some(PathBuf::from("/sys")),
            kernel: Kernel::Own,
        }
    }
}

/// A step of [`GUEST_STEPS`].
pub type Step = fn() -> Result<(), SetupError>;

/// In order. Each is short, so that the host's answer does not wait.
pub const GUEST_STEPS: [Step; 8] = [
    leave_initramfs,
    mount_devices,
    mount_processes,
    interpret_filters,
    mount_settings,
    mount_cgroups,
    delegate_cgroups,
    bring_loopback_up,
];

/// A guest that cannot run any pod.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// A file system is not there.
    #[error("mount {kind} at {target:?}")]
    Mount {
        /// File system type.
        kind: &'static str,
        /// Where.
        target: &'static str,
        /// Why.
        source: Errno,
    },
    /// The root cannot be changed.
    #[error("leave the initramfs ({step})")]
    Root {
        /// The system call.
        step: &'static str,
        /// Why.
        source: Errno,
    },
    /// A directory cannot be made.
    #[error("make the directory {path:?}")]
    Directory {
        /// Which.
        path: &'static str,
        /// Why.
        source: io::Error,
    },
    /// Control groups lack a controller.
    #[error("set up control groups")]
    Cgroups(#[from] CgroupError),
    /// A kernel parameter cannot be set.
    #[error("set {path:?}")]
    Parameter {
        /// Which.
        path: &'static str,
        /// Why.
        source: io::Error,
    },
    /// There is no loopback.
    #[error("bring the loopback interface up")]
    Loopback {
        /// Why.
        source: io::Error,
    },
}

/// The kernel's first root cannot be changed with `pivot_root`, in no mount namespace: put a root of our own on top of it. The
/// agent's file goes; its pages stay as long as it runs.
fn leave_initramfs() -> Result<(), SetupError> {
    let failed = |step| move |source| SetupError::Root { step, source };
    make_directory("/top")?;
    // It holds mount points and nothing else.
    mount_at(
        "tmpfs",
        "/top",
        MountFlags::empty(),
        Some(c"mode=755,size=1m"),
    )?;
    // One that runs from elsewhere has no such file.
    let _ = fs::remove_file("/init");
    chdir("/top").map_err(failed("chdir"))?;
    mount_move(".", "/").map_err(failed("move the new root"))?;
    chroot(".").map_err(failed("chroot"))?;
    chdir("/").map_err(failed("chdir"))
}

fn mount_devices() -> Result<(), SetupError> {
    make_directory("/dev")?;
    mount_at("devtmpfs", "/dev", MountFlags::NOSUID, None)
}

fn mount_processes() -> Result<(), SetupError> {
    make_directory("/proc")?;
    mount_at(
        "proc",
        "/proc",
        MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC,
        None,
    )
}

/// The kernel's compiler takes, and fills, 2 MiB for the first filter of a machine. Ours are small and seldom run: of a system call
/// whose arguments its filter does not look at, the kernel remembers the verdict. A pod's `os/unix/sysctl` can turn the compiler on.
fn interpret_filters() -> Result<(), SetupError> {
    let path = "/proc/sys/net/core/bpf_jit_enable";
    match fs::write(path, "0") {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(SetupError::Parameter { path, source })
        }
        _ => Ok(()),
    }
}

/// For the settings of mounted file systems ([`crate::root`]), and for [`crate::late_devices`].
fn mount_settings() -> Result<(), SetupError> {
    make_directory("/sys")?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mount_at("sysfs", "/sys", flags, None)
}

fn mount_cgroups() -> Result<(), SetupError> {
    make_directory("/cgroup")?;
    mount_at(
        "cgroup2",
        "/cgroup",
        MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC,
        None,
    )
}

fn delegate_cgroups() -> Result<(), SetupError> {
    Ok(cgroup::delegate(Path::new("/cgroup"))?)
}

/// Brings the network that every pod has up.
///
/// # Errors
/// When the kernel has none.
pub fn bring_loopback_up() -> Result<(), SetupError> {
    let socket = socket_with(
        AddressFamily::INET,
        SocketType::DGRAM,
        SocketFlags::CLOEXEC,
        None,
    );
    let up = |socket: rustix::fd::OwnedFd| sys::bring_up(socket.as_fd(), "lo");
    socket
        .map_err(io::Error::from)
        .and_then(up)
        .map_err(|source| SetupError::Loopback { source })
}

fn make_directory(path: &'static str) -> Result<(), SetupError> {
    match fs::create_dir(path) {
        Err(source) if source.kind() != io::ErrorKind::AlreadyExists => {
            Err(SetupError::Directory { path, source })
        }
        _ => Ok(()),
    }
}

fn mount_at(
    kind: &'static str,
    target: &'static str,
    flags: MountFlags,
    options: Option<&std::ffi::CStr>,
) -> Result<(), SetupError> {
    mount(kind, target, kind, flags, options).map_err(|source| SetupError::Mount {
        kind,
        target,
        source,
    })
}
