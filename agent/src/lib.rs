//! PID 1 of the guest: mounts, launches, reaps, reports.

pub mod accounts;
pub mod agent;
pub mod cgroup;
pub mod clock;
pub mod confine;
pub mod connection;
pub mod console;
pub mod dial;
pub mod disk;
pub mod fill;
pub mod incoming;
pub mod launch;
pub mod links;
pub mod mounts;
pub mod outgoing;
pub mod pod;
pub mod poller;
pub mod process;
pub mod program;
pub mod provided;
pub mod reason;
pub mod report;
pub mod root;
pub mod setup;
pub mod sys;
pub mod volumes;
