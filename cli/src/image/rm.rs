//! `bulkhead image rm`.

use std::process::ExitCode;

use anyhow::{Context, Result};
use bulkhead_image::{ImageId, Store};
use clap::Args;

use super::name::ImageNames;
use crate::arguments::GlobalOptions;
use crate::report;

/// Options of `image rm`.
#[derive(Debug, Args)]
pub(crate) struct RmOptions {
    #[command(flatten)]
    images: ImageNames,
}

/// Removes one image after the other, and says so.
pub(crate) fn rm(global: &GlobalOptions, options: &RmOptions) -> Result<ExitCode> {
    options
        .images
        .each("image rm", "remove", &global.dir, |store, _, id| {
            remove_one(store, id)
        })
}

/// One that somebody else has removed meanwhile is no error.
pub(super) fn remove_one(store: &Store, id: &ImageId) -> Result<()> {
    store
        .remove(id)
        .with_context(|| format!("cannot remove image {id}"))?;
    report::print(&format!("successfully removed aci for image: \"{id}\"\n"))
}
