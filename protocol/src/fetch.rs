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
//! Instead of `Open`, `Web` may come, and then any number of
//!
//! ```text
//!   │── Login ───────────────────────────────────▶│  no answer
//!   │── Get (a file), Metas ─────────────────────▶│
//!   │◀────── Came … Got, Unchanged, Metas, Failed │  one at a time
//! ```
//!
//! The fetcher alone speaks to registries and web servers. It names no path, and what it brings is an allegation: digests are checked by
//! who asked. It ends when its socket does.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::bounded::{List, Text};
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

/// Who asks a registry, or a web server.
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
    /// A token that the server itself takes.
    Bearer(Text<MAX_SECRET>),
    /// A token that is good for tokens of the server that the registry names.
    Identity(Text<MAX_SECRET>),
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Secrets are not for logs.
        f.write_str(match self {
            Self::Anonymous => "Anonymous",
            Self::Basic { .. } => "Basic",
            Self::Bearer(_) => "Bearer",
            Self::Identity(_) => "Identity",
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

/// Longest address of a file of a web server.
pub const MAX_URL: usize = 4096;

/// Longest name that a web server gives a version of a file (`ETag`).
pub const MAX_TAG: usize = 512;

/// How web servers are spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Web {
    /// HTTP too, also of other hosts than this one.
    pub plain_http: bool,
    /// Whoever answers is taken for the server.
    pub any_certificate: bool,
}

/// Who asks one web server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Login {
    /// `HOST`, or `HOST:PORT` where the port is not the usual one.
    pub host: Text<MAX_NAME>,
    /// Who it is.
    pub credentials: Credentials,
}

/// A file of a web server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Get {
    /// Where it is.
    pub url: Text<MAX_URL>,
    /// Bytes that it may have. No more are written.
    pub limit: u64,
    /// The version of it that is there already.
    pub unless: Option<Text<MAX_TAG>>,
}

/// Elements for discovery of one page that are told.
pub const MAX_METAS: usize = 16;

/// Longest template of an address.
pub const MAX_TEMPLATE: usize = 2048;

/// What an element of a page for discovery says: where something of images is whose names begin alike.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meta {
    /// Where what is.
    pub kind: MetaKind,
    /// The beginning of the names.
    pub prefix: Text<MAX_NAME>,
    /// The address, with places for what the name says.
    pub template: Text<MAX_TEMPLATE>,
}

/// What can be discovered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum MetaKind {
    /// Images and their signatures (`ac-discovery`).
    Image,
    /// Keys (`ac-discovery-pubkeys`).
    Keys,
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
    /// First message, once, of who wants files of web servers.
    Web(Web),
    /// Who asks a server, from now on.
    Login(Login),
    /// A file of a web server, into the empty file beside it. One at a time.
    Get(Get),
    /// What a page says for discovery; tried once. One at a time.
    Metas(Text<MAX_URL>),
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
        /// Which blob; none: the manifest, or the file of a web server.
        digest: Option<Text<MAX_DIGEST>>,
        /// Why.
        why: Chain,
        /// Whether another attempt may succeed, as after trouble of the network: what has come is worth keeping for it.
        may_pass: bool,
    },
    /// So many bytes of a web server's file are there, from its start. Fewer than before when the server began anew.
    Came {
        /// How many.
        bytes: u64,
        /// Of so many, where the server says it.
        size: Option<u64>,
    },
    /// All of a web server's file is there.
    Got {
        /// What the server calls this version of it.
        tag: Option<Text<MAX_TAG>>,
        /// Seconds for which nobody needs to ask again.
        fresh_for: u32,
    },
    /// What a page says for discovery.
    Metas(List<Meta, MAX_METAS>),
    /// A web server's file is still the version that was named.
    Unchanged {
        /// As above.
        fresh_for: u32,
    },
}
