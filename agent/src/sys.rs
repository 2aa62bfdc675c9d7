//! The system calls that no crate offers safely: a child with its own mount namespace in a cgroup, signals of any
//! number, and a few ioctls. The only `unsafe` of the agent.
#![allow(unsafe_code)] // clone3 and ioctl take pointers to structures and have no safe binding anywhere.

mod mapper;

use std::convert::Infallible;
use std::fs::File;
use std::io;
use std::mem::size_of;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use bulkhead_protocol::agent::ENTROPY_LENGTH;
use bulkhead_protocol::plan::FILTER_INSTRUCTION_LENGTH;
use nix::libc;
use rustix::process::Pid;

use crate::device_policy::INSTRUCTION_LENGTH;

pub use mapper::{MapperCommand, MapperRequest, device_mapper};

/// Starts a child: a copy of this process that calls `run` and ends with the code it gives.
///
/// With `own_mounts` it lives in a mount namespace of its own, a copy of ours. With a cgroup it starts there: no
/// instruction of it runs, and no byte of it is charged, elsewhere.
///
/// The caller must be the only thread of its process: the child allocates, and a lock that another thread held at
/// this moment would stay taken in it. The agent starts no threads.
///
/// # Errors
/// What the kernel says.
pub fn spawn(
    own_mounts: bool,
    cgroup: Option<BorrowedFd>,
    run: impl FnOnce() -> u8,
) -> io::Result<Pid> {
    let mut flags = 0;
    if own_mounts {
        flags |= libc::CLONE_NEWNS;
    }
    let mut flags = u64::try_from(flags).unwrap_or(0);
    if cgroup.is_some() {
        flags |= CLONE_INTO_CGROUP;
    }
    let descriptor = cgroup.map_or(0, |fd| fd.as_raw_fd());
    let arguments = CloneArguments {
        flags,
        exit_signal: u64::try_from(libc::SIGCHLD).unwrap_or(0),
        cgroup: u64::try_from(descriptor).unwrap_or(0),
        ..CloneArguments::default()
    };
    // SAFETY: the structure is `struct clone_args` and outlives the call. Without CLONE_VM the child has a memory of its own, so that it
    // cannot disturb ours, and no stack is given, so that it goes on here.
    let result = unsafe {
        libc::syscall(
            libc::SYS_clone3,
            &raw const arguments,
            size_of::<CloneArguments>(),
        )
    };
    if result == 0 {
        let code = run();
        // SAFETY: ends this process, which has nothing to write back.
        unsafe { libc::_exit(i32::from(code)) }
    }
    let pid = i32::try_from(result).ok().and_then(Pid::from_raw);
    // A negative result, for no child has number 0.
    pid.ok_or_else(io::Error::last_os_error)
}

/// `CLONE_INTO_CGROUP` of `include/uapi/linux/sched.h`.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// `struct clone_args` of `include/uapi/linux/sched.h`, third version.
#[repr(C)]
#[derive(Default)]
struct CloneArguments {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

/// Makes `length` bytes from `start` of a disk its partition `number`.
///
/// # Errors
/// What the kernel says.
pub fn add_partition(disk: &File, number: i32, start: i64, length: i64) -> io::Result<()> {
    change_partition(disk, BLKPG_ADD_PARTITION, number, start, length)
}

/// Takes the partition `number` of a disk away.
///
/// # Errors
/// What the kernel says: that it is in use.
pub fn delete_partition(disk: &File, number: i32) -> io::Result<()> {
    change_partition(disk, BLKPG_DEL_PARTITION, number, 0, 0)
}

fn change_partition(
    disk: &File,
    operation: i32,
    number: i32,
    start: i64,
    length: i64,
) -> io::Result<()> {
    let mut partition = BlockPartition {
        start,
        length,
        number,
        device_name: [0; 64],
        volume_name: [0; 64],
    };
    let mut request = BlockPartitionRequest {
        operation,
        flags: 0,
        data_length: i32::try_from(size_of::<BlockPartition>()).unwrap_or(0),
        data: &raw mut partition,
    };
    // SAFETY: BLKPG takes a `struct blkpg_ioctl_arg` that points to a `struct blkpg_partition`; both live until it returns.
    check(unsafe { libc::ioctl(disk.as_raw_fd(), BLKPG, &raw mut request) })
}

/// `BLKPG` and its operations, `include/uapi/linux/blkpg.h`.
const BLKPG: libc::c_ulong = 0x1269;
const BLKPG_ADD_PARTITION: i32 = 1;
const BLKPG_DEL_PARTITION: i32 = 2;

/// `struct blkpg_ioctl_arg`.
#[repr(C)]
struct BlockPartitionRequest {
    operation: i32,
    flags: i32,
    data_length: i32,
    data: *mut BlockPartition,
}

/// `struct blkpg_partition`.
#[repr(C)]
struct BlockPartition {
    start: i64,
    length: i64,
    number: i32,
    device_name: [u8; 64],
    volume_name: [u8; 64],
}

/// A descriptor that this process was started with.
pub fn inherited(number: i32) -> OwnedFd {
    // SAFETY: for the caller to know that the number means what it was started with, and that nobody else here has it.
    unsafe { OwnedFd::from_raw_fd(number) }
}

/// Gives the program that this process becomes a copy of a descriptor at this number. Whatever had the number in this process, which must
/// not need it any more, has it no longer.
///
/// # Errors
/// What the kernel says.
pub fn give(descriptor: BorrowedFd, number: i32) -> io::Result<()> {
    // SAFETY: takes numbers. What is closed belongs to a child that ends by its exec, or at once.
    check(unsafe { libc::dup2(descriptor.as_raw_fd(), number) })
}

/// The number of a loop device that nobody uses; somebody else may be faster to use it. `control` is `/dev/loop-control`.
///
/// # Errors
/// What the kernel says.
pub fn free_loop_device(control: &File) -> io::Result<u32> {
    // SAFETY: LOOP_CTL_GET_FREE takes no argument.
    let number = unsafe { libc::ioctl(control.as_raw_fd(), LOOP_CTL_GET_FREE) };
    check(number)?;
    u32::try_from(number).map_err(io::Error::other)
}

/// Makes a loop device a disk with this file's bytes. It is given back with its last user.
///
/// # Errors
/// What the kernel says; `EBUSY` when it is in use.
pub fn attach_loop_device(device: &File, file: BorrowedFd, read_only: bool) -> io::Result<()> {
    let mut config = LoopConfig {
        file: u32::try_from(file.as_raw_fd()).unwrap_or(u32::MAX),
        block_size: 0,
        info: [0; 232],
        reserved: [0; 8],
    };
    let flags = if read_only {
        LO_FLAGS_AUTOCLEAR | LO_FLAGS_READ_ONLY
    } else {
        LO_FLAGS_AUTOCLEAR
    };
    config.info[LO_FLAGS_AT..LO_FLAGS_AT + 4].copy_from_slice(&flags.to_le_bytes());
    // SAFETY: LOOP_CONFIGURE takes a `struct loop_config`, which lives until it returns.
    check(unsafe { libc::ioctl(device.as_raw_fd(), LOOP_CONFIGURE, &raw const config) })
}

/// `include/uapi/linux/loop.h`.
const LOOP_CTL_GET_FREE: libc::c_ulong = 0x4C82;
const LOOP_CONFIGURE: libc::c_ulong = 0x4C0A;
const LO_FLAGS_READ_ONLY: u32 = 1;
const LO_FLAGS_AUTOCLEAR: u32 = 4;

/// Offset of `lo_flags` in `struct loop_info64`: behind five 64-bit and three 32-bit members.
const LO_FLAGS_AT: usize = 5 * 8 + 3 * 4;

/// `struct loop_config`; all of its `struct loop_info64` but the flags is 0 here.
#[repr(C, align(8))]
struct LoopConfig {
    file: u32,
    block_size: u32,
    info: [u8; 232],
    reserved: [u64; 8],
}

/// Puts random bytes into the kernel's pool through `/dev/urandom` and counts them as random.
///
/// # Errors
/// What the kernel says.
pub fn add_entropy(device: &File, bytes: &[u8]) -> io::Result<()> {
    let mut pool = RandomPool {
        bits: 0,
        length: 0,
        bytes: [0; ENTROPY_LENGTH],
    };
    let length = bytes.len().min(ENTROPY_LENGTH);
    pool.bytes[..length].copy_from_slice(&bytes[..length]);
    pool.length = i32::try_from(length).unwrap_or(0);
    pool.bits = pool.length * 8;
    // SAFETY: RNDADDENTROPY takes a `struct rand_pool_info`, which lives until it returns and holds as many bytes as it says.
    check(unsafe { libc::ioctl(device.as_raw_fd(), RNDADDENTROPY, &raw mut pool) })?;
    // Random numbers from now on depend on it: two machines that go on from one saved state must not draw the same.
    // SAFETY: RNDRESEEDCRNG takes no argument.
    check(unsafe { libc::ioctl(device.as_raw_fd(), RNDRESEEDCRNG) })
}

/// `include/uapi/linux/random.h`.
const RNDADDENTROPY: libc::c_ulong = 0x4008_5203;
const RNDRESEEDCRNG: libc::c_ulong = 0x5207;

/// `struct rand_pool_info` with room for what the host sends.
#[repr(C)]
struct RandomPool {
    bits: i32,
    length: i32,
    bytes: [u8; ENTROPY_LENGTH],
}

/// Brings a network interface up.
///
/// # Errors
/// What the kernel says.
pub fn bring_up(socket: BorrowedFd, interface: &str) -> io::Result<()> {
    let mut request = InterfaceRequest {
        name: [0; 16],
        flags: 0,
        rest: [0; 22],
    };
    let length = interface.len().min(request.name.len() - 1);
    request.name[..length].copy_from_slice(&interface.as_bytes()[..length]);
    request.flags = i16::try_from(libc::IFF_UP).unwrap_or(0);
    // SAFETY: SIOCSIFFLAGS takes a `struct ifreq`, which lives until it returns.
    check(unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw mut request) })
}

/// `struct ifreq` of `include/uapi/linux/if.h` with its flags: 40 bytes.
#[repr(C)]
struct InterfaceRequest {
    name: [u8; 16],
    flags: i16,
    rest: [u8; 22],
}

/// The first descriptor after the standard three.
const FIRST_OTHER: libc::c_uint = 3;

/// For a child of [`spawn`] that executes no program: does this, and ends with the code that it gives, with the standard three as all that
/// the process has. The agent's would keep the other ends of its own pipes open.
///
/// # Errors
/// What the kernel says.
pub fn end_with_standard_streams(run: impl FnOnce() -> u8) -> io::Result<Infallible> {
    // SAFETY: what owns the descriptors is never used or dropped again, for this function does not return.
    check(unsafe { libc::close_range(FIRST_OTHER, libc::c_uint::MAX, 0) })?;
    let code = run();
    // SAFETY: ends this process, which has nothing to write back.
    unsafe { libc::_exit(i32::from(code)) }
}

/// Makes every descriptor but the standard three close on exec: whatever else happens, a program gets no more.
///
/// # Errors
/// What the kernel says.
pub fn close_others_on_exec() -> io::Result<()> {
    // SAFETY: takes numbers, and closes nothing that anyone here owns.
    check(unsafe {
        libc::close_range(
            FIRST_OTHER,
            libc::c_uint::MAX,
            libc::CLOSE_RANGE_CLOEXEC.cast_signed(),
        )
    })
}

/// Gives this process a system call filter: instructions as they lie in memory.
///
/// # Errors
/// What the kernel says; it checks the program.
pub fn install_filter(program: &[u8]) -> io::Result<()> {
    let (instructions, _) = program.as_chunks::<{ FILTER_INSTRUCTION_LENGTH }>();
    let mut filter: Vec<libc::sock_filter> = instructions
        .iter()
        .map(|&[c0, c1, jt, jf, k0, k1, k2, k3]| libc::sock_filter {
            code: u16::from_le_bytes([c0, c1]),
            jt,
            jf,
            k: u32::from_le_bytes([k0, k1, k2, k3]),
        })
        .collect();
    let program = libc::sock_fprog {
        len: u16::try_from(filter.len()).unwrap_or(u16::MAX),
        filter: filter.as_mut_ptr(),
    };
    // SAFETY: takes a `struct sock_fprog` that points to as many instructions as it says; the kernel copies them.
    let result = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            0,
            &raw const program,
        )
    };
    check(if result < 0 { -1 } else { 0 })
}

/// From here on the kernel takes whatever is sent to a socket, and keeps nothing of it.
///
/// # Errors
/// What the kernel says.
pub fn drop_all_that_comes(socket: BorrowedFd) -> io::Result<()> {
    let mut nothing = libc::sock_filter {
        code: u16::try_from(libc::BPF_RET | libc::BPF_K).unwrap_or(0),
        jt: 0,
        jf: 0,
        k: 0,
    };
    let program = libc::sock_fprog {
        len: 1,
        filter: &raw mut nothing,
    };
    // SAFETY: SO_ATTACH_FILTER takes a `struct sock_fprog` of this length that points to one instruction; the kernel copies both.
    check(unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_FILTER,
            (&raw const program).cast(),
            libc::socklen_t::try_from(size_of::<libc::sock_fprog>()).unwrap_or(0),
        )
    })
}

/// Lets the processes of a control group use only the devices for which this program answers 1.
///
/// # Errors
/// What the kernel says; it checks the program.
pub fn limit_devices(cgroup: BorrowedFd, program: &[[u8; INSTRUCTION_LENGTH]]) -> io::Result<()> {
    let load = LoadProgram {
        kind: BPF_PROG_TYPE_CGROUP_DEVICE,
        count: u32::try_from(program.len()).unwrap_or(u32::MAX),
        instructions: program.as_ptr().expose_provenance() as u64,
        // The program calls nothing that asks for a licence.
        licence: c"".as_ptr().expose_provenance() as u64,
    };
    let loaded = bpf(BPF_PROG_LOAD, &load)?;
    let loaded = i32::try_from(loaded).map_err(io::Error::other)?;
    // SAFETY: the kernel just made this descriptor, and nobody else knows of it.
    let loaded = unsafe { OwnedFd::from_raw_fd(loaded) };
    let attach = AttachProgram {
        target: cgroup.as_raw_fd(),
        program: loaded.as_raw_fd(),
        place: BPF_CGROUP_DEVICE,
        flags: 0,
    };
    // The group holds the program from here on.
    bpf(BPF_PROG_ATTACH, &attach).map(|_| ())
}

/// `enum bpf_cmd` and `enum bpf_attach_type`, `include/uapi/linux/bpf.h`.
const BPF_PROG_LOAD: libc::c_long = 5;
const BPF_PROG_ATTACH: libc::c_long = 8;
const BPF_PROG_TYPE_CGROUP_DEVICE: u32 = 15;
const BPF_CGROUP_DEVICE: u32 = 6;

/// The first members of `union bpf_attr` for `BPF_PROG_LOAD`; the kernel takes the others for 0.
#[repr(C)]
struct LoadProgram {
    kind: u32,
    count: u32,
    instructions: u64,
    licence: u64,
}

/// The same for `BPF_PROG_ATTACH`.
#[repr(C)]
struct AttachProgram {
    target: i32,
    program: i32,
    place: u32,
    flags: u32,
}

fn bpf<T>(command: libc::c_long, attributes: &T) -> io::Result<libc::c_long> {
    // SAFETY: both structures above are beginnings of `union bpf_attr` without padding, whose length goes along; what they point to
    // outlives the call, and the kernel only reads it.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            std::ptr::from_ref(attributes),
            size_of::<T>(),
        )
    };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

/// Sends a signal of any number, real-time signals among them, which no crate names.
///
/// # Errors
/// What the kernel says.
pub fn kill(pid: Pid, signal: u8) -> io::Result<()> {
    // SAFETY: takes numbers. The process is a child that was not reaped, so that its number means no other.
    check(unsafe { libc::kill(pid.as_raw_nonzero().get(), i32::from(signal)) })
}

fn check(result: i32) -> io::Result<()> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::mem::size_of;

    use nix::libc;

    use super::{
        BlockPartition, BlockPartitionRequest, CloneArguments, InterfaceRequest, LoopConfig,
    };

    #[test]
    fn structures_have_the_sizes_of_the_kernels() {
        assert_eq!(size_of::<CloneArguments>(), size_of::<libc::clone_args>());
        assert_eq!(size_of::<InterfaceRequest>(), size_of::<libc::ifreq>());
        assert_eq!(size_of::<BlockPartition>(), 152);
        assert_eq!(size_of::<BlockPartitionRequest>(), 24);
        assert_eq!(size_of::<LoopConfig>(), 304);
    }
}
