//! Hostile archives in, verified read-only block images in a content store out.
//!
//! [`Store::import`] takes a local ACI, OCI layout, OCI archive or `docker save` archive and gives
//! a [`StoredImage`]: an ACI manifest and one EROFS image. Nothing of an archive is unpacked
//! onto the host's file system: its entries become a tree in memory (metadata only) and blocks of
//! the image, in a process of its own without rights ([`Importer`]). The one exception is a stage1 image, which runs on the host: [`Store::unpack`].

mod accounts;
mod aci;
mod bytes;
mod channel;
mod convert;
mod decompress;
mod dependency;
mod digest;
mod discovery;
mod erofs;
mod export;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod helper;
mod import;
mod limits;
mod oci;
mod registry;
mod source;
mod store;
mod tar;
#[cfg(any(test, feature = "fuzzing"))]
mod test_archive;
#[cfg(test)]
mod test_compression;
mod told;
mod tree;
mod unpack;
mod verity;
mod web;

pub use accounts::{Accounts, User};
pub use aci::AciError;
pub use bytes::Escaped;
pub use channel::ChannelError;
pub use convert::ConvertError;
pub use dependency::BadDependency;
pub use digest::{BadDigest, Digest, ImageId};
pub use discovery::{AciName, BadAciName, DiscoveryError};
pub use erofs::{ErofsError, Filesystem, Found, Lookup, ReadError, RenderError};
pub use export::{ExportError, write_aci, write_aci_of};
pub use helper::HelperError;
pub use import::{ConfineError, Importer, ImporterError, ProcessError, import_for_another};
pub use oci::OciError;
pub use registry::{
    Access, BadReference, Credentials, FetchError, Observer, Policy, PolicyError, Registries,
    RegistryReference, Transfer,
};
pub use source::{Source, SourceError};
pub use store::{
    Dependencies, DependencyError, FindImageError, Held, ImageEntry, ImageExportError, ImportCause,
    ImportError, NamedImage, Progress, Remote, Signatures, Store, StoreError, StoredImage,
    StoredTree, UnpackedImage, UnsignedError, VerifyError,
};
pub use tar::TarError;
pub use told::Told;
pub use tree::TreeError;
pub use verity::TreeOfHashesError;
pub use web::{Web, WebAccess};
