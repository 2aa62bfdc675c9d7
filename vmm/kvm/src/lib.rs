//! KVM file descriptors, memory slots, and vCPU runs as an exit enum.
//!
//! The VMM's only `unsafe` is here. It falls into three kinds: taking over a file descriptor that the caller says is
//! `/dev/kvm`, telling KVM about host memory that is never unmapped ([`memory`]), and reading the page that the kernel
//! shares with each vCPU ([`vcpu`]).
//!
//! What is absent on purpose: devices, boot protocols, threads. Nothing here opens a path.
#![allow(unsafe_code)] // See above: ioctls on raw memory are this crate's reason to exist.

pub mod cpuid;
mod error;
pub mod event;
pub mod exit;
pub mod inherited;
pub mod memory;
pub mod msr;
pub mod probe;
mod run_page;
pub mod state;
pub mod stats;
pub mod vcpu;
pub mod vm;

pub use error::Error;
pub use event::Event;
pub use exit::{Exit, ExitKind};
pub use stats::VcpuStats;
pub use vcpu::{Kick, Vcpu};
pub use vm::{Kvm, Vm};
