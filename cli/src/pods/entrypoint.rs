//! Calls of a pod's stage1 that are not its run: children of this process, in the pod's directory.

use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use bulkhead_pod::Uuid;
use bulkhead_pod::manifest::AbsolutePath;

/// Runs an entrypoint to its end. It has no input, and nothing to say but on stderr.
pub(crate) fn call(
    pod: &Path,
    entrypoint: &AbsolutePath,
    flags: &[&str],
    uuid: Uuid,
) -> Result<()> {
    let directory = std::path::absolute(pod).context("find the working directory")?;
    let name = entrypoint.as_str().trim_start_matches('/');
    let program = directory.join("stage1/rootfs").join(name);
    let status = Command::new(&program)
        .args(flags.iter().map(OsString::from))
        .arg(uuid.to_string())
        .current_dir(&directory)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()
        .with_context(|| format!("execute {}", program.display()))?;
    if !status.success() {
        bail!("stage1's {name} ended with {status}");
    }
    Ok(())
}
