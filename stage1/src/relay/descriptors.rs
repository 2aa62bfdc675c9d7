//! The numbers of the descriptors that the supervisor starts the relay with, beside the standard streams.

use std::os::fd::RawFd;

/// The supervisor's commands: a stream socket.
pub const COMMANDS: RawFd = 3;

/// The VMM's control socket.
pub const VMM: RawFd = 4;

/// The directory `rkt` of the stage1's root: `status/APP`, and the sign that the pod is ready. An export has none.
pub const RKT: RawFd = 5;

/// Where phases go; absent unless they are measured.
pub const TRACE: RawFd = 6;

/// The guest kernel's file, to be looked at when the machine never becomes ready.
pub const KERNEL: RawFd = 7;

/// Where clients of programs in the pod's apps connect: a listening socket that does not block. An export has none.
pub const CONTROL: RawFd = 8;

/// The directory of the apps' logs.
pub const LOGS: RawFd = 9;

/// The host's journal, where it is to have the apps' lines: a connected datagram socket.
pub const JOURNAL: RawFd = 10;

/// An event counter that becomes readable when all apps run; absent where nobody waits for it.
pub const APPS_RUN: RawFd = 11;
