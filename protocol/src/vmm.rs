//! The VMM's control socket: one message a `SOCK_SEQPACKET` packet (see [`crate::frame::decode`] for its bytes; packets
//! need no length), file descriptors beside it by `SCM_RIGHTS`.
//!
//! The first message to the VMM is [`ToVmm::Machine`], with every file descriptor that the machine is made of. The VMM
//! opens nothing itself, then or later. What it sends is read by the relay alone.

use serde::{Deserialize, Serialize};

use crate::bounded::{Blob, List, Text};

/// File descriptors beside one message, at most. Linux takes 253 (`SCM_MAX_FD`).
pub const MAX_FDS: usize = 240;

/// Longest packet in either direction: the console ring and its header.
pub const MAX_PACKET: usize = 96 << 10;

/// The last bytes of the guest's early console that the VMM keeps.
pub const CONSOLE_RING: usize = 64 << 10;

/// Disks of one machine.
pub const MAX_DISKS: usize = 4;

/// Shared directories of one machine: with disks, vsock, rng and balloon, all that there are interrupt lines for.
pub const MAX_SHARES: usize = 8;

/// Longest name of a shared directory (virtio 1.2, section 5.11.4: 36 bytes, here with a NUL).
pub const MAX_TAG: usize = 35;

/// Extents of one disk: one an app, and as many again for apps added while the machine runs.
pub const MAX_EXTENTS: usize = 200;

/// vCPUs of one machine.
pub const MAX_VCPUS: u8 = 64;

/// Smallest guest memory, in MiB.
pub const MIN_MEMORY_MIB: u32 = 64;

/// Largest guest memory, in MiB (1 TiB).
pub const MAX_MEMORY_MIB: u32 = 1 << 20;

/// Longest kernel command line, without its NUL (`COMMAND_LINE_SIZE`, `arch/x86/include/asm/setup.h`).
pub const MAX_COMMAND_LINE: usize = 2047;

/// Every extent starts at a multiple of this many bytes in its file, and those that are ours are as long.
pub const EXTENT_ALIGNMENT: u64 = 4096;

/// Every extent is a multiple of this many bytes long (virtio 1.2, section 5.2: a sector).
pub const SECTOR: u64 = 512;

/// The place of a file descriptor among those that came with the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FdIndex(pub u8);

/// What a machine is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineSpec {
    /// `/dev/kvm`, opened.
    pub kvm: FdIndex,
    /// Number of vCPUs, 1 to [`MAX_VCPUS`].
    pub vcpus: u8,
    /// Guest memory in MiB, [`MIN_MEMORY_MIB`] to [`MAX_MEMORY_MIB`].
    pub memory_mib: u32,
    /// An ELF `vmlinux` or a `bzImage`.
    pub kernel: FdIndex,
    /// The initramfs, if any.
    pub initramfs: Option<FdIndex>,
    /// Kernel command line; the VMM appends its virtio-mmio devices.
    pub command_line: Text<MAX_COMMAND_LINE>,
    /// Disks in the guest's order (`vda`, `vdb`, …).
    pub disks: List<DiskSpec, MAX_DISKS>,
    /// Shared directories. Only a machine that has one has memory that another process can map.
    pub shares: List<ShareSpec, MAX_SHARES>,
    /// The guest's vsock address, 3 or more.
    pub vsock_cid: u32,
    /// Show the early console on the VMM's standard error while it comes, besides keeping it.
    pub debug_console: bool,
}

/// One virtio-blk disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskSpec {
    /// Parts in order; together they are the disk.
    pub extents: List<Extent, MAX_EXTENTS>,
    /// What the guest may do with it.
    pub access: DiskAccess,
    /// Whether a thread of its own serves it, because its files may be slow; else the one of vsock does.
    pub own_thread: bool,
}

/// What a guest may do with a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum DiskAccess {
    /// Read. The descriptors are opened read-only too.
    ReadOnly,
    /// Write, and have the host bring it to its own disk.
    Writable,
    /// Write. The host keeps it, and brings it to its own disk when it likes: nobody wants it when the host has crashed.
    Temporary,
}

/// A directory of the host, by virtio-fs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShareSpec {
    /// By which the guest mounts it; not empty.
    pub tag: Text<MAX_TAG>,
    /// A connected stream socket to the process that serves it (vhost-user).
    pub socket: FdIndex,
    /// Whether the guest passes over it at first, until its agent has a driver bound: that process comes later too.
    pub late: bool,
}

/// A part of a disk: a range of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extent {
    /// The file.
    pub file: FdIndex,
    /// First byte in the file; a multiple of [`EXTENT_ALIGNMENT`].
    pub offset: u64,
    /// Bytes; a multiple of [`SECTOR`], not 0.
    pub length: u64,
}

/// To the VMM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToVmm {
    /// Build this machine and run it. First message, once.
    Machine(MachineSpec),
    /// Connect the one descriptor beside this message, a stream socket, to this port of the guest. Refusal by the guest
    /// closes it.
    Connect {
        /// The guest's vsock port.
        port: u32,
    },
    /// Append an extent to a disk; its file is the one descriptor beside this message.
    GrowDisk {
        /// Index in [`MachineSpec::disks`].
        disk: u8,
        /// The extent; its `file` is 0.
        extent: Extent,
    },
    /// The one descriptor beside this message is a pressure stall trigger (`Documentation/accounting/psi.rst`): whenever it says that the
    /// host is short of memory, take from the guest what it can spare.
    WatchPressure,
    /// Stop the vCPUs and quiesce the devices.
    Pause,
    /// Go on after [`ToVmm::Pause`].
    Resume,
    /// Ask for [`FromVmm::Stats`].
    Stats,
    /// Power off at once, without asking the guest.
    Stop,
}

/// From the VMM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromVmm {
    /// The first vCPU is about to enter the guest.
    Started(StartTimes),
    /// The guest connected to this host port; the one descriptor beside this message is our end.
    Connection {
        /// The host's vsock port that the guest dialled.
        port: u32,
    },
    /// The answer to [`ToVmm::Pause`]: vCPUs stand still, devices are quiet.
    Paused,
    /// The answer to [`ToVmm::Resume`].
    Resumed,
    /// The answer to [`ToVmm::Stats`].
    Stats(List<Counter, MAX_COUNTERS>),
    /// The last message: the machine is no more.
    Exited {
        /// Why.
        reason: ExitReason,
        /// The tail of the early console.
        console: Blob<CONSOLE_RING>,
    },
}

/// Counters of one [`FromVmm::Stats`].
pub const MAX_COUNTERS: usize = 256;

/// A number that only grows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counter {
    /// What is counted, such as `kvm.exits`, `blk0.rejected`.
    pub name: Text<64>,
    /// How often.
    pub value: u64,
}

/// Phases of a start, in nanoseconds of `CLOCK_MONOTONIC`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartTimes {
    /// The VMM's `main`.
    pub process_start_ns: u64,
    /// `KVM_CREATE_VM` returned.
    pub vm_created_ns: u64,
    /// Kernel and initramfs are in guest memory.
    pub kernel_loaded_ns: u64,
    /// Just before the first `KVM_RUN`.
    pub first_run_ns: u64,
}

/// Why a machine is no more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExitReason {
    /// The guest asked for a reset: its way to power off.
    GuestReset,
    /// A triple fault: the guest's CPU gave up.
    TripleFault,
    /// KVM could not go on with the guest (`KVM_EXIT_INTERNAL_ERROR`).
    KvmInternalError {
        /// `KVM_INTERNAL_ERROR_*`, `include/uapi/linux/kvm.h`.
        suberror: u32,
        /// The guest's instruction pointer.
        rip: u64,
    },
    /// The CPU refused to enter the guest (`KVM_EXIT_FAIL_ENTRY`).
    EntryFailed {
        /// The hardware's reason.
        reason: u64,
    },
    /// [`ToVmm::Stop`].
    Stopped,
    /// The machine could not be built, or the VMM met an error of the host.
    Failed {
        /// One line, with its causes.
        message: Text<2048>,
    },
}

impl std::fmt::Display for ExitReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ExitReason::GuestReset => f.write_str("the guest reset the machine"),
            ExitReason::TripleFault => f.write_str("the guest's CPU met a triple fault"),
            ExitReason::KvmInternalError { suberror, rip } => {
                write!(
                    f,
                    "KVM cannot run the guest's code (internal error {suberror} at instruction {rip:#x})"
                )
            }
            ExitReason::EntryFailed { reason } => {
                write!(f, "the CPU refuses to enter the guest (reason {reason:#x})")
            }
            ExitReason::Stopped => f.write_str("the machine was stopped"),
            ExitReason::Failed { message } => f.write_str(message),
        }
    }
}
