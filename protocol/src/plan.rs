//! What the agent runs: computed by stage1 from the pod's manifests, followed by the agent to the letter.
//!
//! The plan says *where the apps live* (disks, mounts, cgroups); [`Process`] says *what runs there*, be it an app's main
//! program or one that was started later. It is made to grow into a superset of the process and linux sections of the
//! OCI runtime specification.

use serde::{Deserialize, Serialize};

use crate::MAX_APPS;
use crate::bounded::{Blob, List, Text};

pub use crate::disk_image::DiskImage;
pub use crate::listeners::{Listener, ListenerSocket, MAX_LISTENERS, MAX_PORT_NAME};

/// Longest path (`PATH_MAX`, with its NUL, is 4096).
pub const MAX_PATH: usize = 4095;

/// Longest argument or environment string (`MAX_ARG_STRLEN`, `include/uapi/linux/binfmts.h`, is 32 pages with the NUL).
pub const MAX_ARGUMENT: usize = 131_071;

/// Arguments of one process.
pub const MAX_ARGUMENTS: usize = 4096;

/// Environment variables of one process.
pub const MAX_ENVIRONMENT: usize = 4096;

/// Supplementary groups of one process.
pub const MAX_GROUPS: usize = 256;

/// Read-only layers of one app's root.
pub const MAX_LAYERS: usize = 64;

/// Mounts of one app besides its root.
pub const MAX_MOUNTS: usize = 256;

/// Instructions of a system call filter (`BPF_MAXINSNS`, `include/uapi/linux/bpf_common.h`).
pub const MAX_FILTER_INSTRUCTIONS: usize = 4096;

/// Bytes of an instruction (`struct sock_filter`, `include/uapi/linux/filter.h`).
pub const FILTER_INSTRUCTION_LENGTH: usize = 8;

/// Resource limits of one process: Linux has no more kinds.
pub const MAX_RESOURCE_LIMITS: usize = 16;

/// Empty volumes of one pod: as many as a manifest has, and as many again that images imply.
pub const MAX_EMPTY_VOLUMES: usize = 512;

/// The partition of the scratch disk that holds the volumes of several apps: behind those of all apps, whose numbers are
/// their places in [`Plan::apps`].
pub const VOLUME_PARTITION: u16 = 100;
const _: () = assert!(VOLUME_PARTITION as usize >= MAX_APPS);

/// Volumes of one pod that are disks: each is a partition in the guest.
pub const MAX_DISK_VOLUMES: usize = 16;

/// Disks of the machine that such volumes lie on, behind the images' and the scratch disk: one of those that the guest may write to
/// and one of the others.
pub const MAX_VOLUME_DISKS: usize = 2;

/// The name of a share's only file, where the host shares a file.
pub const SHARED_FILE: &str = "file";

/// The virtio-fs tag of the machine's share with this index.
#[must_use]
pub fn share_tag(index: u8) -> String {
    format!("share{index}")
}

/// Paths of an app's root that are hidden, and as many that are read-only.
pub const MAX_CLOSED_PATHS: usize = 64;

/// Longest [`NameFileBytes`].
pub const MAX_NAME_FILE: usize = 64 << 10;

/// Kernel parameters that one pod sets.
pub const MAX_SETTINGS: usize = 256;

/// Longest value of a kernel parameter: what `/proc/sys` takes in one write is a page.
pub const MAX_SETTING: usize = 4095;

/// Longest app name.
pub const MAX_APP_NAME: usize = 255;

/// Path in the guest or in an app.
pub type Path = Text<MAX_PATH>;

/// An app's name: `[a-z0-9]+(-[a-z0-9]+)*`, so that it is safe as the name of a directory, a cgroup and a line prefix.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AppName(String);

/// Text that is not an [`AppName`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not an app name (lower-case letters and digits in words joined by single dashes, {MAX_APP_NAME} bytes at most)"
)]
pub struct AppNameError(Text<64>);

impl AppName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for AppName {
    type Error = AppNameError;

    fn try_from(name: String) -> Result<Self, AppNameError> {
        let is_word = |word: &str| {
            !word.is_empty()
                && word
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
        };
        if name.len() <= MAX_APP_NAME && name.split('-').all(is_word) {
            Ok(Self(name))
        } else {
            Err(AppNameError(Text::truncated(&name)))
        }
    }
}

impl From<AppName> for String {
    fn from(name: AppName) -> String {
        name.0
    }
}

impl std::fmt::Display for AppName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// The whole pod.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The pod's host name.
    pub hostname: Text<64>,
    /// What apps that mount [`MountSource::NameFile`] find there.
    pub name_files: NameFiles,
    /// What is on the image disk, each shared by the apps that run it.
    pub images: List<DiskImage, { MAX_APPS * 2 }>,
    /// Kernel parameters, set before any app starts.
    pub settings: List<Setting, MAX_SETTINGS>,
    /// Limits of all apps together.
    pub limits: Limits,
    /// The apps, in the order of the manifest.
    pub apps: List<App, MAX_APPS>,
    /// Directories of the pod that apps mount.
    pub empty_volumes: List<EmptyVolume, MAX_EMPTY_VOLUMES>,
    /// The ext4 on the scratch disk of those that several apps mount; none when there are none.
    pub volume_scratch: Option<Partition>,
    /// Disks of the host that apps mount.
    pub disk_volumes: List<DiskVolume, MAX_DISK_VOLUMES>,
    /// Sockets that apps get, in the order in which the pod got those that they stand for.
    pub listeners: List<Listener, MAX_LISTENERS>,
    /// Shares that wait for the roots of apps that come later: the machine's last devices, all the shares that it has. Each is bound when its app comes.
    pub waiting_shares: u8,
}

/// The pod's own files of names.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct NameFiles {
    /// `/etc/hosts`; without it the agent makes one with the pod's name, for images that have none.
    pub hosts: Option<NameFileBytes>,
    /// `/etc/resolv.conf`.
    pub resolv_conf: Option<NameFileBytes>,
}

/// What is in one of [`NameFiles`].
pub type NameFileBytes = Blob<MAX_NAME_FILE>;

/// One of [`NameFiles`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum NameFile {
    /// [`NameFiles::hosts`].
    Hosts,
    /// [`NameFiles::resolv_conf`].
    ResolvConf,
}

impl NameFile {
    /// Where apps look for it, in `/etc`.
    #[must_use]
    pub fn file_name(self) -> &'static str {
        match self {
            Self::Hosts => "hosts",
            Self::ResolvConf => "resolv.conf",
        }
    }
}

/// A block device or file of the host that the guest has as a disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskVolume {
    /// Which of the machine's [`MAX_VOLUME_DISKS`].
    pub disk: u8,
    /// Where on it; start and length are multiples of 512 alone.
    pub partition: Partition,
    /// What apps see of it.
    pub shown: ShownDisk,
}

/// What apps see of a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ShownDisk {
    /// A device node.
    Node {
        /// Permission bits.
        mode: u16,
        /// Owner.
        uid: u32,
        /// Group.
        gid: u32,
    },
    /// The root of an ext4 that is on it.
    Ext4,
    /// The root of an EROFS that is on it.
    Erofs,
}

impl ShownDisk {
    /// Whether apps see the disk itself.
    #[must_use]
    pub fn is_node(self) -> bool {
        matches!(self, Self::Node { .. })
    }
}

/// A directory that lives as long as the pod, in a file system of the scratch disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EmptyVolume {
    /// Whether several apps mount it. One of a single app lies on that app's own scratch file system.
    pub shared: bool,
    /// Permission bits; none: those of what it is filled with, or else 0755.
    pub mode: Option<u16>,
    /// Owner; none: that of what it is filled with, or else root.
    pub uid: Option<u32>,
    /// Group, likewise.
    pub gid: Option<u32>,
    /// What is in it at first.
    pub fill: Option<Fill>,
}

/// A directory of an image, as the image has it whatever apps have done since.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fill {
    /// Of which image.
    pub image: ImageFiles,
    /// Absolute path in the image, links followed inside it. One that is no directory fills nothing.
    pub path: Path,
}

/// A kernel parameter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setting {
    /// Relative path below `/proc/sys`, without `..`.
    pub path: Path,
    /// What is written.
    pub value: Text<MAX_SETTING>,
}

/// A range of a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Partition {
    /// First byte; a multiple of 4096.
    pub start: u64,
    /// Bytes; a multiple of 4096, not 0.
    pub length: u64,
}

/// Where the files of an app's image are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ImageFiles {
    /// On the image disk, for reading only: indexes into [`Plan::images`]; the first lies on top.
    Layers(List<u16, MAX_LAYERS>),
    /// In a directory of the host that is the app's root as it is, and its to write to: the share with this index.
    Share(u8),
}

impl ImageFiles {
    /// The layers; none of a directory.
    #[must_use]
    pub fn layers(&self) -> &[u16] {
        match self {
            Self::Layers(layers) => layers,
            Self::Share(_) => &[],
        }
    }
}

/// Where an app lives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct App {
    /// Its name, unique in the pod.
    pub name: AppName,
    /// What its root is made of. Over layers lies what the app writes, on its scratch disk.
    pub image: ImageFiles,
    /// Its ext4 on the scratch disk: its own volumes lie there too.
    pub scratch: Partition,
    /// Whether its root is read-only to it.
    pub read_only_root: bool,
    /// Mounts in its root, in order.
    pub mounts: List<Mount, MAX_MOUNTS>,
    /// What is hidden after the mounts, where it exists.
    pub masked_paths: List<Path, MAX_CLOSED_PATHS>,
    /// What becomes read-only after the mounts, where it exists.
    pub read_only_paths: List<Path, MAX_CLOSED_PATHS>,
    /// Limits of its cgroup.
    pub limits: Limits,
    /// Whether all that is done with it is to read it: the root has nothing of the agent's in it, and what is started there is the
    /// agent's own export of it, whatever its [`Process`] names.
    pub exported: bool,
}

/// A mount in an app's root. Targets that are missing are made (0755, root), links in them are followed inside the root.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// Absolute path in the app's root, never followed through a link out of it.
    pub target: Path,
    /// What is mounted.
    pub source: MountSource,
    /// Whether it is read-only.
    pub read_only: bool,
}

/// What a [`Mount`] shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum MountSource {
    /// The processes of the pod.
    Proc,
    /// The devices and settings of the guest's kernel.
    Sysfs,
    /// The app's own control group, as if it were the root of all.
    Cgroup,
    /// The standard device nodes, `pts`, `shm`, `mqueue` and the usual links (`fd`, `stdin`, `stdout`, `stderr`).
    Dev,
    /// An empty file system in memory.
    Tmpfs {
        /// Permission bits of its root.
        mode: u16,
        /// Most bytes it may hold.
        size: u64,
    },
    /// A directory of the pod's own.
    EmptyVolume {
        /// Index into [`Plan::empty_volumes`].
        index: u16,
    },
    /// A directory or file of the host, by virtio-fs.
    Share {
        /// Which of the machine's shares; [`share_tag`] is its name.
        index: u8,
        /// Whether it is the one file [`SHARED_FILE`] of the share, and not its root.
        file: bool,
    },
    /// A disk of the host.
    Disk {
        /// Index into [`Plan::disk_volumes`].
        index: u8,
        /// Whether it is a device node, and not a file system's root.
        node: bool,
    },
    /// One of the pod's own files of names.
    NameFile(NameFile),
}

/// Limits of an app's cgroup. `None` is no limit of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Limits {
    /// Bytes of memory (`memory.max`).
    pub memory_bytes: Option<u64>,
    /// CPU time, in thousandths of a CPU (`cpu.max`).
    pub cpu_millis: Option<u32>,
    /// Share against the other apps when CPU time is short (`cpu.weight`, 1 to 10000); 100 without it.
    pub cpu_weight: Option<u16>,
    /// Bytes a second, read and written each, of each of the pod's disks (`io.max`).
    pub disk_bytes: Option<u64>,
    /// Requests a second, read and written each, of each of the pod's disks (`io.max`).
    pub disk_requests: Option<u64>,
    /// Processes and threads (`pids.max`).
    pub processes: Option<u32>,
}

/// Names a process for its whole life. Never used twice in a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ProcessId(pub u32);

/// What runs: an app's main program, or one started in the app later. The same message for both.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Its name in all later messages.
    pub id: ProcessId,
    /// The app that it runs in.
    pub app: AppName,
    /// Program and arguments; not empty. A bare program name is looked for in the `PATH` of `environment` inside the app's root;
    /// one with a slash that is not absolute is relative to `working_directory`.
    pub arguments: List<Text<MAX_ARGUMENT>, MAX_ARGUMENTS>,
    /// What runs before it in the same surroundings, with its streams but no input; the program runs when that ended with 0.
    /// Empty: nothing. Not on a terminal.
    pub pre_start: List<Text<MAX_ARGUMENT>, MAX_ARGUMENTS>,
    /// What runs after it likewise, once it ran, however it ended. The process ends with it, as the program did.
    pub post_stop: List<Text<MAX_ARGUMENT>, MAX_ARGUMENTS>,
    /// Environment in order, `NAME=value`, complete but for what the agent alone knows: `NOTIFY_SOCKET` of one that `says_ready`,
    /// `LISTEN_FDS`, `LISTEN_PID` and `LISTEN_FDNAMES` of one that has `listeners`.
    pub environment: List<Text<MAX_ARGUMENT>, MAX_ENVIRONMENT>,
    /// Working directory in the app's root. A missing one is an error.
    pub working_directory: Path,
    /// User: a name or number of the image's `passwd`, or an absolute path whose owner it is.
    pub user: Path,
    /// Group, in the same forms.
    pub group: Path,
    /// Supplementary groups.
    pub groups: List<u32, MAX_GROUPS>,
    /// Where its standard streams go.
    pub stdio: Stdio,
    /// Its bounding set: bit n stands for capability number n. A program of root starts with all of them, one of
    /// another user with none.
    pub capabilities: u64,
    /// Whether no `execve` gains it privileges.
    pub no_new_privileges: bool,
    /// Its system call filter.
    pub seccomp: Option<Filter>,
    /// The out-of-memory killer's preference, -1000 to 1000.
    pub oom_score_adj: i16,
    /// Its resource limits; what is not named stays as the kernel has it.
    pub rlimits: List<ResourceLimit, MAX_RESOURCE_LIMITS>,
    /// Whether the program says itself when it is ready (sd_notify(3)); then [`crate::agent::FromAgent::Ready`] follows.
    pub says_ready: bool,
    /// Sockets that the program gets as its descriptors from 3 on, by their places in [`Plan::listeners`].
    pub listeners: List<u8, MAX_LISTENERS>,
}

/// A program of classic BPF for `seccomp(2)`: instructions as they lie in memory (little-endian).
pub type Filter = Blob<{ MAX_FILTER_INSTRUCTIONS * FILTER_INSTRUCTION_LENGTH }>;

/// A resource limit (`getrlimit(2)`). `None` is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourceLimit {
    /// What is limited.
    pub resource: Resource,
    /// What holds at first.
    pub soft: Option<u64>,
    /// How far the process may raise it.
    pub hard: Option<u64>,
}

/// A resource that has limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Resource {
    /// Bytes of a core file.
    Core,
    /// Open files, plus one.
    OpenFiles,
    /// Processes of the user.
    Processes,
}

/// Standard streams of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stdio {
    /// Three separate streams. Without `stdin` it reads `/dev/null`.
    Pipes {
        /// Whether standard input comes from the host.
        stdin: bool,
    },
    /// One terminal of this size; its output comes as [`crate::agent::Stream::Stdout`].
    Terminal {
        /// Its size.
        size: WindowSize,
    },
}

/// Size of a terminal, in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct WindowSize {
    /// Lines.
    pub rows: u16,
    /// Characters a line.
    pub columns: u16,
}

#[cfg(test)]
#[path = "plan_test.rs"]
mod tests;
