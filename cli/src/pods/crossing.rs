//! Entrypoints that get from the host into a pod: by the process to enter, and the entrypoint that enters it (rkt, "crossing").

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use bulkhead_pod::found::FoundPod;
use bulkhead_pod::stage1_image::{Entrypoint, Stage1Image};
use bulkhead_pod::wait::{Until, wait};

/// Between two looks at a process that is about to have a child, of which nobody gives notice.
const PAUSE: Duration = Duration::from_millis(20);

/// The number of the process to enter, of a pod that runs. One that is just coming is waited for as long as the pod lives, also where stage1 said
/// before that the pod is ready.
pub(crate) fn process(data: &Path, pod: &FoundPod) -> Result<i32> {
    let uuid = pod.uuid();
    let whose = || format!("pod {uuid}");
    loop {
        let pod = wait(data, uuid, Until::Enterable, None)?;
        let process = pod.process().with_context(whose)?;
        let process = process.with_context(|| format!("pod {uuid} has no process"))?;
        if let Some(pid) = process.to_enter().with_context(whose)? {
            return Ok(pid);
        }
        std::thread::sleep(PAUSE);
    }
}

/// A call in the pod's directory, with the three variables that rkt gives and no other. The words are still to be added.
pub(crate) fn command(
    pod: &FoundPod,
    stage1: &Stage1Image,
    entrypoint: Entrypoint,
    pid: i32,
) -> Result<Command> {
    let directory = std::path::absolute(pod.path()).context("find the working directory")?;
    let mut command = Command::new(stage1.program(entrypoint)?);
    command
        .env_clear()
        .env("RKT_STAGE1_ENTERPID", pid.to_string())
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .current_dir(&directory);
    if stage1.entrypoint(Entrypoint::Enter).is_some() {
        command.env("RKT_STAGE1_ENTERCMD", stage1.program(Entrypoint::Enter)?);
    }
    Ok(command)
}

#[cfg(test)]
#[path = "crossing_test.rs"]
mod tests;
