//! The descriptors that the supervisor starts the relay with, beside the standard streams, and their numbers.

use std::fs::File;
use std::os::fd::{OwnedFd, RawFd};
use std::os::unix::net::UnixStream;

use super::log::Places;

/// What the relay is started with.
#[derive(Debug)]
pub struct Descriptors {
    /// The supervisor's commands.
    pub commands: UnixStream,
    /// The VMM's control socket.
    pub vmm: OwnedFd,
    /// The directory of the status files, where there are any.
    pub rkt: Option<OwnedFd>,
    /// Where clients of programs in the pod's apps connect, if they can: a listening socket that does not block.
    pub control: Option<OwnedFd>,
    /// An event counter for the one who waits for the apps, if somebody does.
    pub apps_run: Option<OwnedFd>,
    /// Listening sockets for apps, in the order of the plan's.
    pub listeners: Vec<OwnedFd>,
    /// Where phases go.
    pub trace: Option<File>,
    /// The guest kernel's file.
    pub kernel: Option<File>,
    /// Where what apps write is logged.
    pub logs: Places,
}

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

/// The first of the listening sockets for apps, at most [`bulkhead_protocol::plan::MAX_LISTENERS`]: they do not block.
pub const LISTENERS: RawFd = 12;
