//! Who keeps the image store ↔ fetcher: one message a `SOCK_SEQPACKET` packet, file descriptors beside it.
//!
//! ```text
//! keeper                                       fetcher
//!   │── Open ────────────────────────────────────▶│
//!   │── Manifest (a file) ───────────────────────▶│
//!   │◀────────────────────────────────── Manifest │  it is in the file
//!   │── Blob (a file), Blob, … ──────────────────▶│
//!   │◀───────────────────── Progress … Blob, Failed │  of each, in any order
//! ```
//!
//! The fetcher alone speaks to registries. It names no path, and what it brings is an allegation: digests are checked by
//! who asked. It ends when its socket does.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::bounded::Text;
use crate::import::{Chain, MAX_DIGEST};

/// Longest packet, either way; an error with its causes is the longest.
pub const MAX_PACKET: usize = 64 << 10;

/// Descriptors beside a [`ToFetcher::Manifest`] or [`ToFetcher::Blob`].
pub const DESCRIPTORS: usize = 1;

/// The number of the socket in the fetcher.
pub const SOCKET: i32 = 3;

/// Longest name of a host with its port, of a repository, and of a tag.
pub const MAX_NAME: usize = 512;

/// Longest user name, password or token: those of clouds have some 2 KiB.
pub const MAX_SECRET: usize = 16 << 10;

/// Longest certificate of a private authority, with its intermediates, as PEM.
pub const MAX_CERTIFICATES: usize = 24 << 10;

/// Blobs that are brought at a time; more wait their turn in the fetcher.
pub const PARALLEL_BLOBS: usize = 4;

/// Blobs that are asked for and neither there nor failed: a hundred images' worth would be a mistake.
pub const MAX_PENDING: usize = 1024;

/// Where images come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registry {
    /// `HOST[:PORT]`.
    pub host: Text<MAX_NAME>,
    /// `library/redis`.
    pub repository: Text<MAX_NAME>,
    /// HTTP instead of HTTPS.
    pub plain_http: bool,
    /// Whoever answers is taken for the registry (`--insecure-options=tls`).
    pub any_certificate: bool,
    /// Authorities beside the host's own, as PEM.
    pub authorities: Text<MAX_CERTIFICATES>,
    /// Who asks.
    pub credentials: Credentials,
}

/// Who asks a registry.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Credentials {
    /// Anybody.
    Anonymous,
    /// A user, or what stands for one.
    Basic {
        /// Name.
        user: Text<MAX_SECRET>,
        /// Password, or a token in its place.
        password: Text<MAX_SECRET>,
    },
    /// A token that the registry itself takes.
    Bearer(Text<MAX_SECRET>),
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Secrets are not for logs.
        f.write_str(match self {
            Self::Anonymous => "Anonymous",
            Self::Basic { .. } => "Basic",
            Self::Bearer(_) => "Bearer",
        })
    }
}

/// A blob to bring.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blob {
    /// Its digest, by which it is also told apart.
    pub digest: Text<MAX_DIGEST>,
    /// Its size in bytes. No more is written.
    pub size: u64,
    /// Bytes of it that the file has already.
    pub have: u64,
}

/// From the keeper.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToFetcher {
    /// First message, once.
    Open(Registry),
    /// A manifest by its tag or digest, into the empty file beside it: at most 4 MiB. One at a time.
    Manifest(Text<MAX_NAME>),
    /// A blob, into the file beside it.
    Blob(Blob),
}

/// From the fetcher.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromFetcher {
    /// The manifest is in its file.
    Manifest,
    /// So many bytes of a blob are in its file, from its start. Fewer than before when the registry began anew.
    Progress {
        /// Which.
        digest: Text<MAX_DIGEST>,
        /// How many.
        bytes: u64,
    },
    /// All of a blob is in its file.
    Blob {
        /// Which.
        digest: Text<MAX_DIGEST>,
    },
    /// Something cannot be had, however often it is tried.
    Failed {
        /// Which blob; none: the manifest.
        digest: Option<Text<MAX_DIGEST>>,
        /// Why.
        why: Chain,
    },
}
