//! Manifests.

use std::fs::File;
use std::os::unix::fs::FileExt;

use crate::registry::{Registry, RegistryError};
use crate::retry::until_done;

/// Brings a manifest into an empty file.
pub(crate) async fn bring(
    registry: &Registry,
    reference: &str,
    file: &File,
) -> Result<(), RegistryError> {
    let manifest = until_done(|| registry.manifest(reference)).await?;
    file.write_all_at(&manifest, 0)
        .map_err(RegistryError::Write)
}
