//! virtio socket (virtio 1.2, section 5.10) in user space: guest connections end in socketpairs.
//!
//! # The protocol in one page
//!
//! A stream is named by (guest port, host port); the host is always CID 2. Each packet is a 44-byte header and, for
//! `RW`, payload. The guest sends packets by its TX queue and offers empty buffers by its RX queue;
//! the event queue carries one message, "all your connections are gone".
//!
//! ```text
//!   guest opens                          host opens
//!   guest ──REQUEST──▶  socketpair       connect() ──REQUEST──▶ guest
//!   guest ◀─RESPONSE──  one end to       guest ──RESPONSE──▶  established
//!                       take_incoming    guest ──RST──▶       the host's end sees EOF
//!
//!   both: RW, CREDIT_UPDATE, CREDIT_REQUEST, SHUTDOWN(no more receiving / no more sending), RST
//! ```
//!
//! **Credit.** Each side tells, in every header, how large its buffer for this stream is (`buf_alloc`) and how many
//! bytes it has taken out of it so far (`fwd_cnt`, modulo 2^32). A sender may have `buf_alloc - (sent - fwd_cnt)`
//! further bytes under way. Bytes count as taken here when the host's socket took them, so a host program that does
//! not read stops the guest's program, not this device.
//!
//! **Ends.** End of file from the host's program becomes SHUTDOWN(send); a SHUTDOWN(send) from the guest becomes the
//! half-close of the socket, after its data. A guest that wants neither direction any more gets RST when its data has
//! been delivered. A packet for a stream that does not exist gets RST.
//!
//! **Never blocks.** All socket calls carry `MSG_DONTWAIT`. What epoll should watch is asked for by
//! [`Vsock::poll_changes`]; a socket whose peer is gone leaves the set, for epoll would report it forever.

mod connection;
mod credit;
mod device;
mod packet;
mod table;
mod traffic;
mod watch;

pub use device::{
    ConnectError, EVENT_QUEUE, Incoming, RX_QUEUE, TX_QUEUE, Vsock, VsockCounters, VsockState,
};
pub use watch::{Change, Interest, Readiness, Token};

/// The host's address.
pub const HOST_CID: u32 = 2;
/// Streams at once, both directions together: a pod's apps speak by few; each costs the host a socketpair.
pub const MAX_CONNECTIONS: usize = 1024;
/// Bytes of one stream on their way to a slow host program; the window that the guest is offered.
pub const CONNECTION_BUFFER: u32 = 256 * 1024;
/// Such bytes of all streams together; the stream that would exceed it is reset.
pub const MAX_BUFFERED_BYTES: usize = 16 * 1024 * 1024;
/// RST packets that wait for a guest buffer; further ones are dropped, for the guest will learn by its own timeouts.
pub const MAX_PENDING_RESETS: usize = 256;
/// Accepted guest connections that the machine has not taken yet.
pub const MAX_INCOMING: usize = 128;
/// Payload of one packet: the largest that Linux sends.
pub const MAX_PACKET_BYTES: usize = 64 * 1024;
