//! From an archive or a layout to a file system image.
//!
//! ```text
//! store (keeper)                               importer
//!   names, locks, renames ◀── Owner ──────────  archives, documents, layers in; EROFS out
//! ```
//!
//! * [`work`]: what the importer does; it reaches nothing but through its [`Owner`];
//! * [`process`] and [`asked`]: the same in a process of its own, which has no files, no privileges and few system calls
//!   ([`confine`]), and asks by a [`crate::channel`].

mod asked;
mod confine;
mod process;
mod work;

use std::fs::File;
use std::path::PathBuf;

use bulkhead_protocol::import::Form;

use crate::digest::ImageId;
use crate::source::{Member, SourceError};
use crate::store::{ImportCause, Progress};

pub use asked::{ImporterError, import_for_another};
pub use confine::ConfineError;
pub use process::ProcessError;
pub(crate) use process::import;
pub(crate) use work::{Imported, run};

/// Where images are converted.
#[derive(Debug, Clone)]
pub enum Importer {
    /// In a confined process of its own: this executable.
    Process(PathBuf),
    /// In this process, with all its rights: for images that its own user has made.
    Here,
}

/// What is to be imported.
pub(crate) struct Request {
    pub(crate) form: Form,
    /// Which image of several.
    pub(crate) tag: Option<String>,
    /// Where it is, for messages.
    pub(crate) path: String,
    /// What an image without a name is called.
    pub(crate) name: String,
    /// The archive; a layout has none, its members are asked for.
    pub(crate) archive: Option<File>,
}

/// Whom the importer asks for everything that it cannot have by itself.
pub(crate) trait Owner {
    /// A member of the layout, never [`Member::Named`].
    fn open(&self, member: &Member) -> Result<File, SourceError>;
    /// What will be opened, in this order.
    fn expect(&self, members: &[Member]);
    /// The image's file and one for the ends of its files, both empty. Once.
    fn files(&self) -> Result<[File; 2], ImportCause>;
    /// An empty file for an archive that must be unpacked. Once.
    fn scratch(&self) -> Result<File, ImportCause>;
    /// The archive is an ACI, and may have to be signed. Before anything else of it, once.
    fn found_aci(&self) -> Result<(), ImportCause>;
    /// What was read is this, and has this manifest. What the store will call the image, which it is this importer's turn to convert; none if it
    /// has it already.
    fn identified(&self, id: &ImageId, manifest: &[u8]) -> Result<Option<ImageId>, ImportCause>;
    /// The file tree of the image that the manifest names at this place of its dependencies. After `identified`, each once.
    fn dependency(&self, number: usize) -> Result<File, ImportCause>;
    /// For the user's eyes.
    fn tell(&self, progress: Progress);
}
