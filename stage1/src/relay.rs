//! The relay: the one process that reads what a guest wrote.
//!
//! ```text
//!             commands                    control socket
//! supervisor ──────────▶ ┌───────────┐ ◀────────────────▶ vmm
//!            stdin ─────▶│  session  │     agent's connection (through the VMM)
//!   stdout, stderr ◀─────└───────────┘ ◀────────────────▶ agent
//! ```
//!
//! * [`session`] decides: a state machine without I/O, threads or clock, so that a test can be any agent;
//! * [`event_loop`] does what it says, in one thread that never blocks on anybody;
//! * [`outlet`] and [`inlet`]: a thread for each standard stream, because those may block whenever their other end likes,
//!   and belong to others too, so that they cannot be switched to non-blocking mode;
//! * [`log`]: a thread that keeps what the apps write, for a disk may block too.
//!
//! **Invariant.** A guest can make the relay hold no more than [`WINDOW`](bulkhead_protocol::agent::WINDOW) bytes for each
//! stream of its processes, one frame, one bounded queue of answers, and of requests to the metadata service, one of what is
//! to be logged, and one window more for each stream that a client is attached to.

pub mod descriptors;
pub mod event_loop;
pub mod inlet;
pub mod kernel;
pub mod label;
pub mod log;
pub mod metadata;
pub mod outlet;
pub mod readable;
pub mod session;
pub mod status;
pub mod vmm_link;
