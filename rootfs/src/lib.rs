//! The deterministic guest root and the assembly of the stage1 image.
//!
//! The same inputs make the same bytes: no clock, user, host or directory order reaches an output.
//!
//! Absent on purpose: compiling anything. The parts come as paths from whoever built them.

pub mod aci;
mod cpio;
mod failure;
mod gzip;
pub mod initramfs;
mod manifest;
mod scratch;
pub mod stage1;

pub use failure::Failure;
