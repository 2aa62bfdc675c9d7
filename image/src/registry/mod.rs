//! Images from registries.
//!
//! ```text
//! store (keeper) ── manifests, blobs ──▶ fetcher (network)       files that grow
//!       │
//!       └─ pipes ──────────────────────▶ importer               layers, while they arrive
//! ```
//!
//! * [`reference`]: what a user writes for an image of a registry;
//! * [`fetcher`]: the process that speaks to the registry, and what of the blobs is there;
//! * [`download`]: gives an importer the members of an image as they come;
//! * [`signed`]: whether an image may be taken;
//! * [`blobs`]: what was begun is kept for a while, to be gone on with.
//!
//! **Who checks.** The digest of a manifest that has a name is computed here; all others are checked by the importer, against what
//! the manifests say. What the fetcher says is an allegation.

mod blobs;
mod download;
mod fetcher;
mod reference;
mod signed;

use std::path::PathBuf;
use std::sync::Arc;

pub use bulkhead_protocol::fetch::Credentials;
pub(crate) use download::{Download, memory_file, read_whole};
pub use fetcher::FetchError;
pub(crate) use fetcher::{OUT_OF_MEMORY, start};
pub use reference::{BadReference, RegistryReference};
pub use signed::{Policy, PolicyError};

/// How a registry is spoken to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// HTTP instead of HTTPS.
    pub plain_http: bool,
    /// Whoever answers is taken for the registry.
    pub any_certificate: bool,
    /// Authorities beside the host's own, as PEM.
    pub authorities: String,
    /// Who asks.
    pub credentials: Credentials,
}

/// What is needed to bring images.
pub struct Registries {
    /// The fetcher's executable.
    pub fetcher: PathBuf,
    /// How the registry is spoken to.
    pub access: Access,
    /// Whether the image may be taken.
    pub policy: Policy,
    /// Hears what comes, in any thread.
    pub observer: Observer,
}

/// Who is told of what comes.
pub type Observer = Arc<dyn Fn(Transfer<'_>) + Send + Sync>;

/// Bytes of a blob or a file on their way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transfer<'a> {
    /// The blob's digest, or the file's address.
    pub what: &'a str,
    /// Bytes that are here.
    pub bytes: u64,
    /// Of so many, where it is known.
    pub size: Option<u64>,
}
