//! Every byte that crosses a process or VM boundary: message types and framing, nothing else.
//!
//! The conversations, each in a module of its own, and what one of them carries:
//!
//! * [`agent`]: relay ↔ guest agent, over one vsock connection, in [`frame`]s;
//! * [`vmm`]: supervisor and relay ↔ VMM, one message a `SOCK_SEQPACKET` packet, file descriptors beside it;
//! * [`container`]: supervisor → what takes a VMM's place where a pod has no machine;
//! * [`relay`]: supervisor → relay, one way: the supervisor reads nothing that a guest can influence;
//! * [`control`]: `enter` ↔ relay, programs that are started in the apps of a running pod;
//! * [`metadata`]: what apps ask of the metadata service, part of [`agent`];
//! * [`mutable`]: apps that are added to a running pod, part of several;
//! * [`import`] and [`fetch`]: who keeps the image store ↔ the process that reads images, and the one that brings them;
//! * [`verity`]: what an image's bytes have to be, part of [`import`] and of [`plan`].
//!
//! Host and agent are built together, so there is one version and no negotiation ([`VERSION`]).
//!
//! **Invariants.** This crate does no I/O. What arrives is an allegation: every string, list and number of bytes is a
//! [`bounded`] type that only validation constructs, on both sides, so that a decoded message needs no second look at
//! its sizes. Decoding allocates no more than the bytes that arrived can justify.

pub mod agent;
pub mod bounded;
pub mod container;
pub mod control;
mod disk_image;
pub mod exit;
pub mod fetch;
pub mod frame;
pub mod import;
mod listeners;
pub mod metadata;
pub mod mutable;
pub mod plan;
pub mod relay;
pub mod verity;
pub mod vmm;

/// The one version of all conversations. A peer with another one is refused at its first message.
pub const VERSION: u32 = 1;

/// The host port that the agent dials (vsock, host CID 2).
pub const AGENT_PORT: u32 = 1024;

/// Apps of one pod, over all of its life. Each takes up to two extents of the machine's disks, and the file descriptors of all extents
/// travel in one message, of which the Linux kernel takes at most 253 (`SCM_MAX_FD`, `include/net/scm.h`).
pub const MAX_APPS: usize = 100;
