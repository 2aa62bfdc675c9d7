//! The pod's other processes and their jails.
//!
//! Both get descriptors and nothing else: no environment, no path but that of the root directory, no privileges when the
//! supervisor has some to take away. They stay in the supervisor's process group, and ignore the signals that a terminal
//! sends to it: how a pod stops is the supervisor's to say.

use std::ffi::CString;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use anyhow::{Context, Result};
use bulkhead_jail::{Child, Descriptor, Identity, Jail, Namespaces, Program, spawn};
use bulkhead_protocol::MAX_APPS;
use bulkhead_protocol::agent::MAX_PASSED_ON;
use bulkhead_protocol::control::{MAX_CONNECTIONS, MAX_DESCRIPTORS};
use bulkhead_protocol::frame;
use bulkhead_protocol::plan::MAX_LISTENERS;
use bulkhead_protocol::relay::ToRelay;
use bulkhead_protocol::vmm::MAX_FDS;
use bulkhead_stage1::relay::descriptors;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::process::geteuid;

use crate::files::open_stage1;
use crate::logs::Logs;
use crate::shares::FileServer;

/// Who the relay is when the supervisor is root. Ids 65520 to 65533 belong to nobody: they lie above Debian's and systemd's
/// dynamic users and below `nobody`. All pods share them until each has a range of its own.
pub(crate) const RELAY_IDENTITY: Identity = Identity {
    uid: 65_533,
    gid: 65_533,
};

/// Who the VMM is when the supervisor is root: not the relay, so that neither can trace or signal the other.
const VMM_IDENTITY: Identity = Identity {
    uid: 65_532,
    gid: 65_532,
};

/// Signals that a terminal sends to the whole process group, and that are the supervisor's to answer.
pub(crate) const IGNORED_SIGNALS: &[libc::c_int] = &[libc::SIGINT, libc::SIGTERM, libc::SIGHUP];

/// The VMM's: every descriptor of the machine, twice over for its guest connections, and its own few.
const VMM_OPEN_FILES: u64 = 2048;

/// The relay's: its own few, a connection that comes with as many descriptors as a message can, the apps' logs, the clients
/// of programs in the pod's apps with their pipes, and those of listening sockets, with two descriptors each.
const RELAY_OPEN_FILES: u64 = 64
    + MAX_FDS as u64
    + MAX_APPS as u64
    + (MAX_CONNECTIONS as u64) * (1 + MAX_DESCRIPTORS as u64)
    + (MAX_LISTENERS + 2 * MAX_PASSED_ON) as u64;

/// The container's, and what its apps can raise theirs to.
const CONTAINER_OPEN_FILES: u64 = 524_288;

/// The number of the control socket in the VMM, and in the container.
const VMM_CONTROL: i32 = 3;

/// The running processes of a pod.
pub(crate) struct Helpers {
    pub(crate) vmm: Child,
    /// Whether others can be in its way as long as the kernel has it: [`Flavor::keeps_from_others`](crate::flavor::Flavor::keeps_from_others).
    pub(crate) vmm_keeps: bool,
    pub(crate) relay: Child,
    pub(crate) file_servers: Vec<FileServer>,
}

/// Our end of the VMM's control socket, and the VMM's.
pub(crate) fn vmm_sockets() -> Result<(OwnedFd, OwnedFd)> {
    let flags = SocketFlags::CLOEXEC;
    socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)
        .context("make the VMM's control socket")
}

/// What the VMM has to say goes through its control socket, and is said once, by the relay. Only `debug` shows its standard
/// error, and with it the guest's console as it comes.
pub(crate) fn spawn_vmm(control: OwnedFd, debug: bool) -> Result<Child> {
    let executable = open_stage1("vmm")?;
    let mut descriptors = vec![Descriptor {
        number: VMM_CONTROL,
        file: control.as_fd(),
    }];
    if debug {
        descriptors.push(Descriptor {
            number: 2,
            file: rustix::stdio::stderr(),
        });
    }
    start(
        "vmm",
        &executable,
        descriptors,
        VMM_IDENTITY,
        VMM_OPEN_FILES,
    )
}

/// The first process of a pod without a machine. It keeps the privileges with which it makes the apps' surroundings, and takes
/// those away from them.
pub(crate) fn spawn_container(control: OwnedFd, debug: bool) -> Result<Child> {
    let executable = open_stage1("container")?;
    let at = |number, file| Descriptor { number, file };
    let mut descriptors = vec![at(VMM_CONTROL, control.as_fd())];
    if debug {
        descriptors.push(at(2, rustix::stdio::stderr()));
    }
    let program = program("container", &executable, descriptors)?;
    let jail = Jail {
        identity: None,
        open_files: CONTAINER_OPEN_FILES,
        // Its apps would ignore them too; the first process of a namespace gets none but those that it handles.
        ignored_signals: &[],
        namespaces: Namespaces::Container,
        // What an app may gain is its plan's matter.
        gains_privileges: true,
    };
    spawn(&program, &jail).context("start the container")
}

/// By what others learn of the pod and reach it. An export has none of it.
pub(crate) struct Public<'a> {
    pub(crate) status: &'a OwnedFd,
    pub(crate) control: &'a OwnedFd,
    pub(crate) logs: &'a Logs,
    /// Where the relay says that the apps run, if somebody wants to hear it.
    pub(crate) apps_run: Option<&'a OwnedFd>,
    /// Listening sockets whose clients it passes on to apps.
    pub(crate) listeners: Vec<BorrowedFd<'a>>,
}

/// What the relay is started with, beside the standard streams.
struct RelayDescriptors<'a> {
    commands: BorrowedFd<'a>,
    vmm: BorrowedFd<'a>,
    public: Option<Public<'a>>,
    trace: Option<&'a File>,
}

/// The relay, and our end of its command socket.
pub(crate) fn start_relay(
    vmm: &OwnedFd,
    public: Option<Public<'_>>,
    trace: Option<&File>,
    interactive: bool,
) -> Result<(Child, UnixStream)> {
    let (commands, theirs) = UnixStream::pair().context("make the relay's command socket")?;
    let with = RelayDescriptors {
        commands: theirs.as_fd(),
        vmm: vmm.as_fd(),
        public,
        trace,
    };
    Ok((spawn_relay(&with, interactive)?, commands))
}

fn spawn_relay(with: &RelayDescriptors<'_>, interactive: bool) -> Result<Child> {
    let executable = open_stage1("relay")?;
    // A pod without a machine has none.
    let kernel = open_stage1("kernel/vmlinux").ok();
    let at = |number, file| Descriptor { number, file };
    let mut descriptors = vec![
        at(1, rustix::stdio::stdout()),
        at(2, rustix::stdio::stderr()),
        at(descriptors::COMMANDS, with.commands),
        at(descriptors::VMM, with.vmm),
    ];
    if let Some(public) = &with.public {
        descriptors.push(at(descriptors::RKT, public.status.as_fd()));
        descriptors.push(at(descriptors::CONTROL, public.control.as_fd()));
        descriptors.push(at(descriptors::LOGS, public.logs.directory.as_fd()));
        if let Some(journal) = &public.logs.journal {
            descriptors.push(at(descriptors::JOURNAL, journal.as_fd()));
        }
        let apps_run = public.apps_run.map(OwnedFd::as_fd);
        descriptors.extend(apps_run.map(|file| at(descriptors::APPS_RUN, file)));
        let listeners = (descriptors::LISTENERS..).zip(&public.listeners);
        descriptors.extend(listeners.map(|(number, file)| at(number, *file)));
    }
    if let Some(kernel) = &kernel {
        descriptors.push(at(descriptors::KERNEL, kernel.as_fd()));
    }
    if interactive {
        descriptors.push(at(0, rustix::stdio::stdin()));
    }
    if let Some(trace) = with.trace {
        descriptors.push(at(descriptors::TRACE, trace.as_fd()));
    }
    start(
        "relay",
        &executable,
        descriptors,
        RELAY_IDENTITY,
        RELAY_OPEN_FILES,
    )
}

fn start(
    name: &str,
    executable: &File,
    descriptors: Vec<Descriptor<'_>>,
    identity: Identity,
    open_files: u64,
) -> Result<Child> {
    let program = program(name, executable, descriptors)?;
    let jail = Jail {
        // Somebody else than root has no privileges to lose, and cannot change who the helper is.
        identity: geteuid().is_root().then_some(identity),
        open_files,
        ignored_signals: IGNORED_SIGNALS,
        namespaces: Namespaces::Parents,
        gains_privileges: false,
    };
    spawn(&program, &jail).with_context(|| format!("start the {name}"))
}

fn program<'a>(
    name: &str,
    executable: &'a File,
    descriptors: Vec<Descriptor<'a>>,
) -> Result<Program<'a>> {
    Ok(Program {
        executable: executable.as_fd(),
        arguments: vec![CString::new(name).context("a helper's name")?],
        environment: Vec::new(),
        mounts: Vec::new(),
        descriptors,
    })
}

pub(crate) fn send_to_relay(
    commands: &mut UnixStream,
    message: &ToRelay,
    bound: usize,
) -> Result<()> {
    let mut bytes = Vec::new();
    frame::encode(message, bound, &mut bytes).context("a message to the relay")?;
    crate::write_all(commands, &bytes)
}
