//! Processes that work for the store: each an executable of its own, with a socket and next to no rights.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use bulkhead_jail::{
    Child, Descriptor, Ended, Identity, Jail, Namespaces, Program, SpawnError, WaitError, spawn,
};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

use crate::channel::Channel;

/// The number of the socket in every helper.
const SOCKET: i32 = 3;

/// Signals that a terminal sends to the whole process group: SIGINT, SIGTERM, SIGHUP. The store's process answers them, and takes its
/// helpers along.
const IGNORED_SIGNALS: &[i32] = &[libc::SIGINT, libc::SIGTERM, libc::SIGHUP];

/// A helper that cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum HelperError {
    /// Its executable is not there.
    #[error("open {path}")]
    Open {
        /// The executable.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The kernel refuses it a socket.
    #[error("make a socket")]
    Socket(#[source] io::Error),
    /// It cannot be made.
    #[error(transparent)]
    Spawn(#[from] SpawnError),
}

/// What a helper is.
pub(crate) struct Helper<'a> {
    pub(crate) program: &'a Path,
    /// Its name among processes.
    pub(crate) name: &'a CStr,
    /// User and group, when the store's process is root.
    pub(crate) id: u32,
    /// Most descriptors that it may have open.
    pub(crate) open_files: u64,
    /// `NAME=value`, all of it.
    pub(crate) environment: Vec<CString>,
}

impl Helper<'_> {
    /// Starts it. It ends with the calling thread, or when the child is dropped.
    pub(crate) fn start(self) -> Result<(Channel, Child), HelperError> {
        let executable = File::open(self.program).map_err(|source| HelperError::Open {
            path: self.program.to_owned(),
            source,
        })?;
        let (ours, theirs) = socketpair(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        )
        .map_err(|errno| HelperError::Socket(errno.into()))?;
        let at = |number, file| Descriptor { number, file };
        let program = Program {
            executable: executable.as_fd(),
            arguments: vec![self.name.to_owned()],
            environment: self.environment,
            descriptors: vec![at(2, rustix::stdio::stderr()), at(SOCKET, theirs.as_fd())],
            mounts: Vec::new(),
        };
        let (uid, gid) = (self.id, self.id);
        let is_root = rustix::process::geteuid().is_root();
        let jail = Jail {
            identity: is_root.then_some(Identity { uid, gid }),
            open_files: self.open_files,
            ignored_signals: IGNORED_SIGNALS,
            namespaces: Namespaces::Parents,
            gains_privileges: false,
        };
        Ok((Channel::new(ours), spawn(&program, &jail)?))
    }
}

/// How a helper ended that said nothing before. One that may hold no more memory aborts.
pub(crate) fn how(ended: Result<Ended, WaitError>, out_of_memory: &str) -> String {
    match ended {
        Ok(Ended::Signal(signal)) if i32::from(signal) == libc::SIGABRT => out_of_memory.to_owned(),
        Ok(Ended::Code(code)) => format!("ended with {code} before it was done"),
        Ok(Ended::Signal(signal)) => format!("was killed by signal {signal} before it was done"),
        Err(error) => format!("{:#}", crate::told::Told::of(&error)),
    }
}
