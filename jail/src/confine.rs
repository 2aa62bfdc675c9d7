//! The child's side of the fork: confine, then exec.
//!
//! Between fork and exec the process has one thread and a copy of a heap whose locks may be held for ever, so there is
//! nothing here but system calls on memory that was prepared before: no allocation, no panic, no library that might do
//! either.
//!
//! The order of the steps:
//!
//! 1. signals: nothing of the parent's habits is left;
//! 2. mounts, while their descriptors have the numbers that the parent knows;
//! 3. descriptors, while there is still room to move them;
//! 4. limits;
//! 5. `no_new_privs`, before anything that could be undone by a privileged program;
//! 6. identity: the last step that needs privileges;
//! 7. the parent's death: the kernel forgets `PDEATHSIG` when the identity changes, so it comes after;
//! 8. exec, by descriptor.

use std::ffi::{c_char, c_int, c_long};
use std::os::fd::RawFd;

use crate::spawn::Identity;

/// The highest signal number (`_NSIG`, `arch/x86/include/uapi/asm/signal.h`).
const LAST_SIGNAL: c_int = 64;

/// Bytes of the kernel's signal set.
const SIGNAL_SET_BYTES: usize = 8;

/// Exit code of a child that could not be confined; nobody sees it, for the pipe tells more.
const EXIT_NOT_CONFINED: c_int = 127;

/// A failure as it travels through the pipe: the step, then `errno`.
pub(crate) const FAILURE_BYTES: usize = 5;

/// A step between fork and exec.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Step {
    /// Signal actions and mask.
    Signals = 1,
    /// Making a mount namespace, and putting mounts in place.
    Mounts,
    /// Moving the descriptors to their numbers, and closing all others.
    Descriptors,
    /// Leaving the parent's working directory.
    Directory,
    /// Resource limits.
    Limits,
    /// Setting `no_new_privs`.
    NoNewPrivileges,
    /// Changing user and group.
    Identity,
    /// Binding the life to the parent's.
    ParentDeath,
    /// Running the program.
    Exec,
}

impl Step {
    pub(crate) fn from_byte(byte: u8) -> Option<Self> {
        [
            Step::Signals,
            Step::Mounts,
            Step::Descriptors,
            Step::Directory,
            Step::Limits,
            Step::NoNewPrivileges,
            Step::Identity,
            Step::ParentDeath,
            Step::Exec,
        ]
        .into_iter()
        .find(|step| *step as u8 == byte)
    }
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Step::Signals => "reset signals",
            Step::Mounts => "put mounts in place",
            Step::Descriptors => "move descriptors",
            Step::Directory => "change to the root directory",
            Step::Limits => "set resource limits",
            Step::NoNewPrivileges => "set no_new_privs",
            Step::Identity => "change user and group",
            Step::ParentDeath => "bind the process to its parent",
            Step::Exec => "run the program",
        })
    }
}

/// A mount for the child alone.
pub(crate) struct Place {
    pub(crate) tree: RawFd,
    /// A C string.
    pub(crate) target: *const c_char,
}

/// All that the child needs, in memory that the parent prepared.
pub(crate) struct Confinement {
    pub(crate) executable: RawFd,
    /// Where a failure is told. Closed by the exec.
    pub(crate) failure: RawFd,
    /// Source of each descriptor number from 0 on, or -1.
    pub(crate) descriptors: Vec<RawFd>,
    /// Room for as many numbers.
    pub(crate) moved: Vec<RawFd>,
    pub(crate) mounts: Vec<Place>,
    /// Null-terminated, as `execve` takes it.
    pub(crate) arguments: *const *const c_char,
    /// Null-terminated, as `execve` takes it.
    pub(crate) environment: *const *const c_char,
    /// The parent, by a descriptor: from a PID namespace of its own the child sees no number of it.
    pub(crate) parent: RawFd,
    pub(crate) identity: Option<Identity>,
    pub(crate) open_files: u64,
    pub(crate) ignored_signals: &'static [c_int],
    pub(crate) gains_privileges: bool,
}

/// A step failed with an `errno`.
struct Failure(Step, c_int);

/// Turns the result of a raw system call into a number or the step's failure.
fn check(step: Step, result: c_long) -> Result<c_long, Failure> {
    if result == -1 {
        // SAFETY: the address of this thread's errno is always valid.
        Err(Failure(step, unsafe { *libc::__errno_location() }))
    } else {
        Ok(result)
    }
}

/// Confines this process and runs the program.
///
/// # Safety
/// To be called in the child of a fork, with a confinement whose pointers were made before it.
pub(crate) unsafe fn enter(confinement: &mut Confinement) -> ! {
    // SAFETY: the caller's promise.
    let Err(Failure(step, errno)) = unsafe { confine(confinement) };
    let mut message = [0; FAILURE_BYTES];
    message[0] = step as u8;
    message[1..].copy_from_slice(&errno.to_le_bytes());
    // SAFETY: `message` is valid for its length. A parent that is gone needs no message.
    unsafe {
        libc::syscall(
            libc::SYS_write,
            confinement.failure,
            message.as_ptr(),
            FAILURE_BYTES,
        );
    }
    loop {
        // SAFETY: ends the process; runs no code of it.
        unsafe { libc::syscall(libc::SYS_exit_group, EXIT_NOT_CONFINED) };
    }
}

unsafe fn confine(c: &mut Confinement) -> Result<std::convert::Infallible, Failure> {
    signals(c.ignored_signals)?;
    // SAFETY: the caller's promise.
    unsafe { mounts(&c.mounts)? };
    descriptors(c)?;
    // SAFETY: a constant C string.
    check(Step::Directory, unsafe {
        libc::syscall(libc::SYS_chdir, c"/".as_ptr())
    })?;
    limit(libc::RLIMIT_CORE, 0)?;
    limit(libc::RLIMIT_NOFILE, c.open_files)?;
    if !c.gains_privileges {
        // SAFETY: no pointers.
        check(Step::NoNewPrivileges, unsafe {
            libc::syscall(libc::SYS_prctl, libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        })?;
    }
    if let Some(identity) = c.identity {
        become_identity(identity)?;
    }
    die_with(c.parent)?;
    // SAFETY: both arrays are null-terminated arrays of C strings, by the promise on `enter`.
    check(Step::Exec, unsafe {
        libc::syscall(
            libc::SYS_execveat,
            c.executable,
            c"".as_ptr(),
            c.arguments,
            c.environment,
            libc::AT_EMPTY_PATH,
        )
    })?;
    // A successful execveat does not return.
    Err(Failure(Step::Exec, 0))
}

/// Default actions for all but the ignored signals, and an empty mask.
fn signals(ignored: &[c_int]) -> Result<(), Failure> {
    for signal in 1..=LAST_SIGNAL {
        if signal == libc::SIGKILL || signal == libc::SIGSTOP {
            continue;
        }
        let action = if ignored.contains(&signal) {
            libc::SIG_IGN
        } else {
            libc::SIG_DFL
        };
        // The kernel's structure: handler, flags, restorer, mask.
        let action: [u64; 4] = [action as u64, 0, 0, 0];
        // SAFETY: the array is as large as the kernel's `struct sigaction` on x86_64.
        check(Step::Signals, unsafe {
            libc::syscall(
                libc::SYS_rt_sigaction,
                signal,
                action.as_ptr(),
                0,
                SIGNAL_SET_BYTES,
            )
        })?;
    }
    let none = 0_u64;
    // SAFETY: the kernel's signal set has 8 bytes.
    check(Step::Signals, unsafe {
        libc::syscall(
            libc::SYS_rt_sigprocmask,
            libc::SIG_SETMASK,
            &raw const none,
            0,
            SIGNAL_SET_BYTES,
        )
    })?;
    Ok(())
}

/// Makes a mount namespace from which nothing gets out, and puts the mounts in place; without mounts, nothing.
///
/// # Safety
/// The targets are C strings.
unsafe fn mounts(places: &[Place]) -> Result<(), Failure> {
    if places.is_empty() {
        return Ok(());
    }
    let call = |result| check(Step::Mounts, result);
    // SAFETY: no pointers.
    call(unsafe { libc::syscall(libc::SYS_unshare, libc::CLONE_NEWNS) })?;
    let nothing = std::ptr::null::<c_char>();
    let private = libc::MS_REC | libc::MS_PRIVATE;
    // SAFETY: a constant C string; a change of propagation reads no other argument.
    call(unsafe {
        libc::syscall(
            libc::SYS_mount,
            nothing,
            c"/".as_ptr(),
            nothing,
            private,
            nothing,
        )
    })?;
    for place in places {
        // SAFETY: C strings, by the caller's promise.
        call(unsafe {
            libc::syscall(
                libc::SYS_move_mount,
                place.tree,
                c"".as_ptr(),
                libc::AT_FDCWD,
                place.target,
                libc::MOVE_MOUNT_F_EMPTY_PATH,
            )
        })?;
    }
    Ok(())
}

/// Moves each descriptor to its number. All others are closed by the exec, at the latest.
fn descriptors(c: &mut Confinement) -> Result<(), Failure> {
    let call = |result| check(Step::Descriptors, result);
    let floor = c.descriptors.len();
    // First out of the way: a source may stand where a target will be.
    let above = |fd: RawFd| -> Result<RawFd, Failure> {
        // SAFETY: no pointers.
        let moved =
            call(unsafe { libc::syscall(libc::SYS_fcntl, fd, libc::F_DUPFD_CLOEXEC, floor) })?;
        Ok(RawFd::try_from(moved).unwrap_or(-1))
    };
    c.failure = above(c.failure)?;
    c.executable = above(c.executable)?;
    c.parent = above(c.parent)?;
    for (source, moved) in c.descriptors.iter().zip(&mut c.moved) {
        if *source >= 0 {
            *moved = above(*source)?;
        }
    }
    // SAFETY: no pointers. Nothing in this process uses a descriptor that is not named here.
    call(unsafe {
        libc::syscall(
            libc::SYS_close_range,
            0,
            u32::MAX,
            libc::CLOSE_RANGE_CLOEXEC,
        )
    })?;
    for (number, moved) in (0..).zip(&c.moved) {
        if *moved >= 0 {
            // SAFETY: no pointers. The copy does not have the flag that closes it at exec.
            call(unsafe { libc::syscall(libc::SYS_dup3, *moved, number as RawFd, 0) })?;
        }
    }
    Ok(())
}

fn limit(resource: libc::__rlimit_resource_t, value: u64) -> Result<(), Failure> {
    let limit = libc::rlimit64 {
        rlim_cur: value,
        rlim_max: value,
    };
    // SAFETY: the kernel's `struct rlimit64`, valid for the call; process 0 is this one.
    check(Step::Limits, unsafe {
        libc::syscall(libc::SYS_prlimit64, 0, resource, &raw const limit, 0)
    })?;
    Ok(())
}

/// The raw calls: the C library's would tell threads that this process does not have.
fn become_identity(identity: Identity) -> Result<(), Failure> {
    let Identity { uid, gid } = identity;
    // SAFETY: a list of length 0 is not read.
    check(Step::Identity, unsafe {
        libc::syscall(libc::SYS_setgroups, 0, 0)
    })?;
    // SAFETY: no pointers.
    check(Step::Identity, unsafe {
        libc::syscall(libc::SYS_setresgid, gid, gid, gid)
    })?;
    // SAFETY: no pointers. Leaving uid 0 drops every capability.
    check(Step::Identity, unsafe {
        libc::syscall(libc::SYS_setresuid, uid, uid, uid)
    })?;
    Ok(())
}

fn die_with(parent: RawFd) -> Result<(), Failure> {
    let call = |result| check(Step::ParentDeath, result);
    // SAFETY: no pointers.
    call(unsafe {
        libc::syscall(
            libc::SYS_prctl,
            libc::PR_SET_PDEATHSIG,
            libc::SIGKILL,
            0,
            0,
            0,
        )
    })?;
    // A parent that died before the call above sends nothing any more; its descriptor has something to read.
    let mut gone = libc::pollfd {
        fd: parent,
        events: libc::POLLIN,
        revents: 0,
    };
    // SAFETY: one `struct pollfd`, valid for the call, which does not wait.
    match call(unsafe { libc::syscall(libc::SYS_poll, &raw mut gone, 1, 0) })? {
        0 => Ok(()),
        _ => Err(Failure(Step::ParentDeath, libc::ESRCH)),
    }
}
