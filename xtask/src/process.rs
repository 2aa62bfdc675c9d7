//! Running other programs, and saying so.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use nix::sys::statvfs::statvfs;

/// One line of progress on standard error; standard output belongs to results.
pub(crate) fn progress(line: &str) {
    eprintln!("xtask: {line}");
}

/// Runs a command silently and returns its standard output; its standard error is shown only when
/// it fails.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("start {command:?}"))?;
    if !output.status.success() {
        bail!(
            "{command:?}: {}\n{}{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs a command whose output the user sees; a failure is an error that names the command.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .with_context(|| format!("start {command:?}"))?;
    if !status.success() {
        bail!("{command:?}: {status}");
    }
    Ok(())
}

/// Room on the disk of a path.
pub(crate) fn disk_available_mib(path: &Path) -> Result<u64> {
    let disk = statvfs(path).with_context(|| format!("look at the disk of {}", path.display()))?;
    Ok((disk.blocks_available() * disk.fragment_size()) >> 20)
}

/// Memory that this machine could give out without swapping, as its kernel estimates it (`MemAvailable`, proc(5)).
pub(crate) fn memory_available_mib() -> Result<u64> {
    let path = "/proc/meminfo";
    let meminfo = std::fs::read_to_string(path).with_context(|| format!("read {path}"))?;
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"));
    let kib = line.and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kib.map(|kib| kib >> 10)
        .with_context(|| format!("{path} has no MemAvailable"))
}
