//! The built `bulkhead`, up to the step into a stage1 that writes down how it was called.

#![allow(clippy::unwrap_used)] // A test fails by panicking.

mod app;
mod attach;
mod bad_input;
mod bad_registries;
mod configuration;
mod doctor;
mod ends;
mod enter;
mod fetch;
mod fixture;
mod image;
mod importer;
mod logs;
mod pods;
mod prepared;
mod run;
mod stage1_choice;
mod stage1_versions;
mod usage;
