//! `bulkhead cat-manifest`.

use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;

use super::format::{self, Format};
use super::name::PodName;
use crate::arguments::GlobalOptions;
use crate::report;

/// Options of `cat-manifest`.
#[derive(Debug, Args)]
pub(crate) struct CatManifestOptions {
    #[command(flatten)]
    pod: PodName,

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

/// Prints a pod's manifest.
pub(crate) fn cat_manifest(
    global: &GlobalOptions,
    options: &CatManifestOptions,
) -> Result<ExitCode> {
    let pod = options.pod.find(&global.dir)?;
    let whose = || format!("pod {}", pod.uuid());
    let manifest = pod.manifest().with_context(whose)?;
    let manifest = manifest
        .with_context(|| format!("pod {} has no manifest: it is {}", pod.uuid(), pod.state()))?;
    let format = match options.pretty_print {
        true => Format::JsonPretty,
        false => Format::Json,
    };
    report::print(&format::json(&manifest, format).with_context(whose)?)?;
    Ok(ExitCode::SUCCESS)
}
