//! The agent as PID 1 of namespaces on this machine's kernel, with real images and file systems on loop devices, against a relay
//! made of a socket. Needs root.
#![allow(clippy::unwrap_used)] // Every file here is a test.

mod apps;
mod connections;
mod handlers;
mod pod;
mod processes;
mod relay;
mod rig;
mod streams;
