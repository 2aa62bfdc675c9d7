//! What can be wrong with an OCI or docker image.

use std::io;

use crate::bytes::Escaped;
use crate::convert::ConvertError;
use crate::digest::BadDigest;
use crate::limits::{MAX_INDEX_DEPTH, MAX_INDEX_ENTRIES, MAX_LAYERS};
use crate::source::SourceError;

/// An image whose documents or layers are bad.
#[derive(Debug, thiserror::Error)]
pub enum OciError {
    /// A document or blob is not there or cannot be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// A document is not the JSON that it should be.
    #[error("{document} is not valid")]
    Json {
        /// Which document.
        document: String,
        /// Where, and the field.
        source: serde_json::Error,
    },
    /// A digest is none.
    #[error("{document}: field {field}")]
    Digest {
        /// Which document.
        document: String,
        /// Which field.
        field: &'static str,
        /// Why.
        source: BadDigest,
    },
    /// A field that is well-formed and refused.
    #[error("{document}: field {field} {problem}")]
    Field {
        /// Which document.
        document: String,
        /// Which field.
        field: &'static str,
        /// What is wrong.
        problem: String,
    },
    /// A blob whose content is not what its name says.
    #[error("{what}: {property} is {found}, the image says {expected}")]
    Mismatch {
        /// The blob.
        what: String,
        /// "digest", "size".
        property: &'static str,
        /// What it is.
        found: String,
        /// What it should be.
        expected: String,
    },
    /// Made for another machine.
    #[error("the image is for {found}, this host runs {host}")]
    Platform {
        /// The image's platforms.
        found: String,
        /// Ours.
        host: String,
    },
    /// Several images, and the reference does not say which.
    #[error("{path} holds several images, name one of: {tags}")]
    Ambiguous {
        /// The layout or archive.
        path: String,
        /// What it has.
        tags: String,
    },
    /// No image of the name that was asked for.
    #[error("{path} has no image \"{tag}\"; it has: {tags}")]
    NoSuchTag {
        /// The layout or archive.
        path: String,
        /// What was asked for.
        tag: String,
        /// What it has.
        tags: String,
    },
    /// An index without any image.
    #[error("{path} holds no image")]
    Empty {
        /// The layout or archive.
        path: String,
    },
    /// See the bound.
    #[error("{document} has more than {MAX_INDEX_ENTRIES} entries")]
    TooManyEntries {
        /// Which document.
        document: String,
    },
    /// See the bound.
    #[error("{document} is nested more than {MAX_INDEX_DEPTH} indexes deep")]
    TooDeep {
        /// Which document.
        document: String,
    },
    /// See the bound.
    #[error("{document} has {count} layers, more than {MAX_LAYERS}")]
    TooManyLayers {
        /// Which document.
        document: String,
        /// How many.
        count: usize,
    },
    /// Layers and their digests do not pair up.
    #[error("{document} has {layers} layers, its configuration has {diff_ids} diff_ids")]
    LayerCount {
        /// The manifest.
        document: String,
        /// Layers in the manifest.
        layers: usize,
        /// Layers in the configuration.
        diff_ids: usize,
    },
    /// A format that we do not read.
    #[error("{document}: media type \"{media_type}\" is not supported")]
    MediaType {
        /// The layer or the manifest.
        document: String,
        /// Its media type.
        media_type: Escaped,
    },
    /// What Docker wrote before 2015. Its layers have no digests of their content.
    #[error(
        "{document} is one of Docker's schema 1, which is not supported: \
         push the image again with a tool that writes schema 2 or OCI's"
    )]
    Schema1 {
        /// Which document.
        document: String,
    },
    /// Two programs could see two images in it.
    #[error("{document} has the fields of an index and those of a manifest")]
    TwoKinds {
        /// Which document.
        document: String,
    },
    /// Not what it is said to be.
    #[error("{document} is {is}, its media type is \"{media_type}\"")]
    OtherKind {
        /// Which document.
        document: String,
        /// "an index", "no index".
        is: &'static str,
        /// What it is said to be.
        media_type: Escaped,
    },
    /// A layer cannot be decompressed.
    #[error("layer {layer} cannot be read")]
    Read {
        /// The layer.
        layer: String,
        /// Why.
        source: io::Error,
    },
    /// A layer's content is refused.
    #[error("layer {layer}")]
    Layer {
        /// The layer.
        layer: String,
        /// Why.
        source: ConvertError,
    },
}
