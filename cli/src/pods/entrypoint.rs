//! Calls of a pod's stage1 that are not its run: children of this process, in the pod's directory.

use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use bulkhead_pod::Uuid;
use bulkhead_pod::stage1_image::{Entrypoint, Stage1Image};

/// Runs an entrypoint to its end. It has no input, and nothing to say but on stderr.
pub(crate) fn call(
    pod: &Path,
    stage1: &Stage1Image,
    entrypoint: Entrypoint,
    flags: &[String],
    uuid: Uuid,
) -> Result<()> {
    let directory = std::path::absolute(pod).context("find the working directory")?;
    let program = stage1.program(entrypoint)?;
    let status = Command::new(&program)
        .args(flags.iter().map(OsString::from))
        .arg(uuid.to_string())
        .current_dir(&directory)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()
        .with_context(|| format!("execute {}", program.display()))?;
    if !status.success() {
        let name = program.file_name().unwrap_or_default();
        bail!("stage1's {} ended with {status}", name.display());
    }
    Ok(())
}
