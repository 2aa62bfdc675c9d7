//! The flags of `run`, read into checked types.

use std::path::PathBuf;
use std::str::FromStr;

use bulkhead_pod::manifest::{
    AbsolutePath, AcIdentifier, AcName, Argument, Capability, CpuShares, EnvironmentName, Errno,
    OomScoreAdjust, Principal, Quantity, SyscallFilter, SyscallName, Text, ValueError,
};
use clap::{Args, Parser};
use thiserror::Error;

use super::grammar::{AppWords, FlagTable};
use crate::arguments::GlobalOptions;
use crate::report::UsageError;

const EXAMPLES: &str = "\
Flags before the first image are the pod's; flags after an image are that app's:
  bulkhead run --interactive busybox.oci --exec=/bin/sh
  bulkhead run --set-env=TZ=UTC web.aci --memory=256Mi --- db.aci --memory=1Gi --cpu=500m

-- begins the arguments of an image's program, --- ends them:
  bulkhead run worker.aci -- --queue=fast --- redis.oci -- --port 6380

An image is a file or directory: an ACI, an OCI layout, or an archive of an OCI layout or of
`docker save`. The pod's exit status is 0 when all apps end with 0, else that of the first app that
failed (128+n when signal n killed it); an app that fails stops the others. Errors of bulkhead
itself end with 254.";

/// `run` as clap knows it: for help, and for the flags of the pod.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
#[command(
    override_usage = "bulkhead run [POD OPTIONS] IMAGE [APP OPTIONS] [-- ARGUMENTS... [---]] \
                            [IMAGE2 ...]"
)]
pub(crate) struct RunArguments {
    #[command(flatten)]
    pub(crate) pod: PodOptions,
    /// Present for the help text alone: the flags of an app never reach this parser.
    #[command(flatten)]
    app: AppOptions,
}

impl RunArguments {
    /// Whose flag is whose.
    pub(crate) fn flags() -> FlagTable {
        let pod = PodOptions::augment_args(GlobalOptions::augment_args(clap::Command::new("")));
        FlagTable::new(pod, Some(AppOptions::augment_args(clap::Command::new(""))))
    }
}

/// Flags of the pod as a whole.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Pod options (before the first image)")]
pub(crate) struct PodOptions {
    /// What isolates the pod: the name of an installed stage1 image, or its directory
    #[arg(long, value_name = "NAME|DIR", default_value = "kvm")]
    pub(crate) stage1: String,

    /// Networks of the pod; none, loopback alone, is the only one yet
    #[arg(
        long,
        value_name = "NETWORKS",
        num_args = 0..=1,
        require_equals = true,
        default_value = "none",
        default_missing_value = "default",
        value_parser = networks
    )]
    pub(crate) net: String,

    /// Connect this terminal to the app; for a pod of one app
    #[arg(
        long,
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_value_t = false,
        default_missing_value = "true"
    )]
    pub(crate) interactive: bool,

    /// Host name of the pod
    #[arg(long, value_name = "NAME", value_parser = host_name)]
    pub(crate) hostname: Option<String>,

    /// Write the pod's UUID to this file
    #[arg(long, value_name = "FILE")]
    pub(crate) uuid_file_save: Option<PathBuf>,

    /// Pass this program's environment on, below what images and flags set
    #[arg(
        long,
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_value_t = false,
        default_missing_value = "true"
    )]
    pub(crate) inherit_env: bool,

    /// Set a variable in all apps
    #[arg(long, value_name = "NAME=VALUE")]
    pub(crate) set_env: Vec<Variable>,

    /// Set the variables of this file (NAME=VALUE a line, # and ; begin comments) in all apps
    #[arg(long, value_name = "FILE")]
    pub(crate) set_env_file: Option<PathBuf>,
}

/// Flags of one app.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "App options (after the app's image)")]
pub(crate) struct AppOptions {
    /// Name of the app in the pod [default: the last part of the image's name]
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<AcName>,

    /// Run this program in place of the image's
    #[arg(long, value_name = "PROGRAM", value_parser = program)]
    pub(crate) exec: Option<Argument>,

    /// Start in this directory of the image
    #[arg(long, value_name = "DIR")]
    pub(crate) working_dir: Option<AbsolutePath>,

    /// Set a variable; stronger than --set-env and the image
    #[arg(long, value_name = "NAME=VALUE")]
    pub(crate) environment: Vec<Variable>,

    /// Run as this user (name, number, or file of the image whose owner is meant)
    #[arg(long, value_name = "USER")]
    pub(crate) user: Option<Principal>,

    /// Run as this group (name, number, or file of the image whose group is meant)
    #[arg(long, value_name = "GROUP")]
    pub(crate) group: Option<Principal>,

    /// Be in these groups too
    #[arg(long, value_name = "GID,...", value_delimiter = ',')]
    pub(crate) supplementary_gids: Option<Vec<u32>>,

    /// Limit of memory, in bytes or as 256Mi; the VM is sized by it
    #[arg(long, value_name = "QUANTITY")]
    pub(crate) memory: Option<MemoryLimit>,

    /// Limit of CPU time in cores, as 0.5 or 500m; the VM is sized by it
    #[arg(long, value_name = "QUANTITY")]
    pub(crate) cpu: Option<Quantity>,

    /// Weight against the pod's other apps (2..262144; 1024 is what each has without it)
    #[arg(long, value_name = "SHARES", value_parser = cpu_shares)]
    pub(crate) cpu_shares: Option<CpuShares>,

    /// Forbid writing to the app's root
    #[arg(
        long,
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_value_t = false,
        default_missing_value = "true"
    )]
    pub(crate) readonly_rootfs: bool,

    /// Keep these capabilities alone
    #[arg(
        long,
        visible_alias = "cap-retain",
        value_name = "CAP_...,...",
        value_delimiter = ',',
        conflicts_with = "caps_remove"
    )]
    pub(crate) caps_retain: Option<Vec<Capability>>,

    /// Take these capabilities from the default set
    #[arg(
        long,
        visible_alias = "cap-remove",
        value_name = "CAP_...,...",
        value_delimiter = ','
    )]
    pub(crate) caps_remove: Option<Vec<Capability>>,

    /// Allow (mode=retain) or forbid (mode=remove) these system calls
    #[arg(long, value_name = "[mode=MODE,][errno=E...,]CALL,...")]
    pub(crate) seccomp: Option<Seccomp>,

    /// Preference of the out-of-memory killer (-1000..1000)
    #[arg(long, value_name = "SCORE", value_parser = oom_score_adjust, allow_hyphen_values = true)]
    pub(crate) oom_score_adj: Option<OomScoreAdjust>,

    /// Add an annotation for executors
    #[arg(long, value_name = "NAME=VALUE")]
    pub(crate) annotation: Vec<Pair<AcIdentifier>>,

    /// Add a note of your own
    #[arg(long, value_name = "NAME=VALUE")]
    pub(crate) user_annotation: Vec<Pair<Text>>,

    /// Add a label of your own
    #[arg(long, value_name = "NAME=VALUE")]
    pub(crate) user_label: Vec<Pair<Text>>,
}

/// The parser of one app's section.
#[derive(Debug, Parser)]
#[command(no_binary_name = true, disable_help_flag = true)]
struct AppSection {
    #[command(flatten)]
    options: AppOptions,
}

/// A pod to run.
#[derive(Debug)]
pub(crate) struct RunRequest {
    /// The pod's flags.
    pub(crate) pod: PodOptions,
    /// Its apps, at least one.
    pub(crate) apps: Vec<AppRequest>,
}

/// One app of a pod to run.
#[derive(Debug)]
pub(crate) struct AppRequest {
    /// The image, as the user named it.
    pub(crate) image: String,
    /// The app's flags.
    pub(crate) options: AppOptions,
    /// Added to the program's own arguments.
    pub(crate) arguments: Vec<Argument>,
}

impl RunRequest {
    /// Reads each app's flags, and checks what holds between them.
    pub(crate) fn new(pod: PodOptions, apps: Vec<AppWords>) -> Result<Self, UsageError> {
        if apps.is_empty() {
            return Err(UsageError::wrong("run", "must provide at least one image"));
        }
        if pod.interactive && apps.len() > 1 {
            let message = format!("--interactive is for one app, this pod has {}", apps.len());
            return Err(UsageError::wrong("run", &message));
        }
        let apps = apps
            .into_iter()
            .map(AppRequest::new)
            .collect::<Result<_, _>>()?;
        Ok(Self { pod, apps })
    }
}

impl AppRequest {
    fn new(words: AppWords) -> Result<Self, UsageError> {
        let section = AppSection::try_parse_from(&words.flags)
            .map_err(|error| UsageError::clap("run", &error))?;
        let arguments = words.arguments.into_iter().map(Argument::try_from);
        let arguments = arguments
            .collect::<Result<_, _>>()
            .map_err(|error| UsageError::wrong("run", &format!("argument after --: {error}")))?;
        Ok(Self {
            image: words.image,
            options: section.options,
            arguments,
        })
    }
}

/// A value of a flag that is not what the flag wants.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum OptionError {
    #[error(transparent)]
    Value(#[from] ValueError),
    #[error("{0:?} is not of the form NAME=VALUE")]
    NotAPair(String),
    #[error("{0} bytes are fewer than 4096; was a unit meant, as in {0}Mi?")]
    LittleMemory(u64),
    #[error("names no program")]
    NoProgram,
    #[error("only none is supported yet: networking comes later")]
    Network,
    #[error("{0:?} is not a host name (letters, digits, dots and dashes, at most 64)")]
    HostName(String),
    #[error("{0:?} is not a number")]
    Number(String),
    #[error("mode {0:?} is neither retain nor remove")]
    SeccompMode(String),
}

/// `NAME=VALUE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pair<Name> {
    /// Before the first `=`.
    pub(crate) name: Name,
    /// After it.
    pub(crate) value: Text,
}

impl<Name: FromStr<Err = ValueError>> FromStr for Pair<Name> {
    type Err = OptionError;

    fn from_str(text: &str) -> Result<Self, OptionError> {
        let (name, value) = split_pair(text)?;
        Ok(Self {
            name: name.parse()?,
            value: value.parse()?,
        })
    }
}

/// A variable of an environment, `NAME=VALUE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Variable {
    /// Before the first `=`.
    pub(crate) name: EnvironmentName,
    /// After it.
    pub(crate) value: Argument,
}

impl FromStr for Variable {
    type Err = OptionError;

    fn from_str(text: &str) -> Result<Self, OptionError> {
        let (name, value) = split_pair(text)?;
        Ok(Self {
            name: name.parse()?,
            value: value.parse()?,
        })
    }
}

fn split_pair(text: &str) -> Result<(&str, &str), OptionError> {
    text.split_once('=')
        .ok_or_else(|| OptionError::NotAPair(text.chars().take(80).collect()))
}

/// A limit of memory that cannot be a slip: `16m` is a hundredth of a byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MemoryLimit(pub(crate) Quantity);

/// rkt's bound: one page.
const MEMORY_LIMIT_MIN: u64 = 4096;

impl FromStr for MemoryLimit {
    type Err = OptionError;

    fn from_str(text: &str) -> Result<Self, OptionError> {
        let quantity: Quantity = text.parse()?;
        if quantity.units() < MEMORY_LIMIT_MIN {
            return Err(OptionError::LittleMemory(quantity.units()));
        }
        Ok(Self(quantity))
    }
}

/// `--seccomp`'s value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seccomp {
    /// Whether the named calls are the only ones allowed; otherwise they are the forbidden ones.
    pub(crate) retain: bool,
    /// The calls.
    pub(crate) filter: SyscallFilter,
}

impl FromStr for Seccomp {
    type Err = OptionError;

    fn from_str(text: &str) -> Result<Self, OptionError> {
        let mut retain = true;
        let mut errno = None;
        let mut names = Vec::new();
        for part in text.split(',') {
            match part.split_once('=') {
                Some(("mode", "retain")) => retain = true,
                Some(("mode", "remove")) => retain = false,
                Some(("mode", mode)) => return Err(OptionError::SeccompMode(mode.to_owned())),
                Some(("errno", name)) => errno = Some(name.parse::<Errno>()?),
                _ => names.push(part.parse::<SyscallName>()?),
            }
        }
        Ok(Self {
            retain,
            filter: SyscallFilter::new(names, errno)?,
        })
    }
}

fn program(text: &str) -> Result<Argument, OptionError> {
    if text.is_empty() {
        return Err(OptionError::NoProgram);
    }
    Ok(text.parse()?)
}

fn networks(text: &str) -> Result<String, OptionError> {
    if text == "none" {
        Ok(text.to_owned())
    } else {
        Err(OptionError::Network)
    }
}

/// `HOST_NAME_MAX` of Linux.
const HOST_NAME_BYTES_MAX: usize = 64;

fn host_name(text: &str) -> Result<String, OptionError> {
    let label = |part: &str| {
        let inner = part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        !part.is_empty() && inner && !part.starts_with('-') && !part.ends_with('-')
    };
    if text.len() <= HOST_NAME_BYTES_MAX && text.split('.').all(label) {
        return Ok(text.to_owned());
    }
    Err(OptionError::HostName(text.chars().take(80).collect()))
}

fn number(text: &str) -> Result<i64, OptionError> {
    text.parse()
        .map_err(|_| OptionError::Number(text.chars().take(80).collect()))
}

fn cpu_shares(text: &str) -> Result<CpuShares, OptionError> {
    Ok(CpuShares::try_from(number(text)?)?)
}

fn oom_score_adjust(text: &str) -> Result<OomScoreAdjust, OptionError> {
    Ok(OomScoreAdjust::try_from(number(text)?)?)
}

#[cfg(test)]
#[path = "options_test.rs"]
mod tests;
