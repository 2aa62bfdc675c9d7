//! The command line: what is common to all subcommands, and which there are.

use std::path::{Path, PathBuf};

use bulkhead_trust::TrustStore;
use clap::{Args, CommandFactory, Parser, Subcommand};

use crate::app::{AddArguments, AddRequest, AppArguments, AppCommand};
use crate::configuration::{
    ConfigOptions, Configuration, ConfigurationError, LOCAL_DIRECTORY, SYSTEM_DIRECTORY,
};
use crate::doctor::DoctorOptions;
use crate::examples;
use crate::fetch::FetchOptions;
use crate::generated::{CompletionOptions, ManOptions};
use crate::image::{ImageArguments, ImageCommand};
use crate::pods::PodCommand;
use crate::report::UsageError;
use crate::run::RunPreparedOptions;
use crate::run::grammar::{self, FlagTable, Words};
use crate::run::options::{PrepareArguments, PrepareRequest, RunArguments, RunRequest};
use crate::trust::TrustOptions;

/// Where images and pods are kept, unless `--dir` or the configuration say otherwise.
const DATA_DIRECTORY: &str = "/var/lib/bulkhead";

const EXAMPLES: &str = "\
Examples:
  bulkhead doctor                                  can this host run pods? if not, why?
  bulkhead run redis.aci                           one image, one app, one VM
  bulkhead run web.aci --- db.aci                  two apps in one pod, over loopback
  bulkhead run busybox.oci --exec=/bin/ls -- -l /  another program, with arguments

Exit status: that of the pod for run, 254 for an error of bulkhead itself.";

/// Run pods, each in its own virtual machine.
#[derive(Debug, Parser)]
#[command(name = "bulkhead", after_help = EXAMPLES, infer_subcommands = true)]
#[command(disable_version_flag = true)]
struct CommandLine {
    #[command(flatten)]
    global: GlobalOptions,
    #[command(subcommand)]
    command: Option<Command>,
}

/// Options of every subcommand.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct GlobalOptions {
    /// Keep images and pods in this directory [default: what the configuration says, else /var/lib/bulkhead]
    #[arg(long = "dir", global = true, value_name = "DIR")]
    dir_flag: Option<PathBuf>,

    /// Where images and pods are kept, from flag and configuration.
    #[arg(skip)]
    pub(crate) dir: PathBuf,

    /// Read the vendor's configuration in this directory
    #[arg(long, global = true, value_name = "DIR", default_value = SYSTEM_DIRECTORY)]
    system_config: PathBuf,

    /// Read the administrator's configuration, which takes the place of the vendor's, in this directory [default:
    /// /etc/bulkhead]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) local_config: Option<PathBuf>,

    /// Read a user's configuration, which takes the place of both, in this directory
    #[arg(long, global = true, value_name = "DIR")]
    user_config: Option<PathBuf>,

    /// What these directories say.
    #[arg(skip)]
    pub(crate) configuration: Configuration,

    /// Say on stderr what is being done, and show the console of the VM
    #[arg(
        long,
        global = true,
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_value_t = false,
        hide_default_value = true,
        hide_possible_values = true,
        default_missing_value = "true"
    )]
    pub(crate) debug: bool,

    /// Leave out these checks [image, tls, http, pubkey, capabilities, paths, seccomp, all-fetch,
    /// all-run, all, none]
    #[arg(
        long,
        global = true,
        value_name = "LIST",
        value_delimiter = ',',
        hide_possible_values = true
    )]
    pub(crate) insecure_options: Vec<InsecureOption>,

    /// Trust keys that were fetched by https without asking
    #[arg(
        long,
        global = true,
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_value_t = false,
        hide_default_value = true,
        hide_possible_values = true,
        default_missing_value = "true"
    )]
    pub(crate) trust_keys_from_https: bool,

    /// Append "phase NAME NANOSECONDS" (CLOCK_MONOTONIC) to this file at each step of a start
    #[arg(long, global = true, value_name = "FILE", hide = true)]
    pub(crate) trace: Option<PathBuf>,
}

/// A check that `--insecure-options` leaves out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
#[value(rename_all = "kebab-case")]
pub(crate) enum InsecureOption {
    None,
    Image,
    Tls,
    Ondisk,
    Http,
    Pubkey,
    Capabilities,
    Paths,
    Seccomp,
    AllFetch,
    AllRun,
    All,
}

impl GlobalOptions {
    /// Reads the configuration. Nothing of it is known before.
    fn configure(&mut self) -> Result<(), ConfigurationError> {
        let local = self.local_config.as_deref();
        let local = local.unwrap_or(Path::new(LOCAL_DIRECTORY));
        let mut directories = vec![self.system_config.as_path(), local];
        directories.extend(self.user_config.as_deref());
        self.configuration = Configuration::read(&directories)?;
        let dir = self
            .dir_flag
            .as_ref()
            .or(self.configuration.paths.data.as_ref());
        self.dir = dir.map_or(PathBuf::from(DATA_DIRECTORY), PathBuf::clone);
        Ok(())
    }

    /// Whose signatures of images are taken.
    pub(crate) fn trust_store(&self) -> TrustStore {
        let local = self.local_config.as_deref();
        TrustStore::new(
            &self.system_config,
            local.unwrap_or(Path::new(LOCAL_DIRECTORY)),
        )
    }

    /// Whether this check of fetching (`Image`, `Tls`, `Http`, `Pubkey`) is to be left out.
    pub(crate) fn leaves_out_of_fetching(&self, check: InsecureOption) -> bool {
        let all = [InsecureOption::AllFetch, InsecureOption::All];
        self.insecure_options
            .iter()
            .any(|option| *option == check || all.contains(option))
    }

    /// Whether this check of running (`Capabilities`, `Paths`, `Seccomp`) is to be left out.
    pub(crate) fn leaves_out(&self, check: InsecureOption) -> bool {
        let all = [InsecureOption::AllRun, InsecureOption::All];
        self.insecure_options
            .iter()
            .any(|option| *option == check || all.contains(option))
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the apps of one or more images in a pod of their own
    Run(Box<RunArguments>),
    /// Make a pod of one or more images, to be run later, and print its UUID
    #[command(after_help = examples::PREPARE)]
    Prepare(Box<PrepareArguments>),
    /// Run a pod that was prepared
    #[command(after_help = examples::RUN_PREPARED)]
    RunPrepared(RunPreparedOptions),
    #[command(flatten)]
    Pods(PodCommand),
    /// Run pods whose apps come and go, and add, start, stop and remove apps
    #[command(after_help = examples::APP)]
    App(AppArguments),
    /// List, remove, check and copy the images of the store
    #[command(after_help = examples::IMAGE)]
    Image(ImageArguments),
    /// Print the configuration that results of all files and flags
    Config(ConfigOptions),
    /// Bring images into the store
    Fetch(FetchOptions),
    /// Trust keys that sign images
    #[command(after_help = examples::TRUST)]
    Trust(TrustOptions),
    /// Say whether this host can run pods, and what to do where it cannot
    Doctor(DoctorOptions),
    /// Print the versions of bulkhead and of what it implements
    Version,
    /// Print what makes a shell complete the command lines of bulkhead
    Completion(CompletionOptions),
    /// Write the manual pages into a directory
    ManPages(ManOptions),
}

/// What the user asked for.
#[derive(Debug)]
pub(crate) enum Request {
    /// Run a pod.
    Run(GlobalOptions, Box<RunRequest>),
    /// Make a pod.
    Prepare(GlobalOptions, Box<PrepareRequest>),
    /// Run one that was made.
    RunPrepared(GlobalOptions, RunPreparedOptions),
    /// Look at pods, or end them.
    Pods(GlobalOptions, PodCommand),
    /// Do something with apps of a pod that runs, or run one without apps.
    App(GlobalOptions, AppCommand),
    /// Add an app to a pod.
    AddApp(GlobalOptions, Box<AddRequest>),
    /// Do something with images of the store.
    Image(GlobalOptions, ImageCommand),
    /// Print the configuration.
    Config(GlobalOptions, ConfigOptions),
    /// Bring images.
    Fetch(GlobalOptions, FetchOptions),
    /// Trust keys.
    Trust(GlobalOptions, TrustOptions),
    /// Examine the host.
    Doctor(GlobalOptions, DoctorOptions),
    /// Print versions.
    Version,
    /// Print a shell's completions.
    Completion(CompletionOptions),
    /// Write the manual pages.
    ManPages(ManOptions),
}

impl Request {
    /// Reads the configuration, where what was asked for depends on it.
    pub(crate) fn configure(&mut self) -> Result<(), ConfigurationError> {
        match self {
            Self::Run(global, _)
            | Self::Prepare(global, _)
            | Self::RunPrepared(global, _)
            | Self::Pods(global, _)
            | Self::App(global, _)
            | Self::AddApp(global, _)
            | Self::Image(global, _)
            | Self::Config(global, _)
            | Self::Fetch(global, _)
            | Self::Trust(global, _)
            | Self::Doctor(global, _) => global.configure(),
            Self::Version | Self::Completion(_) | Self::ManPages(_) => Ok(()),
        }
    }
}

/// The whole command line, as completions and manual pages show it.
pub(crate) fn definition() -> clap::Command {
    CommandLine::command()
}

/// Reads the words after the program's name.
pub(crate) fn parse(words: &[String]) -> Result<Request, UsageError> {
    let globals = FlagTable::new(GlobalOptions::augment_args(clap::Command::new("")), None);
    let Some(index) = globals.first_operand(words) else {
        return parse_plain(words);
    };
    if let Some(request) = parse_add(words, index, &globals)? {
        return Ok(request);
    }
    let (before, rest) = words.split_at(index + 1);
    let (name, flags) = match command_line(before).ok().and_then(|line| line.command) {
        Some(Command::Run(_)) => ("run", RunArguments::flags()),
        Some(Command::Prepare(_)) => ("prepare", PrepareArguments::flags()),
        _ => return parse_plain(words),
    };
    let split = grammar::split(rest, &flags)
        .map_err(|error| UsageError::wrong(name, &error.to_string()))?;
    let pod_words: Vec<String> = before.iter().chain(&split.pod).cloned().collect();
    let command_line = command_line(&pod_words).map_err(|e| UsageError::clap(name, &e))?;
    let global = command_line.global;
    let words = Words {
        pod: Vec::new(),
        ..split
    };
    match command_line.command {
        Some(Command::Run(arguments)) => {
            let request = RunRequest::new(*arguments, words)?;
            Ok(Request::Run(global, Box::new(request)))
        }
        Some(Command::Prepare(arguments)) => {
            let request = PrepareRequest::new(*arguments, words)?;
            Ok(Request::Prepare(global, Box::new(request)))
        }
        _ => unreachable!("the same words gave it above, and options do not change that"),
    }
}

/// `app add` has an image and its flags, as `run` has.
fn parse_add(
    words: &[String],
    index: usize,
    globals: &FlagTable,
) -> Result<Option<Request>, UsageError> {
    let Some(second) = globals.first_operand(&words[index + 1..]) else {
        return Ok(None);
    };
    let (before, rest) = words.split_at(index + second + 2);
    let is_add = |line: CommandLine| {
        let Some(Command::App(app)) = line.command else {
            return false;
        };
        matches!(app.command, AppCommand::Add(_))
    };
    if !command_line(before).is_ok_and(is_add) {
        return Ok(None);
    }
    let name = "app add";
    let split = grammar::split(rest, &AddArguments::flags())
        .map_err(|error| UsageError::wrong(name, &error.to_string()))?;
    let pod_words: Vec<String> = before.iter().chain(&split.pod).cloned().collect();
    let line = command_line(&pod_words).map_err(|e| UsageError::clap(name, &e))?;
    let words = Words {
        pod: Vec::new(),
        ..split
    };
    let request = Box::new(AddRequest::new(words)?);
    Ok(Some(Request::AddApp(line.global, request)))
}

fn parse_plain(words: &[String]) -> Result<Request, UsageError> {
    let command_line = command_line(words).map_err(|error| UsageError::clap("bulkhead", &error))?;
    match command_line.command {
        None => {
            let help = CommandLine::command().render_help().to_string();
            Err(UsageError::NoSubcommand(format!("{}\n", help.trim_end())))
        }
        Some(Command::Pods(command)) => Ok(Request::Pods(command_line.global, command)),
        Some(Command::App(app)) => Ok(Request::App(command_line.global, app.command)),
        Some(Command::Image(image)) => Ok(Request::Image(command_line.global, image.command)),
        Some(Command::Config(options)) => Ok(Request::Config(command_line.global, options)),
        Some(Command::Fetch(options)) => Ok(Request::Fetch(command_line.global, options)),
        Some(Command::Trust(options)) => Ok(Request::Trust(command_line.global, options)),
        Some(Command::Doctor(options)) => Ok(Request::Doctor(command_line.global, options)),
        Some(Command::Version) => Ok(Request::Version),
        Some(Command::Completion(options)) => Ok(Request::Completion(options)),
        Some(Command::ManPages(options)) => Ok(Request::ManPages(options)),
        Some(Command::RunPrepared(options)) => {
            Ok(Request::RunPrepared(command_line.global, options))
        }
        Some(Command::Run(_) | Command::Prepare(_)) => {
            unreachable!("parse() found neither among the same words")
        }
    }
}

fn command_line(words: &[String]) -> Result<CommandLine, clap::Error> {
    let program = std::iter::once("bulkhead");
    CommandLine::try_parse_from(program.chain(words.iter().map(String::as_str)))
}

#[cfg(test)]
#[path = "arguments_test.rs"]
mod tests;
