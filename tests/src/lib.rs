//! Test images, made by tools that are not ours, for the end-to-end tests in `e2e/` and the demo.

pub mod images;
