//! What runs and how it is confined; the parent's side of the fork.

use std::ffi::{CString, c_char};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{PidfdFlags, Resource, getpid, getrlimit, pidfd_open};

use crate::child::Child;
use crate::confine::{Confinement, Place, enter};
use crate::mounts::Tree;

/// Highest descriptor number that a program may be given: the moving of descriptors between fork and exec needs room
/// above the highest one, below any limit of open files that a host may have.
const MAX_DESCRIPTOR_NUMBER: RawFd = 255;

/// Standard input, output and error.
const STANDARD_STREAMS: RawFd = 3;

/// A descriptor that the program gets.
#[derive(Debug, Clone, Copy)]
pub struct Descriptor<'a> {
    /// Its number in the program, up to 255.
    pub number: RawFd,
    /// What it is.
    pub file: BorrowedFd<'a>,
}

/// A tree that the program finds at a place of its own mount namespace.
#[derive(Debug)]
pub struct Placed<'a> {
    /// What is there.
    pub tree: &'a Tree,
    /// Where, by an absolute path that exists, as a directory or file like the tree's root.
    pub target: CString,
}

/// What runs.
#[derive(Debug)]
pub struct Program<'a> {
    /// The executable, opened. It is run by descriptor, so the confined process needs no path to it.
    pub executable: BorrowedFd<'a>,
    /// Arguments, the program's name first.
    pub arguments: Vec<CString>,
    /// The whole environment, `NAME=value`.
    pub environment: Vec<CString>,
    /// Its descriptors, each number once.
    pub descriptors: Vec<Descriptor<'a>>,
    /// Mounts that it alone sees, put in place in this order. With any of them, it has a mount namespace of its own, and
    /// nobody else sees what it mounts itself; this takes `CAP_SYS_ADMIN`.
    pub mounts: Vec<Placed<'a>>,
}

/// Who the process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// User.
    pub uid: u32,
    /// Group; there are no supplementary ones.
    pub gid: u32,
}

/// What the process may not do.
#[derive(Debug, Clone)]
pub struct Jail {
    /// Who it becomes. `None`: who its parent is. Changing takes privileges, so it is for the caller to say.
    pub identity: Option<Identity>,
    /// Most descriptors that it may have open (`RLIMIT_NOFILE`, soft and hard); fewer where the parent itself may not
    /// have as many.
    pub open_files: u64,
    /// Signals that it ignores. All others have their default action.
    pub ignored_signals: &'static [libc::c_int],
    /// What it has for itself.
    pub namespaces: Namespaces,
    /// Whether it, or what it starts, may gain privileges by set-user-id programs: only for a process that runs the programs of
    /// others, and confines those.
    pub gains_privileges: bool,
}

/// Namespaces that a process has for itself. All but the first take `CAP_SYS_ADMIN`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Namespaces {
    /// Its parent's, all of them.
    Parents,
    /// It is the first process of a PID namespace: then all that it ever starts, stopped or not, has ended when it has.
    Pid,
    /// That, and mounts, network, host name and System V IPC of its own: a container.
    Container,
}

impl Namespaces {
    fn clone_flags(self) -> libc::c_int {
        match self {
            Self::Parents => 0,
            Self::Pid => libc::CLONE_NEWPID,
            Self::Container => {
                libc::CLONE_NEWPID
                    | libc::CLONE_NEWNS
                    | libc::CLONE_NEWNET
                    | libc::CLONE_NEWUTS
                    | libc::CLONE_NEWIPC
            }
        }
    }
}

/// A process that could not be started.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    /// A descriptor number that cannot be given, or given twice.
    #[error("descriptor number {number} is given twice or not within 0 to {MAX_DESCRIPTOR_NUMBER}")]
    Number {
        /// The number.
        number: RawFd,
    },
    /// A program needs a name.
    #[error("no arguments: the first one is the program's name")]
    NoArguments,
    /// What the parent does before the fork failed.
    #[error("prepare a child process ({what})")]
    Prepare {
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        source: io::Error,
    },
}

/// Starts a confined process.
///
/// It returns when the process exists, without waiting for its exec: the parent has better things to do during that
/// millisecond. A confinement or exec that fails is told by [`Child::wait`].
///
/// The process dies when the calling *thread* ends (see `PR_SET_PDEATHSIG`): call this from the main thread.
///
/// # Errors
/// When the descriptors make no sense or the process cannot be made.
pub fn spawn(program: &Program<'_>, jail: &Jail) -> Result<Child, SpawnError> {
    let prepare = |what| move |source| SpawnError::Prepare { what, source };
    check_numbers(&program.descriptors)?;
    if program.arguments.is_empty() {
        return Err(SpawnError::NoArguments);
    }
    let null = File::options()
        .read(true)
        .write(true)
        .open("/dev/null")
        .map_err(prepare("open /dev/null"))?;
    let (failure, failure_end) = pipe_with(PipeFlags::CLOEXEC)
        .map_err(io::Error::from)
        .map_err(prepare("make a pipe"))?;
    let parent = pidfd_open(getpid(), PidfdFlags::empty())
        .map_err(io::Error::from)
        .map_err(prepare("open this process"))?;

    let descriptors = descriptor_table(&program.descriptors, null.as_raw_fd());
    let places = program.mounts.iter().map(|placed| Place {
        tree: placed.tree.as_fd().as_raw_fd(),
        target: placed.target.as_ptr(),
    });
    let arguments = pointers(&program.arguments);
    let environment = pointers(&program.environment);
    let mut confinement = Confinement {
        executable: program.executable.as_raw_fd(),
        failure: failure_end.as_raw_fd(),
        moved: vec![-1; descriptors.len()],
        descriptors,
        mounts: places.collect(),
        arguments: arguments.as_ptr(),
        environment: environment.as_ptr(),
        parent: parent.as_raw_fd(),
        identity: jail.identity,
        open_files: jail.open_files.min(most_open_files()),
        ignored_signals: jail.ignored_signals,
        gains_privileges: jail.gains_privileges,
    };

    let mut pidfd: RawFd = -1;
    let mut clone = clone_arguments(jail, &mut pidfd);
    // SAFETY: without CLONE_VM this is a fork: the child has its own copy of this memory, and `pidfd` outlives the call.
    let pid = unsafe {
        libc::syscall(
            libc::SYS_clone3,
            ptr::from_mut(&mut clone),
            size_of::<libc::clone_args>(),
        )
    };
    match pid {
        0 => {
            // SAFETY: this is the child of a fork. `confinement`, and all that it points to, was made before the fork and
            // is this process's own copy; `enter` makes system calls and nothing else, and does not return.
            unsafe { enter(&mut confinement) }
        }
        -1 => Err(prepare("fork")(io::Error::last_os_error())),
        _ => {
            // SAFETY: the kernel has just made this descriptor for us.
            let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
            Ok(Child::new(pidfd, failure))
        }
    }
}

/// A fork that gives a descriptor of the child. Valid while `pidfd` is where it is.
fn clone_arguments(jail: &Jail, pidfd: &mut RawFd) -> libc::clone_args {
    let namespace = jail.namespaces.clone_flags();
    // SAFETY: all zeroes is a valid `clone_args`: no flags, no pointers.
    let mut clone: libc::clone_args = unsafe { std::mem::zeroed() };
    clone.flags = u64::try_from(libc::CLONE_PIDFD | namespace).expect("flags are not negative");
    clone.pidfd = u64::try_from(ptr::from_mut(pidfd).addr()).expect("an address has 64 bits");
    clone.exit_signal = u64::try_from(libc::SIGCHLD).expect("a signal number is not negative");
    clone
}

/// The hard limit of this process: raising it takes privileges.
fn most_open_files() -> u64 {
    getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX)
}

fn check_numbers(descriptors: &[Descriptor<'_>]) -> Result<(), SpawnError> {
    for (index, descriptor) in descriptors.iter().enumerate() {
        let number = descriptor.number;
        let twice = descriptors[..index].iter().any(|d| d.number == number);
        if twice || !(0..=MAX_DESCRIPTOR_NUMBER).contains(&number) {
            return Err(SpawnError::Number { number });
        }
    }
    Ok(())
}

/// Source for each number from 0 on; -1 where the program gets none.
fn descriptor_table(descriptors: &[Descriptor<'_>], null: RawFd) -> Vec<RawFd> {
    let highest = descriptors.iter().map(|d| d.number).max();
    let length = highest.map_or(STANDARD_STREAMS, |n| (n + 1).max(STANDARD_STREAMS));
    (0..length)
        .map(|number| {
            let given = descriptors.iter().find(|d| d.number == number);
            match given {
                Some(descriptor) => descriptor.file.as_raw_fd(),
                None if number < STANDARD_STREAMS => null,
                None => -1,
            }
        })
        .collect()
}

/// An array as `execve` takes it. Valid while `strings` is.
fn pointers(strings: &[CString]) -> Vec<*const c_char> {
    let strings = strings.iter().map(|s| s.as_ptr());
    strings.chain([ptr::null()]).collect()
}

#[cfg(test)]
#[path = "spawn_test.rs"]
mod tests;
