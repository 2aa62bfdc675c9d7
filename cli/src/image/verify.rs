//! `bulkhead image verify`.

use std::process::ExitCode;

use anyhow::{Context, Result, anyhow};
use bulkhead_image::{ImageId, Store};
use clap::Args;

use super::name::ImageNames;
use crate::arguments::GlobalOptions;
use crate::report;

/// Options of `image verify`.
#[derive(Debug, Args)]
pub(crate) struct VerifyOptions {
    #[command(flatten)]
    images: ImageNames,
}

/// Reads one image after the other. One that is damaged is removed: the next import makes it anew.
pub(crate) fn verify(global: &GlobalOptions, options: &VerifyOptions) -> Result<ExitCode> {
    options
        .images
        .each("image verify", "verify", &global.dir, verify_one)
}

fn verify_one(store: &Store, name: &str, id: &ImageId) -> Result<()> {
    let Err(error) = store.verify(id) else {
        let text = format!("successfully verified checksum for image: \"{name}\" (\"{id}\")\n");
        return report::print(&text);
    };
    if !error.is_damage() {
        return Err(anyhow!(error).context(format!("cannot verify image {id}")));
    }
    let removed = store.remove(id);
    removed.with_context(|| format!("image {id} is damaged ({error}) and cannot be removed"))?;
    let text = format!("image {id} is damaged and was removed: fetch it again");
    Err(anyhow!(error).context(text))
}
