//! The `vmm` process on this machine's KVM, with guests of a few instructions, which every KVM can run.
#![allow(clippy::unwrap_used, reason = "a test's helpers are tests")]

mod failures;
#[path = "../../src/vhost_user/fake_backend.rs"]
mod fake_backend;
mod harness;
mod lifecycle;
mod shares;
