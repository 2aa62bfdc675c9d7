//! Test images, made by tools that are not ours, a registry and keys, for the end-to-end tests in `e2e/`, the demo and the benchmark.

pub mod cosign;
pub mod images;
pub mod registry;
pub mod sigstore;
pub mod tokens;
