//! The built `bulkhead`, up to the step into a stage1 that writes down how it was called.

#![allow(clippy::unwrap_used)] // A test fails by panicking.

mod app;
mod attach;
mod auth;
mod bad_input;
mod bad_registries;
mod configuration;
mod dependencies;
mod discovery;
mod doctor;
mod ends;
mod enter;
mod fetch;
mod fixture;
#[path = "../../../trust/tests/it/gpg.rs"]
#[allow(dead_code, reason = "the tests of `trust` use more of it")]
mod gpg;
mod https;
mod image;
mod importer;
mod logs;
mod pods;
mod policy;
mod prepared;
mod run;
mod server;
mod signatures;
mod stage1_choice;
mod stage1_url;
mod stage1_versions;
mod trust;
mod usage;
mod web;
