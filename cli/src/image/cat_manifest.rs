//! `bulkhead image cat-manifest`.

use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;
use serde_json::Value;

use super::name::ImageName;
use crate::arguments::GlobalOptions;
use crate::pods::{Format, json};
use crate::report;

/// Options of `image cat-manifest`.
#[derive(Debug, Args)]
pub(crate) struct CatManifestOptions {
    #[command(flatten)]
    image: ImageName,

    /// Indent it
    #[arg(
        long,
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_value_t = true,
        hide_possible_values = true,
        default_missing_value = "true"
    )]
    pretty_print: bool,
}

/// Prints an image's manifest.
pub(crate) fn cat_manifest(
    global: &GlobalOptions,
    options: &CatManifestOptions,
) -> Result<ExitCode> {
    let image = options.image.find(&global.dir)?;
    let whose = || format!("the manifest of image {}", image.id);
    let manifest: Value = serde_json::from_slice(&image.manifest).with_context(whose)?;
    let format = match options.pretty_print {
        true => Format::JsonPretty,
        false => Format::Json,
    };
    report::print(&json(&manifest, format).with_context(whose)?)?;
    Ok(ExitCode::SUCCESS)
}
