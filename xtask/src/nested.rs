//! `nested`: runs a command as root where KVM runs code in hardware.
//!
//! Where this machine's own KVM does, the command runs directly. Elsewhere it runs in the *nested
//! machine*: QEMU's software processor with AMD's virtualization in it, Debian's kernel, and the
//! host's file system under the same paths (a copy-on-write view: writes are lost at the end).

mod dump;
mod initramfs;
mod job;
mod kernel;
mod machine;
mod streams;

use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bulkhead_kvm::probe::{Verdict, probe};

use crate::process::progress;
use crate::setup;

/// Exit status when the machine died under its command, whatever that would have come to: that of other errors is 1, and that of
/// the test harness 101.
pub(crate) const MACHINE_DIED: u8 = 113;

/// Outer limit of a command in the nested machine unless `--timeout` gives another.
const DEFAULT_TIME_LIMIT_SECONDS: u64 = 45 * 60;

/// Tells the command where the directory of `--copy` is.
pub(crate) const COPY_VARIABLE: &str = "NESTED_COPY";

/// Where it is in the nested machine: on the scratch disk, where tests keep their data too.
const COPY: &str = "/var/tmp/copy";

const DEFAULT_MEMORY_MIB: u32 = 4096;

/// As many as development machines have; a pod's vCPU and its device threads run at once.
const DEFAULT_CPUS: u32 = 2;

/// Where and how to run the command.
#[derive(clap::Args, Debug)]
pub(crate) struct Options {
    /// Use the nested machine even where this machine's KVM works
    #[arg(long)]
    pub(crate) always: bool,
    /// Count instructions instead of time: figures repeat whatever else the host does
    #[arg(long)]
    pub(crate) icount: bool,
    /// Memory of the nested machine in MiB
    #[arg(long, default_value_t = DEFAULT_MEMORY_MIB)]
    pub(crate) memory: u32,
    /// Processors of the nested machine (1 with --icount)
    #[arg(long, default_value_t = DEFAULT_CPUS)]
    pub(crate) cpus: u32,
    /// Seconds after which the command is given up and the machine's state printed
    #[arg(long, default_value_t = DEFAULT_TIME_LIMIT_SECONDS)]
    pub(crate) timeout: u64,
    /// Seconds without output after which the command is given up too [default: no limit]
    #[arg(long)]
    pub(crate) silence: Option<u64>,
    /// Directory whose changes reach the host (the rest is copy-on-write); may be repeated
    #[arg(long = "share", value_name = "DIR")]
    pub(crate) shares: Vec<PathBuf>,
    /// Directory that the command finds on a real disk under the path in $NESTED_COPY (9p has no
    /// holes in files, nor links to other file systems)
    #[arg(long, value_name = "DIR")]
    pub(crate) copy: Option<PathBuf>,
    /// Show the nested kernel's messages when the command ends
    #[arg(long)]
    pub(crate) show_console: bool,
    /// The command and its arguments
    #[arg(last = true, required = true)]
    pub(crate) command: Vec<String>,
}

impl Options {
    /// The options of a command line without options.
    pub(crate) fn of(command: Vec<String>) -> Self {
        Self {
            always: false,
            icount: false,
            memory: DEFAULT_MEMORY_MIB,
            cpus: DEFAULT_CPUS,
            timeout: DEFAULT_TIME_LIMIT_SECONDS,
            silence: None,
            shares: Vec::new(),
            copy: None,
            show_console: false,
            command,
        }
    }

    fn time_limit(&self) -> Duration {
        Duration::from_secs(self.timeout)
    }

    fn longest_silence(&self) -> Duration {
        self.silence.map_or(Duration::MAX, Duration::from_secs)
    }
}

/// Runs the command and returns its exit status; here it takes the place of this process.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    if runs_here(options)? {
        // Only returns when the program cannot be started.
        let error = direct(options).exec();
        return Err(error).with_context(|| format!("start {}", options.command[0]));
    }
    setup::install(&[setup::NESTED_MACHINE])?;
    machine::run(options)
}

/// The same for a caller that goes on afterwards.
pub(crate) fn run_to_end(options: &Options) -> Result<ExitCode> {
    if runs_here(options)? {
        let status = direct(options)
            .status()
            .with_context(|| format!("start {}", options.command[0]))?;
        let code = status.code().and_then(|code| u8::try_from(code).ok());
        return Ok(code.map_or(ExitCode::FAILURE, ExitCode::from));
    }
    setup::install(&[setup::NESTED_MACHINE])?;
    machine::run(options)
}

/// Whether the command needs no nested machine, and says which was chosen.
fn runs_here(options: &Options) -> Result<bool> {
    match probe() {
        Verdict::Hardware if !options.always => {
            if !nix::unistd::geteuid().is_root() {
                bail!("KVM of this machine works, but `nested` runs commands as root: use sudo");
            }
            progress("this machine's KVM runs code in hardware: running here");
            Ok(true)
        }
        Verdict::Hardware => Ok(false),
        Verdict::Emulated { evidence } => {
            progress(&format!(
                "nested machine, because KVM here only interprets code: {evidence}"
            ));
            Ok(false)
        }
        Verdict::Unusable { error } => {
            progress(&format!(
                "nested machine, because KVM is unusable here: {error}"
            ));
            Ok(false)
        }
    }
}

fn direct(options: &Options) -> Command {
    let mut command = Command::new(&options.command[0]);
    command.args(&options.command[1..]);
    if let Some(copy) = &options.copy {
        command.env(COPY_VARIABLE, copy);
    }
    command
}
