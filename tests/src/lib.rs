//! Test images, made by tools that are not ours, and a registry, for the end-to-end tests in `e2e/`, the demo and the benchmark.

pub mod images;
pub mod registry;
