//! Supervisor → relay: frames on a stream socket, one way.
//!
//! The answer is the relay's exit code, which is the pod's: a number that the kernel keeps, so that the privileged
//! supervisor never reads a byte that a guest wrote.

use serde::{Deserialize, Serialize};

use crate::MAX_APPS;
use crate::agent::MAX_MANIFEST;
use crate::bounded::{Blob, List};
use crate::metadata::MetadataSpec;
use crate::mutable::AddApp;
use crate::plan::{Plan, Process};

/// Longest frame to the relay: what the agent gets, and manifests.
pub const MAX_TO_RELAY: usize = crate::frame::MAX_TO_AGENT + (16 << 20);

/// To the relay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToRelay {
    /// First message, once.
    Run(Box<RelaySpec>),
    /// Stop the apps in order, then the machine. End of file on the socket means the same.
    Stop,
    /// Add an app to the pod, which is mutable.
    AddApp(Box<AddApp>),
}

/// What the relay needs to know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RelaySpec {
    /// For the agent.
    pub plan: Plan,
    /// The pod manifest as JSON.
    pub manifest: Blob<MAX_MANIFEST>,
    /// For the metadata service.
    pub metadata: MetadataSpec,
    /// The apps' main processes, one an app in the order of the plan, with ids 0, 1, ….
    pub processes: List<Process, MAX_APPS>,
    /// Where the outputs of each of them go, in the same order.
    pub outputs: List<Outputs, MAX_APPS>,
    /// Whether the first of them has the relay's standard input.
    pub interactive: bool,
    /// How long the agent may take to say hello, in milliseconds of host time.
    pub ready_timeout_ms: u32,
    /// Between SIGTERM and SIGKILL in the guest.
    pub stop_grace_ms: u32,
    /// Between SIGKILL and power-off without asking.
    pub power_off_grace_ms: u32,
    /// Whether lines of output carry the app's name: when several apps share one terminal.
    pub label_output: bool,
    /// Whether programs that enter an app keep to its capabilities, its system call filter and the privileges that it renounced.
    /// In a machine of their own they need not: root there harms no more than its pod.
    pub confine_entered: bool,
    /// Whether apps come and go while the pod runs. It then starts without any, and ends when it is stopped.
    pub mutable: bool,
    /// Say on standard error what happens.
    pub debug: bool,
}

/// Where the outputs of an app go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outputs {
    /// Standard output; a terminal's.
    pub stdout: Destination,
    /// Standard error.
    pub stderr: Destination,
}

impl Outputs {
    /// Both to the same place.
    #[must_use]
    pub fn both(to: Destination) -> Self {
        Self {
            stdout: to,
            stderr: to,
        }
    }
}

/// Where an output goes, beside those who have attached to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Destination {
    /// To the relay's own outputs, and to the log.
    Log,
    /// To the relay's own outputs.
    Stream,
    /// To nobody, and nobody can attach to it.
    Null,
    /// To nobody else: of a terminal that is not the relay's.
    Attached,
}
