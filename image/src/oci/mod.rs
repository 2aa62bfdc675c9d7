//! OCI layouts and archives, and `docker save` archives.
//!
//! Both come down to the same thing: an image configuration and layers, each layer with the digest
//! that its uncompressed archive must have.

mod config;
mod docker;
mod document;
mod error;
mod kind;
mod layers;
mod manifest;
mod name;
mod platform;
mod resolve;

pub use error::OciError;
pub(crate) use layers::apply;
pub(crate) use platform::{host as host_platform, suits_appc};

use crate::digest::{Digest, ImageId};
use crate::source::{Container, Member};

/// An image that was found and whose documents are checked; its layers are not read yet.
#[derive(Debug)]
pub(crate) struct Resolved {
    /// The digest of the configuration, which pins the layers.
    pub(crate) id: ImageId,
    /// The ACI manifest that it is run by.
    pub(crate) manifest: Vec<u8>,
    pub(crate) layers: Vec<Layer>,
}

/// One layer, still compressed.
#[derive(Debug)]
pub(crate) struct Layer {
    /// Its name in messages.
    pub(crate) name: String,
    /// Where it is in its container.
    pub(crate) member: Member,
    /// Digest and size of the blob; a docker archive has none.
    pub(crate) descriptor: Option<(Digest, u64)>,
    /// Digest of the uncompressed archive.
    pub(crate) diff_id: Digest,
}

/// Finds the image in an OCI layout.
pub(crate) fn resolve_layout(
    container: &Container<'_>,
    tag: Option<&str>,
    fallback_name: &str,
) -> Result<Resolved, OciError> {
    resolve::resolve(container, tag, fallback_name)
}

/// Finds the image in a docker archive.
pub(crate) fn resolve_docker(
    container: &Container<'_>,
    tag: Option<&str>,
    fallback_name: &str,
) -> Result<Resolved, OciError> {
    docker::resolve(container, tag, fallback_name)
}
