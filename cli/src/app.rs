//! `bulkhead app …`: pods whose apps come and go while they run.

mod add;
mod change;
mod list;
mod status;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Subcommand};

pub(crate) use self::add::{AddArguments, AddRequest};
use self::change::AppName;
use self::list::ListOptions;
use self::status::StatusOptions;
use crate::arguments::GlobalOptions;
use crate::examples;
use crate::pods::EnterOptions;
use crate::run::sandbox::{self, SandboxOptions};

/// What there is behind `app`.
#[derive(Debug, Args)]
#[command(infer_subcommands = true, arg_required_else_help = false)]
pub(crate) struct AppArguments {
    #[command(subcommand)]
    pub(crate) command: AppCommand,
}

/// What to do with apps of a pod that runs.
#[derive(Debug, Subcommand)]
pub(crate) enum AppCommand {
    /// Run a pod without apps, to which some are added while it runs
    #[command(after_help = examples::SANDBOX)]
    Sandbox(Box<SandboxOptions>),
    /// Add an app to a pod
    #[command(after_help = examples::ADD)]
    Add(Box<AddArguments>),
    /// Start an app, also again
    #[command(after_help = examples::START)]
    Start(AppName),
    /// Stop an app, and leave it in its pod
    #[command(after_help = examples::STOP_APP)]
    Stop(AppName),
    /// Take an app out of its pod, with all that it wrote
    #[command(after_help = examples::RM_APP)]
    Rm(AppName),
    /// Show the state of an app
    #[command(after_help = examples::STATUS_APP)]
    Status(StatusOptions),
    /// List the apps of a pod
    #[command(after_help = examples::LIST_APPS)]
    List(ListOptions),
    /// Run a program in an app
    #[command(after_help = examples::EXEC)]
    Exec(EnterOptions),
}

impl AppCommand {
    /// As the user calls it.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Sandbox(_) => "app sandbox",
            Self::Add(_) => "app add",
            Self::Start(_) => "app start",
            Self::Stop(_) => "app stop",
            Self::Rm(_) => "app rm",
            Self::Status(_) => "app status",
            Self::List(_) => "app list",
            Self::Exec(_) => "app exec",
        }
    }

    /// Does it.
    pub(crate) fn run(&self, global: &GlobalOptions, start: i128) -> Result<ExitCode> {
        match self {
            Self::Sandbox(options) => match sandbox::sandbox(global, options, start)? {},
            Self::Add(_) => unreachable!("arguments::parse() makes a request of it"),
            Self::Start(app) => app.start(global),
            Self::Stop(app) => app.stop(global),
            Self::Rm(app) => app.rm(global),
            Self::Status(options) => options.run(global),
            Self::List(options) => options.run(global),
            Self::Exec(options) => match crate::pods::enter(global, options)? {},
        }
    }
}
