//! Errors of the store and of imports.

use std::io;
use std::path::Path;

use crate::aci::AciError;
use crate::dependency::BadDependency;
use crate::digest::ImageId;
use crate::erofs::ErofsError;
use crate::import::ProcessError;
use crate::oci::OciError;
use crate::registry::FetchError;
use crate::source::SourceError;
use crate::verity::TreeOfHashesError;

use super::dependencies::DependencyError;
use super::digests::VerifyError;
use super::signature::UnsignedError;

/// The store's own files fail.
#[derive(Debug, thiserror::Error)]
#[error("cannot {what} {path}")]
pub struct StoreError {
    what: &'static str,
    path: String,
    source: io::Error,
}

impl StoreError {
    pub(super) fn io(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.display().to_string();
        move |source| Self { what, path, source }
    }
}

/// An image that cannot be imported. Nothing of it is left in the store.
#[derive(Debug, thiserror::Error)]
#[error("cannot import image {reference}")]
pub struct ImportError {
    /// What the user wrote.
    pub reference: String,
    /// Why.
    pub source: Box<ImportCause>,
}

/// Why an image cannot be imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportCause {
    /// It cannot be found, opened or recognized.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// It is a bad ACI.
    #[error(transparent)]
    Aci(#[from] AciError),
    /// It is a bad OCI or docker image.
    #[error(transparent)]
    Oci(#[from] OciError),
    /// Its file system image cannot be written.
    #[error(transparent)]
    Erofs(#[from] ErofsError),
    /// The tree of its hashes cannot be.
    #[error(transparent)]
    Hashes(#[from] TreeOfHashesError),
    /// The store fails.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An image that it depends on cannot be had.
    #[error("its dependency {name}")]
    Dependency {
        /// The name, with the labels that are asked for.
        name: String,
        /// Why not.
        source: Box<DependencyError>,
    },
    /// What it says of images that it depends on makes no sense.
    #[error(transparent)]
    BadDependency(#[from] BadDependency),
    /// An image that it is put together from is not what it was.
    #[error("image {id}, which it is put together from")]
    Damaged {
        /// That image's.
        id: ImageId,
        /// What is wrong with it.
        source: VerifyError,
    },
    /// Nobody who is trusted has signed it.
    #[error(transparent)]
    Unsigned(#[from] UnsignedError),
    /// A registry does not give it.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// The process that reads images does not work.
    #[error(transparent)]
    Process(#[from] ProcessError),
}
