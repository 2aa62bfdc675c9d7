//! Pod and image manifests, and the pod's life on disk.
//!
//! Everything in a manifest comes from somebody else. [`manifest`] turns its bytes into types that
//! only validation can make, so that later code never asks again whether a name is a name.
//! [`lifecycle`] keeps pods as directories: where a directory lies and whether it is locked is the
//! pod's state, a rename changes it, and the kernel drops the lock of whoever dies. [`found`] reads
//! the pods of others, [`record`] what their directories tell, [`wait`] waits for them, and [`garbage`]
//! deletes them; [`mutable`] changes which apps a running pod has.
//! [`log`] is what the apps' logs look like, for those who write and those who read them.
//! [`stage1_image`] reads what starts and isolates a pod, [`stage1_cache`] keeps it near the pods,
//! [`name_files`] says by which files both stages speak of names, [`streams`] by which annotations of an app's streams.

mod app_root;
#[cfg(test)]
mod fixture_test;
pub mod found;
pub mod garbage;
pub mod lifecycle;
mod lock;
pub mod log;
pub mod manifest;
pub mod mutable;
pub mod name_files;
pub mod record;
mod remove;
pub mod stage1_cache;
pub mod stage1_image;
pub mod state;
pub mod streams;
mod tree;
mod uuid;
pub mod wait;

pub use uuid::{Uuid, UuidError};
