//! `bulkhead image export`.

use std::io::BufWriter;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;

use super::name::ImageName;
use crate::arguments::GlobalOptions;
use crate::pods::{BUFFER, Output};
use crate::run::images::open_store;

/// Options of `image export`.
#[derive(Debug, Args)]
pub(crate) struct ExportOptions {
    /// Replace the file if it is there
    #[arg(
        long,
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_value_t = false,
        hide_default_value = true,
        hide_possible_values = true,
        default_missing_value = "true"
    )]
    overwrite: bool,

    #[command(flatten)]
    image: ImageName,

    /// The archive to write
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// Writes the archive, or nothing.
pub(crate) fn export(global: &GlobalOptions, options: &ExportOptions) -> Result<ExitCode> {
    super::check_root()?;
    let image = options.image.find(&global.dir)?;
    let output = Output::create(&options.file, options.overwrite)?;
    let out = BufWriter::with_capacity(BUFFER, output.file());
    open_store(&global.dir)?
        .export(&image, out)
        .with_context(|| format!("cannot export image {}", image.id))?;
    output.publish()?;
    Ok(ExitCode::SUCCESS)
}
