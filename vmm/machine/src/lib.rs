//! A machine specification in; memory, boot protocol, devices, threads and event loop out.
//!
//! ```text
//!   control socket ──▶ main thread: event loop ── read-only disks, vsock, rng, balloon
//!                        │  ▲ wake                      │ raise
//!        pause, kick     ▼  │ end, all stand            ▼
//!   KVM ◀─ run ─ vCPU threads ── buses ── effects ─▶ mailboxes ─▶ disk workers, one a writable disk
//!                                                                  └─▶ share workers ── vhost-user ─▶ virtiofsd
//! ```
//!
//! A vCPU never waits for a device: what a register write asks for is left in the owner's mailbox, a queue's notification
//! goes from KVM to the owner's bell, and an interrupt is one ioctl. A start has three steps: the specification is
//! checked and its files taken ([`spec`]); KVM is set up while the kernel is copied ([`machine`]); the loop runs until
//! there is a reason to end ([`event_loop`], [`end`]). After the first step nothing is opened, and after the second no
//! thread is started.
//!
//! # Threats
//!
//! | boundary | untrusted | threat | what stops it |
//! |---|---|---|---|
//! | kernel file | who made the image | offsets, sizes, addresses that lie; a file that shrinks | [`kernel`] checks every number against file and memory before anything is copied; reads of exact length |
//! | guest | vCPU | accesses anywhere, of any size | buses and [`ioapic`] answer all; nothing is an error |
//! | guest | vCPU | a flood of orders to device owners | one activation a device until its reset is carried out; notifications count once |
//! | guest | kernel | console flood, panics, resets, triple faults | ring of 64 KiB; each end has its own reason |
//! | control socket | a taken-over relay | nonsense, missing descriptors, no reader | decoded with bounds; the machine ends, or a message is dropped; never waits but for the last, 2 s |
//! | host | full disk, slow disk | one request | errors go to the guest; a slow writable disk holds up its own thread |
//! | virtiofsd | taken over by a guest | no answer, wrong answers, floods, its death | each share has a thread; a start or a stop has 10 s, whatever comes; no descriptor of it is taken; a bell that it shares is never waited for; it is hung up on, and the share stops, alone. It can write guest memory, as the guest can |
//! | ourselves | a bug | a panic in one thread | the process ends with the reason: no half of a machine goes on |

pub mod boot;
pub mod boot_params;
pub mod clock;
pub mod command_line;
pub mod control;
pub mod devices;
pub mod disk_worker;
pub mod end;
pub mod event_loop;
pub mod gate;
pub mod interrupts;
pub mod ioapic;
pub mod kernel;
pub mod layout;
pub mod loop_devices;
pub mod machine;
pub mod mailbox;
pub mod mp_table;
pub mod pressure;
pub mod served_share;
pub mod share_worker;
pub mod shared;
pub mod spec;
pub mod stats;
pub mod vcpus;
pub mod vhost_user;
