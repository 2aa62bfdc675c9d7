//! The subcommands that look at pods, enter and end them.

mod attach;
mod cat_manifest;
pub(crate) mod crossing;
mod description;
mod enter;
mod entrypoint;
mod export;
mod format;
mod gc;
mod list;
mod logs;
mod name;
mod rm;
mod status;
mod stop;
mod time;

use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;

use self::attach::AttachOptions;
use self::cat_manifest::CatManifestOptions;
pub(crate) use self::description::{AppJson, Description, is_mutable};
pub(crate) use self::enter::{EnterOptions, enter};
use self::export::ExportOptions;
pub(crate) use self::export::{BUFFER, Output};
pub(crate) use self::format::{Format, json, table};
use self::gc::GcOptions;
use self::list::ListOptions;
use self::logs::LogsOptions;
pub(crate) use self::name::PodName;
use self::rm::RmOptions;
use self::status::StatusOptions;
use self::stop::StopOptions;
pub(crate) use self::time::{Period, absolute, relative, zone};
use crate::arguments::GlobalOptions;
use crate::examples;

/// What to do with pods.
#[derive(Debug, Subcommand)]
pub(crate) enum PodCommand {
    /// List pods
    #[command(after_help = examples::LIST)]
    List(ListOptions),
    /// Show the state of a pod and the exit codes of its apps, or wait for them
    #[command(after_help = examples::STATUS)]
    Status(StatusOptions),
    /// Print a pod's manifest
    #[command(after_help = examples::CAT_MANIFEST)]
    CatManifest(CatManifestOptions),
    /// Print what a pod's apps have written
    #[command(after_help = examples::LOGS)]
    Logs(LogsOptions),
    /// Run a program in an app of a running pod
    #[command(after_help = examples::ENTER)]
    Enter(EnterOptions),
    /// Write an app of a pod that has exited as an image, with all that it has changed
    #[command(after_help = examples::EXPORT)]
    Export(ExportOptions),
    /// Read and write the streams of an app of a running pod
    #[command(after_help = examples::ATTACH)]
    Attach(AttachOptions),
    /// Stop running pods
    #[command(after_help = examples::STOP)]
    Stop(StopOptions),
    /// Delete pods that do not run
    #[command(after_help = examples::RM)]
    Rm(RmOptions),
    /// Delete the pods that exited some time ago, and what was left of others
    #[command(after_help = examples::GC)]
    Gc(GcOptions),
}

impl PodCommand {
    /// As the user calls it.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::List(_) => "list",
            Self::Status(_) => "status",
            Self::CatManifest(_) => "cat-manifest",
            Self::Logs(_) => "logs",
            Self::Enter(_) => "enter",
            Self::Export(_) => "export",
            Self::Attach(_) => "attach",
            Self::Stop(_) => "stop",
            Self::Rm(_) => "rm",
            Self::Gc(_) => "gc",
        }
    }

    /// Does it.
    pub(crate) fn run(&self, global: &GlobalOptions) -> Result<ExitCode> {
        match self {
            Self::List(options) => list::list(global, options),
            Self::Status(options) => status::status(global, options),
            Self::CatManifest(options) => cat_manifest::cat_manifest(global, options),
            Self::Enter(options) => match enter(global, options)? {},
            Self::Export(options) => export::export(global, options),
            Self::Logs(options) => logs::logs(global, options),
            Self::Attach(options) => match attach::attach(global, options)? {},
            Self::Stop(options) => stop::stop(global, options),
            Self::Rm(options) => rm::rm(global, options),
            Self::Gc(options) => gc::gc(global, options),
        }
    }
}
