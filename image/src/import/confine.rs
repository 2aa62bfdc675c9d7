//! What is left of a process that reads what strangers made.

use std::collections::BTreeMap;
use std::io;

use rustix::process::{Resource, Rlimit, setrlimit};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch, apply_filter};

/// Memory that it may have: the trees of the largest image that is taken, with its decompressor, and as much again.
const MAX_MEMORY: u64 = 1 << 30;

/// Every system call that an importer makes. Nothing opens a file, a socket or a process, or changes what it is.
const ALLOWED: &[libc::c_long] = &[
    // The files and the socket that it was given.
    libc::SYS_read,
    libc::SYS_pread64,
    libc::SYS_write,
    libc::SYS_pwrite64,
    libc::SYS_lseek,
    libc::SYS_fstat,
    libc::SYS_ftruncate,
    libc::SYS_recvmsg,
    libc::SYS_sendmsg,
    libc::SYS_close,
    // Memory.
    libc::SYS_brk,
    libc::SYS_mmap,
    libc::SYS_mremap,
    libc::SYS_munmap,
    libc::SYS_madvise,
    // Hash tables have keys of their own.
    libc::SYS_getrandom,
    // The standard library at its end.
    libc::SYS_sigaltstack,
    libc::SYS_exit_group,
    // It looks at descriptors before it closes them, in builds with debug assertions.
    libc::SYS_fcntl,
];

/// A process that keeps rights that it should not have.
#[derive(Debug, thiserror::Error)]
pub enum ConfineError {
    /// Its memory has no bound.
    #[error("bound the importer's memory to {MAX_MEMORY} bytes")]
    Memory(#[source] io::Error),
    /// Its system calls have none.
    #[error("filter the importer's system calls")]
    Filter(#[from] seccompiler::Error),
    /// They cannot be told to the kernel.
    #[error("filter the importer's system calls")]
    Backend(#[from] seccompiler::BackendError),
}

/// Gives away all rights but those to what it has.
pub(super) fn confine() -> Result<(), ConfineError> {
    let limit = Rlimit {
        current: Some(MAX_MEMORY),
        maximum: Some(MAX_MEMORY),
    };
    setrlimit(Resource::Data, limit).map_err(|errno| ConfineError::Memory(errno.into()))?;
    let allowed: BTreeMap<i64, Vec<_>> = ALLOWED.iter().map(|&call| (call, Vec::new())).collect();
    let filter = SeccompFilter::new(
        allowed,
        SeccompAction::KillProcess,
        SeccompAction::Allow,
        TargetArch::x86_64,
    )?;
    let program: BpfProgram = filter.try_into()?;
    Ok(apply_filter(&program)?)
}
