//! Pod and image manifests, and the pod's life on disk.
//!
//! Everything in a manifest comes from somebody else. [`manifest`] turns its bytes into types that
//! only validation can make, so that later code never asks again whether a name is a name.

pub mod manifest;
