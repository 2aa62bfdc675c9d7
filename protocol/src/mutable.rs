//! Apps that a pod gets while it runs: `app/*` entrypoints ↔ supervisor and relay, supervisor → relay and container, relay ↔ agent.
//!
//! ```text
//! entrypoint ── Request ──▶ supervisor ── GrowDisk, or Arrival ──▶ vmm, or container
//!            ◀─── Reply ──      │
//!                               └──────── AddApp ────────────────▶ relay ── AddApp ──▶ agent
//! entrypoint ── App ───────────────────────────────────────────▶ relay ◀─ AppAdded ─── agent
//!            ◀─ Done, or Refused ─────────────────────────────────┘
//! ```
//!
//! What the guest says of it reaches the caller by the relay's socket ([`crate::control`]), and the supervisor never.

use serde::{Deserialize, Serialize};

use crate::agent::MAX_MANIFEST;
use crate::bounded::{Blob, List, Text};
use crate::plan::{App, AppName, DiskImage, EmptyVolume, MAX_EMPTY_VOLUMES, MAX_LAYERS, Process};
use crate::relay::Outputs;
use crate::vmm::FdIndex;

/// The name of the supervisor's socket in the pod's directory (`SOCK_SEQPACKET`: a request and its reply are a packet each).
pub const SOCKET: &str = "supervisor";

/// Connections to the supervisor at a time.
pub const MAX_CALLERS: usize = 8;

/// Longest packet in either direction: a reason, with room.
pub const MAX_CALL: usize = MAX_REFUSAL + 1024;

/// Longest reason of the supervisor's.
pub const MAX_REFUSAL: usize = 4096;

/// Bytes at the beginning of both disks of a pod that starts without apps: a disk has something on it.
pub const EMPTY_DISK: u64 = 4096;

/// To the supervisor, from a caller who may do what it may.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// Give the pod this app, of which manifest and image lie in the pod's directory.
    Add {
        /// As the pod manifest names it.
        app: AppName,
    },
    /// The app has left: what was there for it alone on the host is to go.
    Remove {
        /// As above.
        app: AppName,
    },
}

/// From the supervisor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// Done; of an app that comes, it is the guest's turn now, and the relay knows how that ends.
    HandedOn,
    /// Nothing was changed.
    Refused {
        /// Why.
        reason: Text<MAX_REFUSAL>,
    },
}

/// An app for a pod that was built already.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddedApp {
    /// Its place among all apps that the pod ever had. None is given twice.
    pub number: u16,
    /// Where it lives. Its indexes count the lists of the plan, and behind them what all added apps brought, in order.
    pub app: App,
    /// Images that the pod did not have before.
    pub images: List<DiskImage, MAX_LAYERS>,
    /// Volumes of its own.
    pub empty_volumes: List<EmptyVolume, MAX_EMPTY_VOLUMES>,
}

/// What the relay needs of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddApp {
    /// For the agent.
    pub added: AddedApp,
    /// What to run when it is started. Each start has an id that the relay gives.
    pub process: Process,
    /// Where its outputs go.
    pub outputs: Outputs,
    /// The pod manifest with the app in it, JSON.
    pub manifest: Blob<MAX_MANIFEST>,
    /// The manifest of its image, as it was stored.
    pub image_manifest: Blob<MAX_MANIFEST>,
}

/// Supervisor → container: the files of an app that is about to be added.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Arrival {
    /// An image that the pod did not have, with its place among all images.
    pub image: Option<(u16, FdIndex)>,
    /// The app's number, and the file of its writable layer.
    pub scratch: (u16, FdIndex),
    /// Of an app whose root is a directory of the host: the index of its share, and the detached mount.
    pub root: Option<(u8, FdIndex)>,
}
