//! `bulkhead image …`: the images of the store.

mod cat_manifest;
mod export;
mod extract;
mod gc;
mod list;
mod name;
mod rm;
mod verify;

use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::{Args, Subcommand};

use self::cat_manifest::CatManifestOptions;
use self::export::ExportOptions;
use self::extract::ExtractOptions;
use self::gc::GcOptions;
use self::list::ListOptions;
use self::rm::RmOptions;
use self::verify::VerifyOptions;
use crate::arguments::GlobalOptions;
use crate::examples;

/// What there is behind `image`.
#[derive(Debug, Args)]
#[command(infer_subcommands = true, arg_required_else_help = false)]
pub(crate) struct ImageArguments {
    #[command(subcommand)]
    pub(crate) command: ImageCommand,
}

/// What to do with images of the store.
#[derive(Debug, Subcommand)]
pub(crate) enum ImageCommand {
    /// List images
    #[command(after_help = examples::LIST_IMAGES)]
    List(ListOptions),
    /// Print an image's manifest
    #[command(after_help = examples::CAT_IMAGE_MANIFEST)]
    CatManifest(CatManifestOptions),
    /// Remove images
    #[command(after_help = examples::RM_IMAGE)]
    Rm(RmOptions),
    /// Remove the images that no pod has and that nobody used for some time
    #[command(after_help = examples::GC_IMAGES)]
    Gc(GcOptions),
    /// Check that images on the disk are what they were
    #[command(after_help = examples::VERIFY)]
    Verify(VerifyOptions),
    /// Write an image as an ACI
    #[command(after_help = examples::EXPORT_IMAGE)]
    Export(ExportOptions),
    /// Write an image into a directory
    #[command(after_help = examples::EXTRACT)]
    Extract(ExtractOptions),
    /// Write an image with all that it depends on into a directory
    #[command(after_help = examples::RENDER)]
    Render(ExtractOptions),
}

impl ImageCommand {
    /// As the user calls it.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::List(_) => "image list",
            Self::CatManifest(_) => "image cat-manifest",
            Self::Rm(_) => "image rm",
            Self::Gc(_) => "image gc",
            Self::Verify(_) => "image verify",
            Self::Export(_) => "image export",
            Self::Extract(_) => "image extract",
            Self::Render(_) => "image render",
        }
    }

    /// Does it.
    pub(crate) fn run(&self, global: &GlobalOptions) -> Result<ExitCode> {
        match self {
            Self::List(options) => list::list(global, options),
            Self::CatManifest(options) => cat_manifest::cat_manifest(global, options),
            Self::Rm(options) => rm::rm(global, options),
            Self::Gc(options) => gc::gc(global, options),
            Self::Verify(options) => verify::verify(global, options),
            Self::Export(options) => export::export(global, options),
            // A tree in the store has all that its image depends on.
            Self::Extract(options) | Self::Render(options) => extract::extract(global, options),
        }
    }
}

/// Files get the owners that they have in their image.
fn check_root() -> Result<()> {
    match rustix::process::geteuid().is_root() {
        true => Ok(()),
        false => bail!("cannot run as unprivileged user"),
    }
}
