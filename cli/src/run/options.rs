//! The flags of `run`, read into checked types.

use std::path::PathBuf;

use bulkhead_pod::manifest::{
    AbsolutePath, AcIdentifier, AcName, Argument, Capability, CpuShares, Mount, OomScoreAdjust,
    Principal, Quantity, Text, Volume,
};
use bulkhead_pod::streams::{InputMode, OutputMode};
use clap::{Args, Parser};

use super::grammar::{AppWords, FlagTable, Words};
use super::names::{HostsEntry, Name, NameServer, Names, ResolverOption};
use super::values::{
    MemoryLimit, Pair, Seccomp, Variable, cpu_shares, host_name, networks, oom_score_adjust,
    program,
};
use super::volumes;
use crate::arguments::GlobalOptions;
use crate::fetch::PullPolicy;
use crate::report::UsageError;
use crate::stage1::Stage1Options;

const EXAMPLES: &str = "\
Flags before the first image are the pod's; flags after an image are that app's:
  bulkhead run --interactive busybox.oci --exec=/bin/sh
  bulkhead run --set-env=TZ=UTC web.aci --memory=256Mi --- db.aci --memory=1Gi --cpu=500m

A volume is what apps of a pod can share, or have of the host:
  bulkhead run --volume=data,kind=host,source=/srv/data db.aci --mount=volume=data,target=/data
  bulkhead run --volume=d,kind=disk,source=/srv/d.img,fsType=ext4 db.aci --mount=volume=d,target=/data

-- begins the arguments of an image's program, --- ends them:
  bulkhead run worker.aci -- --queue=fast --- redis.oci -- --port 6380

An image is a name of a registry (docker://redis:7, quay.io/prometheus/prometheus), the name or
address of an ACI (aci://example.com/app, https://…), or a file or directory: an ACI, an OCI layout, or an archive of an OCI layout or of `docker save`. The pod's exit status is 0 when all apps end with 0, else that of the first app that
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
    own: RunOptions,
    /// Present for the help text alone: the flags of an app never reach this parser.
    #[command(flatten)]
    app: AppOptions,
}

/// The flags of the pod that `run` has.
#[derive(Debug, Args)]
struct RunOptions {
    #[command(flatten)]
    pod: PodOptions,
    #[command(flatten)]
    start: StartOptions,

    /// Write the pod's UUID to this file
    #[arg(long, value_name = "FILE")]
    uuid_file_save: Option<PathBuf>,
}

impl RunArguments {
    /// Whose flag is whose.
    pub(crate) fn flags() -> FlagTable {
        flags_of::<RunOptions>()
    }
}

/// `prepare` as clap knows it.
#[derive(Debug, Args)]
#[command(
    override_usage = "bulkhead prepare [POD OPTIONS] IMAGE [APP OPTIONS] [-- ARGUMENTS... [---]] \
                            [IMAGE2 ...]"
)]
pub(crate) struct PrepareArguments {
    #[command(flatten)]
    own: PrepareOptions,
    /// As in `run`.
    #[command(flatten)]
    app: AppOptions,
}

/// The flags of the pod that `prepare` has.
#[derive(Debug, Args)]
struct PrepareOptions {
    #[command(flatten)]
    pod: PodOptions,

    /// Say nothing but the UUID and errors
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
    quiet: bool,
}

impl PrepareArguments {
    /// Whose flag is whose.
    pub(crate) fn flags() -> FlagTable {
        flags_of::<PrepareOptions>()
    }
}

fn flags_of<Pod: Args>() -> FlagTable {
    let pod = Pod::augment_args(GlobalOptions::augment_args(clap::Command::new("")));
    FlagTable::new(pod, Some(AppOptions::augment_args(clap::Command::new(""))))
}

/// Flags of a pod's start.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Options of the start")]
pub(crate) struct StartOptions {
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
        hide_default_value = true,
        hide_possible_values = true,
        default_missing_value = "true"
    )]
    pub(crate) interactive: bool,

    /// Host name of the pod
    #[arg(long, value_name = "NAME", value_parser = host_name)]
    pub(crate) hostname: Option<String>,

    /// Name servers for /etc/resolv.conf; host shows the host's file, none keeps the image's whatever a network says
    #[arg(long, value_name = "IP,...|host|none", value_delimiter = ',')]
    pub(crate) dns: Vec<NameServer>,

    /// Domains for /etc/resolv.conf in which short names are looked for
    #[arg(long, value_name = "DOMAIN,...", value_delimiter = ',')]
    pub(crate) dns_search: Vec<Name>,

    /// Options of the resolver for /etc/resolv.conf, as ndots:2
    #[arg(long, value_name = "OPTION,...", value_delimiter = ',')]
    pub(crate) dns_opt: Vec<ResolverOption>,

    /// The pod's own domain for /etc/resolv.conf
    #[arg(long, value_name = "DOMAIN")]
    pub(crate) dns_domain: Option<Name>,

    /// Names for /etc/hosts, which then replaces that of images and volumes; host shows the
    /// host's file
    #[arg(long, value_name = "IP=NAME,...|host", value_delimiter = ',')]
    pub(crate) hosts_entry: Vec<HostsEntry>,

    /// Taken for the sake of rkt's command lines: every pod has the metadata service (AC_METADATA_URL)
    #[arg(
        long,
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_value_t = true,
        hide_default_value = true,
        hide_possible_values = true,
        default_missing_value = "true"
    )]
    pub(crate) mds_register: bool,
}

/// Flags of the pod as a whole.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Pod options (before the first image)")]
pub(crate) struct PodOptions {
    #[command(flatten)]
    pub(crate) stage1: Stage1Options,

    /// Pass this program's environment on, below what images and flags set
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
    pub(crate) inherit_env: bool,

    /// Set a variable in all apps
    #[arg(long, value_name = "NAME=VALUE")]
    pub(crate) set_env: Vec<Variable>,

    /// Set the variables of this file (NAME=VALUE a line, # and ; begin comments) in all apps
    #[arg(long, value_name = "FILE")]
    pub(crate) set_env_file: Option<PathBuf>,

    /// Declare a volume: NAME,kind=host,source=PATH[,readOnly=BOOL][,recursive=BOOL] or
    /// NAME,kind=empty[,mode=MODE][,uid=UID][,gid=GID] or
    /// NAME,kind=disk,source=PATH[,readOnly=BOOL][,fsType=ext4|erofs]; commas in values are
    /// written %2C
    #[arg(long, value_name = "NAME,kind=KIND,...", value_parser = volumes::volume)]
    pub(crate) volume: Vec<Volume>,

    /// When to ask a registry for an image: new (when it is not in the store), update (always), never
    #[arg(long, value_name = "POLICY", default_value = "new")]
    pub(crate) pull_policy: PullPolicy,

    /// Run the pod of this manifest; its images are in the store already, and no other flag says what runs
    #[arg(long, value_name = "FILE")]
    pub(crate) pod_manifest: Option<PathBuf>,
}

/// Flags of one app.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "App options (after the app's image)")]
pub(crate) struct AppOptions {
    /// Name of the app in the pod [default: the last part of the image's name]
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<AcName>,

    /// The signature of the app's image, of an ACI alone [default: IMAGE.asc]
    #[arg(long, value_name = "FILE")]
    pub(crate) signature: Option<PathBuf>,

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

    /// Show a volume at this path of the app; before the first image: of every app
    #[arg(long, value_name = "volume=NAME,target=PATH", value_parser = volumes::mount)]
    pub(crate) mount: Vec<Mount>,

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
        hide_default_value = true,
        hide_possible_values = true,
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

    /// Where its standard input comes from: null, stream (who attaches) or tty (the same)
    #[arg(long, value_name = "MODE")]
    pub(crate) stdin: Option<InputMode>,

    /// Where its standard output goes: log, null, stream (not logged) or tty (who attaches)
    #[arg(long, value_name = "MODE")]
    pub(crate) stdout: Option<OutputMode>,

    /// The same of its standard error
    #[arg(long, value_name = "MODE")]
    pub(crate) stderr: Option<OutputMode>,

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

/// What a pod is made of.
#[derive(Debug)]
pub(crate) struct PodRequest {
    /// The pod's flags.
    pub(crate) options: PodOptions,
    /// Mounts of every app.
    pub(crate) mounts: Vec<Mount>,
    /// Its apps, at least one unless a pod manifest says which.
    pub(crate) apps: Vec<AppRequest>,
}

/// A pod to run.
#[derive(Debug)]
pub(crate) struct RunRequest {
    /// What it is made of.
    pub(crate) pod: PodRequest,
    /// How it starts.
    pub(crate) start: StartOptions,
    /// Its files of names, of the same flags.
    pub(crate) names: Names,
    /// Where its UUID is to be found.
    pub(crate) uuid_file_save: Option<PathBuf>,
}

/// A pod to run later.
#[derive(Debug)]
pub(crate) struct PrepareRequest {
    /// What it is made of.
    pub(crate) pod: PodRequest,
    /// Say nothing of what is being done.
    pub(crate) quiet: bool,
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
    pub(crate) fn new(arguments: RunArguments, words: Words) -> Result<Self, UsageError> {
        let RunOptions {
            pod,
            start,
            uuid_file_save,
        } = arguments.own;
        let pod = PodRequest::new("run", pod, words)?;
        if start.interactive && pod.apps.len() > 1 {
            let count = pod.apps.len();
            let message = format!("--interactive is for one app, this pod has {count}");
            return Err(UsageError::wrong("run", &message));
        }
        let names = Names::of(&start);
        let names = names.map_err(|error| UsageError::wrong("run", &error.to_string()))?;
        Ok(Self {
            pod,
            start,
            names,
            uuid_file_save,
        })
    }
}

impl PrepareRequest {
    /// The same.
    pub(crate) fn new(arguments: PrepareArguments, words: Words) -> Result<Self, UsageError> {
        let PrepareOptions { pod, quiet } = arguments.own;
        let pod = PodRequest::new("prepare", pod, words)?;
        Ok(Self { pod, quiet })
    }
}

impl PodRequest {
    fn new(command: &str, options: PodOptions, words: Words) -> Result<Self, UsageError> {
        let apps = words.apps;
        let mounts = AppSection::try_parse_from(&words.every_app)
            .map_err(|error| UsageError::clap(command, &error))?
            .options
            .mount;
        if options.pod_manifest.is_some() {
            check_alone(command, &options, &mounts, &apps)?;
        } else if apps.is_empty() {
            let message = "must provide at least one image";
            return Err(UsageError::wrong(command, message));
        }
        let apps = apps
            .into_iter()
            .map(|app| AppRequest::new(command, app))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            options,
            mounts,
            apps,
        })
    }
}

/// A pod manifest says all of what runs: nothing of it is said a second time.
fn check_alone(
    command: &str,
    pod: &PodOptions,
    mounts: &[Mount],
    apps: &[AppWords],
) -> Result<(), UsageError> {
    let others = [
        ("an image", !apps.is_empty()),
        ("--volume", !pod.volume.is_empty()),
        ("--mount", !mounts.is_empty()),
        ("--inherit-env", pod.inherit_env),
        ("--set-env", !pod.set_env.is_empty()),
        ("--set-env-file", pod.set_env_file.is_some()),
    ];
    match others.iter().find(|(_, given)| *given) {
        None => Ok(()),
        Some((other, _)) => {
            let message = format!("--pod-manifest says what runs: it goes without {other}");
            Err(UsageError::wrong(command, &message))
        }
    }
}

impl AppRequest {
    pub(crate) fn new(command: &str, words: AppWords) -> Result<Self, UsageError> {
        let section = AppSection::try_parse_from(&words.flags)
            .map_err(|error| UsageError::clap(command, &error))?;
        let arguments = words.arguments.into_iter().map(Argument::try_from);
        let arguments = arguments
            .collect::<Result<_, _>>()
            .map_err(|error| UsageError::wrong(command, &format!("argument after --: {error}")))?;
        Ok(Self {
            image: words.image,
            options: section.options,
            arguments,
        })
    }
}
