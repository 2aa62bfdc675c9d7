//! Images out of the store: as archives.

use std::fs::{DirBuilder, File};
use std::io::Write;
use std::os::unix::fs::DirBuilderExt;

use super::workspace::Workspace;
use super::{Store, StoreError, StoredImage};
use crate::erofs::{Filesystem, ReadError, RenderError};
use crate::export::{ExportError, write_aci_of};

/// An image that does not become an archive.
#[derive(Debug, thiserror::Error)]
pub enum ImageExportError {
    /// It cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Its tree cannot be made.
    #[error(transparent)]
    Render(#[from] RenderError),
    /// The archive cannot be written.
    #[error(transparent)]
    Export(#[from] ExportError),
    /// There is no room for its tree in the store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Store {
    /// Writes an image as an uncompressed ACI. Its tree is made in the store first, which takes root, and is gone afterwards; of a killed
    /// export the next import removes it.
    ///
    /// # Errors
    /// When the image is damaged, its tree cannot be made, or the archive cannot be written. What was written is worthless then.
    pub fn export(&self, image: &StoredImage, out: impl Write) -> Result<(), ImageExportError> {
        let files = Filesystem::open(&image.erofs_path)?;
        let workspace = Workspace::create(self)?;
        // Nobody else runs what is in it, such as programs that run as root.
        let private = workspace.path().join("private");
        let root = private.join("rootfs");
        for directory in [&private, &root] {
            DirBuilder::new()
                .mode(0o700)
                .create(directory)
                .map_err(StoreError::io("create", directory))?;
        }
        let opened = File::open(&root).map_err(StoreError::io("open", &root))?;
        files.render(&root)?;
        // Of what an image has, archives have a word for everything: no socket is left out.
        write_aci_of(&whole(&image.manifest), opened.into(), out)?;
        Ok(())
    }
}

/// The manifest of a tree that has all that an image depends on: nothing comes to it any more.
fn whole(manifest: &[u8]) -> Vec<u8> {
    let parsed = serde_json::from_slice::<serde_json::Map<_, _>>(manifest);
    let is_of_parts = |fields: &serde_json::Map<String, serde_json::Value>| {
        let dependencies = fields
            .get("dependencies")
            .and_then(|field| field.as_array());
        dependencies.is_some_and(|all| !all.is_empty())
    };
    let Some(mut fields) = parsed.ok().filter(is_of_parts) else {
        return manifest.to_vec();
    };
    fields.remove("dependencies");
    fields.remove("pathWhitelist");
    serde_json::to_vec(&fields).expect("what was JSON is JSON")
}
