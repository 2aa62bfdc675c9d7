//! Who keeps the image store ↔ importer: one message a `SOCK_SEQPACKET` packet, file descriptors beside it.
//!
//! ```text
//! keeper                                       importer
//!   │── Import (manifest, archive) ──────────────▶│  both empty-handed but for these
//!   │◀────────────────────────────────────── Aci │  if it is one
//!   │◀────────────────────── Open / Files / Scratch │  may be repeated
//!   │── Given (descriptors), or Refused ─────────▶│
//!   │◀──────────────────────────────── Identified │  the manifest is written
//!   │── Known, or Convert ───────────────────────▶│
//!   │◀───────────────────────── Dependency, Files │
//!   │── Given (descriptors), or Refused ─────────▶│
//!   │◀──────────────────── Layer, … Done or Failed │
//! ```
//!
//! The importer reads what strangers made, so all that it says is an allegation. It names no path: it asks for members of the
//! image by name, and gets descriptors.

use serde::{Deserialize, Serialize};

use crate::bounded::{List, Text};
use crate::verity::Verity;

/// Longest packet, either way: [`MAX_BLOBS`] digests, with room. A socket's buffer holds twice that by default.
pub const MAX_PACKET: usize = 96 << 10;

/// Most descriptors beside a packet.
pub const MAX_DESCRIPTORS: usize = 2;

/// Longest text of one error in a chain of causes: a name of the longest kind, with room.
pub const MAX_ERROR: usize = 5 << 10;

/// Most errors in a chain of causes.
pub const MAX_CAUSES: usize = 8;

/// An error and its causes.
pub type Chain = List<Text<MAX_ERROR>, MAX_CAUSES>;

/// The number of the socket in the importer.
pub const SOCKET: i32 = 3;

/// Blobs that one image can have: its layers, and its configuration.
pub const MAX_BLOBS: usize = 513;

/// Images that one image can be put together from.
pub const MAX_DEPENDENCIES: usize = 64;

/// Longest digest: `sha512:` and its digits.
pub const MAX_DIGEST: usize = 7 + 128;

/// Longest tag or path: Linux's `PATH_MAX`.
pub const MAX_NAME: usize = 4096;

/// Longest id of an image: `sha512-` and its digits.
pub const MAX_ID: usize = 7 + 128;

/// What the reference says about the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Form {
    /// Nothing: the content decides.
    Any,
    /// A layout in a directory, or in a registry: its members are asked for.
    OciLayout,
    /// An archive of a layout.
    OciArchive,
    /// What `docker save` writes.
    DockerArchive,
}

/// What is to be imported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// What it is said to be.
    pub form: Form,
    /// Which image of several.
    pub tag: Option<Text<MAX_NAME>>,
    /// Where it is, for messages.
    pub path: Text<MAX_NAME>,
    /// What an image without a name is called.
    pub name: Text<MAX_NAME>,
}

/// From the keeper.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToImporter {
    /// First message, once; beside it an empty file for the manifest and, but for a layout, the archive.
    Import(Request),
    /// What was asked for; the descriptors are beside it.
    Given,
    /// It is not to be had.
    Refused(Chain),
    /// The store has the image, so that nothing is left to do.
    Known,
    /// It has not: what it will be called there.
    Convert(Text<MAX_ID>),
}

/// A part of an image that is not in one archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Member {
    /// What says which images there are.
    Index,
    /// A manifest, or an index of several, by its digest.
    Manifest(Text<MAX_DIGEST>),
    /// A configuration or a layer.
    Blob {
        /// Its digest.
        digest: Text<MAX_DIGEST>,
        /// Its size in bytes.
        size: u64,
    },
}

/// From the importer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromImporter {
    /// A member of the layout. One descriptor: a file, or a pipe that ends with it, if it has the digest that was asked for, and
    /// before its end otherwise.
    Open(Member),
    /// The blobs that will be opened, in this order. Once.
    Expect(List<Member, MAX_BLOBS>),
    /// The image's file and one for the ends of its files, both empty. Two descriptors, once.
    Files,
    /// An empty file for an archive that must be unpacked. One descriptor, once.
    Scratch,
    /// The archive is an ACI. Before anything else of it, once.
    Aci,
    /// Which image it is; its manifest is in the file. Once.
    Identified(Text<MAX_ID>),
    /// The file tree of an image that this one is put together from, by its place in the manifest. One descriptor.
    Dependency(u32),
    /// An archive is being unpacked, to look for the image in it.
    Unpacking,
    /// A layer is begun, from 1.
    Layer {
        /// Which.
        number: u32,
        /// Of how many.
        count: u32,
    },
    /// Last message: the image's file is complete.
    Done(Summary),
    /// Last message: why it cannot be imported.
    Failed(Chain),
}

/// A finished image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// What its bytes are, which says how many there are. The tree of their hashes lies behind them.
    pub verity: Verity,
    /// Files, directories, links and devices in it.
    pub inodes: u64,
    /// Extended attributes that it cannot hold and that were left out.
    pub dropped_xattrs: u64,
}
