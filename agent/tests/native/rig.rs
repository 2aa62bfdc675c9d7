//! An agent with its disks.

use std::fs::{self, File};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio as ChildStdio};
use std::sync::OnceLock;

use bulkhead_protocol::agent::ToAgent;
use bulkhead_protocol::plan::{
    App, AppName, DiskImage, ImageFiles, Limits, Mount, MountSource, NameFiles, Partition, Plan,
    Process, ProcessId, Stdio,
};
use bulkhead_protocol::verity::{RootDigest, Verity};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::relay::{PATIENCE, Relay};

const SCRATCH_LENGTH: u64 = 64 << 20;

/// An agent that has not been greeted, and all that it needs.
pub(crate) struct Rig {
    agent: Child,
    listener: UnixListener,
    image_disk: LoopDevice,
    scratch_disk: LoopDevice,
    cgroups: PathBuf,
    pub(crate) plan: Plan,
    _directory: tempfile::TempDir,
}

impl Rig {
    /// With these apps, all of one image.
    pub(crate) fn new(names: &[&str]) -> Self {
        Self::with(names, |_| {})
    }

    pub(crate) fn with(names: &[&str], change: impl Fn(&mut App)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        let image = image();
        let mut apps: Vec<App> = (0..)
            .zip(names)
            .map(|(index, name)| app(name, index))
            .collect();
        apps.iter_mut().for_each(change);
        let plan = plan(apps, u64::try_from(image.len()).unwrap());
        fs::write(path("images"), image).unwrap();
        let disk = File::options().append(true).open(path("images")).unwrap();
        disk.set_len(plan.images[0].partition().length).unwrap();
        fs::write(path("scratch"), b"").unwrap();
        let scratch = File::options().append(true).open(path("scratch")).unwrap();
        make_scratch(&scratch, names.len(), directory.path());
        let cgroups = cgroup_root().join(format!(
            "agent-test-{}",
            directory.path().file_name().unwrap().display()
        ));
        fs::create_dir(&cgroups).unwrap();
        // As the agent does for a guest; where the machine gives none, limits are not tested.
        let _ = fs::write(cgroups.join("cgroup.subtree_control"), "+cpu +memory +pids");
        fs::create_dir(path("base")).unwrap();
        let listener = UnixListener::bind(path("socket")).unwrap();
        let (image_disk, scratch_disk) = (
            LoopDevice::new(&path("images")),
            LoopDevice::new(&path("scratch")),
        );
        let agent = Command::new("unshare")
            .args([
                "-m",
                "-u",
                "-i",
                "-n",
                "-p",
                "-f",
                "--mount-proc",
                "--kill-child",
            ])
            // As the kernel starts PID 1, and not as whoever runs the tests was started.
            .args(["env", "--default-signal"])
            .arg(agent_program())
            .args([
                path("base"),
                image_disk.0.clone(),
                scratch_disk.0.clone(),
                cgroups.clone(),
                path("socket"),
            ])
            .stdin(ChildStdio::null())
            .spawn()
            .expect("start the agent in namespaces of its own; this needs root");
        Self {
            agent,
            listener,
            image_disk,
            scratch_disk,
            cgroups,
            plan,
            _directory: directory,
        }
    }

    /// The agent's next connection, before its hello.
    pub(crate) fn accept(&self) -> std::os::unix::net::UnixStream {
        let wait = Timespec {
            tv_sec: PATIENCE.as_secs().cast_signed(),
            tv_nsec: 0,
        };
        let ready = poll(
            &mut [PollFd::new(&self.listener, PollFlags::IN)],
            Some(&wait),
        )
        .unwrap();
        assert!(ready == 1, "the agent does not dial");
        self.listener.accept().unwrap().0
    }

    /// Welcomes the agent and builds the pod.
    pub(crate) fn relay(&self) -> Relay {
        let mut relay = Relay::greet(self.accept());
        relay.build(self.plan.clone());
        relay
    }

    pub(crate) fn agent_ends_well(&mut self) -> bool {
        self.agent.wait().unwrap().success()
    }

    /// Whether the scratch file system of app `index` was unmounted.
    pub(crate) fn is_clean(&self, index: u64) -> bool {
        let mut disk = File::open(&self.scratch_disk.0).unwrap();
        // `s_feature_incompat` of the superblock; bit 2: the journal holds what is not in place yet.
        disk.seek(std::io::SeekFrom::Start(index * SCRATCH_LENGTH + 1024 + 96))
            .unwrap();
        let mut features = [0; 4];
        disk.read_exact(&mut features).unwrap();
        u32::from_le_bytes(features) & 4 == 0
    }

    /// The image disk, for tests that read it themselves.
    pub(crate) fn image_disk(&self) -> &Path {
        &self.image_disk.0
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        let _ = fs::write(self.cgroups.join("cgroup.kill"), "1");
        let _ = self.agent.kill();
        let _ = self.agent.wait();
        for group in fs::read_dir(&self.cgroups).into_iter().flatten().flatten() {
            let _ = fs::remove_dir(group.path());
        }
        let _ = fs::remove_dir(&self.cgroups);
    }
}

/// Cargo builds it for a plain `cargo test`.
fn agent_program() -> PathBuf {
    let program = std::env::current_exe()
        .unwrap()
        .parent()
        .unwrap()
        .join("../examples/native");
    assert!(program.exists(), "run `cargo build --example native` first");
    program
}

struct LoopDevice(PathBuf);

impl LoopDevice {
    fn new(file: &Path) -> Self {
        let output = Command::new("losetup")
            .args(["-P", "-f", "--show"])
            .arg(file)
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        Self(PathBuf::from(
            String::from_utf8(output.stdout).unwrap().trim(),
        ))
    }
}

impl Drop for LoopDevice {
    fn drop(&mut self) {
        // Partitions that stay would be the next test's.
        let _ = Command::new("partx")
            .arg("-d")
            .arg(&self.0)
            .stderr(ChildStdio::null())
            .status();
        let _ = Command::new("losetup").arg("-d").arg(&self.0).status();
    }
}

/// Where control groups of version 2 are, on a machine with both versions too.
fn cgroup_root() -> PathBuf {
    let both = Path::new("/sys/fs/cgroup/unified");
    if both.exists() {
        both.to_owned()
    } else {
        PathBuf::from("/sys/fs/cgroup")
    }
}

/// An image with busybox and some files that tests ask for.
fn image() -> &'static [u8] {
    static IMAGE: OnceLock<Vec<u8>> = OnceLock::new();
    IMAGE.get_or_init(|| {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("root");
        for name in ["bin", "etc", "tmp", "work"] {
            fs::create_dir_all(root.join(name)).unwrap();
        }
        fs::copy("/bin/busybox", root.join("bin/busybox")).unwrap();
        for applet in [
            "sh",
            "cat",
            "ls",
            "id",
            "sleep",
            "mount",
            "tty",
            "stty",
            "kill",
            "sha256sum",
            "dd",
            "head",
            "grep",
        ] {
            symlink("busybox", root.join("bin").join(applet)).unwrap();
        }
        fs::write(root.join("etc/passwd"), "web:x:33:34::/:/bin/sh\n").unwrap();
        fs::write(root.join("etc/group"), "staff:x:50:\n").unwrap();
        fs::write(root.join("bin/script"), "#!/opt/python3 -u\n").unwrap();
        fs::write(root.join("bin/text"), "hello\n").unwrap();
        for name in ["bin/script", "bin/text"] {
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
            fs::set_permissions(root.join(name), mode).unwrap();
        }
        symlink("/etc/outside", root.join("link")).unwrap();
        let file = directory.path().join("image");
        let made = Command::new("mkfs.erofs")
            .arg(&file)
            .arg(&root)
            .output()
            .unwrap();
        assert!(
            made.status.success(),
            "{}",
            String::from_utf8_lossy(&made.stderr)
        );
        let mut image = fs::read(file).unwrap();
        image.resize(image.len().next_multiple_of(4096), 0);
        image
    })
}

/// One empty ext4 behind the other.
fn make_scratch(mut disk: &File, count: usize, directory: &Path) {
    let template = directory.join("template");
    File::create(&template)
        .unwrap()
        .set_len(SCRATCH_LENGTH)
        .unwrap();
    let made = Command::new("mkfs.ext4")
        .args(["-q", "-O", "^has_journal"])
        .arg(&template)
        .output()
        .unwrap();
    assert!(
        made.status.success(),
        "{}",
        String::from_utf8_lossy(&made.stderr)
    );
    let made = Command::new("tune2fs")
        .args(["-O", "has_journal"])
        .arg(&template)
        .output()
        .unwrap();
    assert!(
        made.status.success(),
        "{}",
        String::from_utf8_lossy(&made.stderr)
    );
    let template = fs::read(template).unwrap();
    for _ in 0..count {
        disk.write_all(&template).unwrap();
    }
}

/// Of an image that nobody checks: here the kernel is the host's.
fn verity(image_length: u64) -> Verity {
    Verity::new(RootDigest([0; 32]), image_length / 4096).unwrap()
}

fn plan(apps: Vec<App>, image_length: u64) -> Plan {
    Plan {
        waiting_shares: 0,
        hostname: "a-pod".try_into().unwrap(),
        name_files: NameFiles::default(),
        settings: Vec::new().try_into().unwrap(),
        limits: Limits::default(),
        images: vec![DiskImage {
            start: 0,
            verity: verity(image_length),
        }]
        .try_into()
        .unwrap(),
        apps: apps.try_into().unwrap(),
        empty_volumes: Vec::new().try_into().unwrap(),
        volume_scratch: None,
        listeners: Vec::new().try_into().unwrap(),
        disk_volumes: Vec::new().try_into().unwrap(),
    }
}

fn app(name: &str, index: u64) -> App {
    let mount = |target: &str, source, read_only| Mount {
        target: target.try_into().unwrap(),
        source,
        read_only,
    };
    App {
        name: AppName::try_from(name.to_owned()).unwrap(),
        image: ImageFiles::Layers(vec![0].try_into().unwrap()),
        scratch: Partition {
            start: index * SCRATCH_LENGTH,
            length: SCRATCH_LENGTH,
        },
        read_only_root: false,
        mounts: vec![
            mount("/proc", MountSource::Proc, false),
            mount("/sys", MountSource::Sysfs, true),
            mount("/dev", MountSource::Dev, false),
            mount(
                "/tmp",
                MountSource::Tmpfs {
                    mode: 0o1777,
                    size: 1 << 20,
                },
                false,
            ),
        ]
        .try_into()
        .unwrap(),
        masked_paths: Vec::new().try_into().unwrap(),
        read_only_paths: Vec::new().try_into().unwrap(),
        limits: Limits::default(),
        exported: false,
    }
}

/// A shell command in an app.
pub(crate) fn shell(id: u32, app: &str, command: &str) -> Process {
    process(id, app, &["/bin/sh", "-c", command])
}

pub(crate) fn process(id: u32, app: &str, arguments: &[&str]) -> Process {
    let arguments: Vec<_> = arguments
        .iter()
        .map(|&text| text.try_into().unwrap())
        .collect();
    Process {
        id: ProcessId(id),
        app: AppName::try_from(app.to_owned()).unwrap(),
        arguments: arguments.try_into().unwrap(),
        pre_start: Vec::new().try_into().unwrap(),
        post_stop: Vec::new().try_into().unwrap(),
        environment: vec!["PATH=/nowhere:/bin".try_into().unwrap()]
            .try_into()
            .unwrap(),
        working_directory: "/".try_into().unwrap(),
        user: "root".try_into().unwrap(),
        group: "root".try_into().unwrap(),
        groups: Vec::new().try_into().unwrap(),
        stdio: Stdio::Pipes { stdin: false },
        capabilities: u64::MAX,
        no_new_privileges: false,
        seccomp: None,
        oom_score_adj: 0,
        rlimits: Vec::new().try_into().unwrap(),
        says_ready: false,
        listeners: Vec::new().try_into().unwrap(),
    }
}

pub(crate) fn start(process: Process) -> ToAgent {
    ToAgent::Start(Box::new(process))
}
