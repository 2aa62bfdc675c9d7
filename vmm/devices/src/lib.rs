//! Emulated devices: registers and queues, no KVM, no threads, no paths.
//!
//! A vCPU's access goes through a bus ([`bus`]) to a port device ([`reset_port`], [`early_console`])
//! or to a virtio-mmio transport ([`virtio::Transport`]). A write returns an [`Effect`]: the device
//! never reaches up into the machine. The transport holds registers only. What runs the queues is a
//! [`virtio::VirtioDevice`], owned by whichever thread the machine chooses: it gets its queues by
//! [`Effect::Activate`], loses them by [`Effect::ResetDevice`], and shares with the transport nothing
//! but the atomic [`virtio::Interrupt`] and the [`virtio::ConfigSpace`].
//!
//! # Threats
//!
//! | boundary | untrusted actor | threat | what stops it |
//! |---|---|---|---|
//! | registers | guest vCPU | access of odd size, alignment or address | [`bus`] answers every access; only aligned 32-bit accesses reach transport registers |
//! | registers | guest vCPU | queue or feature writes after DRIVER_OK, double activation, skipped status steps | one phase enum in [`virtio::Transport`]; frozen queues are built only by the step into `Active` |
//! | registers | guest vCPUs racing | activation that arrives after a reset | [`virtio::Activation`] is revoked under the transport's lock; reset waits for the owner |
//! | rings | guest driver | size 0, not a power of two, rings outside memory | checked at activation; the device is never started |
//! | rings | guest driver | available index beyond the ring, loops, long chains, indirect tables in indirect tables | ring stopped with NEEDS_RESET; chain cut at `MAX_SEGMENTS`, answered with length 0, counted |
//! | buffers | guest driver | buffer in a hole, length sums over 2^32 | vm-memory checks each access; sums are `u64` of at most `MAX_SEGMENTS` terms |
//! | block | guest driver | sector arithmetic, oversize requests, header or status descriptors of the wrong kind | [`virtio::blk`]: checked arithmetic, request limits, IOERR or UNSUPP |
//! | block | guest driver | write to a read-only image | the fd is opened read-only ([`virtio::blk::Disk::new`] refuses any other) |
//! | rng | guest driver | gigabytes of random bytes by one chain | `MAX_CHAIN_BYTES` and a budget a call |
//! | vsock | guest driver | unbounded connections, buffers, replies | `MAX_CONNECTIONS`, `CONNECTION_BUFFER`, `MAX_BUFFERED_BYTES`, `MAX_PENDING_RESETS` |
//! | vsock | guest driver | lengths and credit that lie | [`virtio::vsock`]: lengths checked against the chain, credit in wrapping arithmetic |
//! | vsock | host peer | never reads, never writes, closes at any time | sockets never block; each direction ends by itself; dead sockets leave the poll set |
//! | console | guest kernel | flood | ring of 64 KiB that overwrites its oldest bytes |
//! | saved state | whoever wrote the file | values no device could have | restore rebuilds through the same validation as a driver's writes |
//!
//! Guest mischief is never an error here: it is answered with nothing or with the device's own error
//! status, and counted in the device's `counters()`.

#![forbid(unsafe_code)]

pub mod bus;
pub mod early_console;
pub mod reset_port;
pub mod virtio;

pub use bus::{Effect, MmioBus, PortBus};
pub use early_console::{ConsoleRing, EarlyConsole};
pub use reset_port::ResetPort;

/// Guest RAM as the machine maps it. Cloning is cheap: regions are reference-counted.
pub type GuestMemory = vm_memory::GuestMemoryMmap<()>;
