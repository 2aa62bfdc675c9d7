//! `bulkhead stop`.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Result, bail};
use bulkhead_pod::found::FoundPod;
use bulkhead_pod::stage1_image::{Entrypoint, Stage1Image};
use bulkhead_pod::state::State;
use clap::Args;

use super::entrypoint;
use super::name::PodNames;
use crate::arguments::GlobalOptions;

/// Options of `stop`.
#[derive(Debug, Args)]
pub(crate) struct StopOptions {
    #[command(flatten)]
    pods: PodNames,

    /// Kill the pods: no app hears of it, and nothing is written back
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
    force: bool,
}

/// Stops pods, all at a time, and prints the UUID of each.
pub(crate) fn stop(global: &GlobalOptions, options: &StopOptions) -> Result<ExitCode> {
    let stop = |pod| stop_one(&global.dir, &pod, options.force);
    let failures = options.pods.all_at_once("stop", &global.dir, stop)?;
    failures.check("stop")
}

/// Gives what there is to print.
fn stop_one(data: &Path, pod: &FoundPod, force: bool) -> Result<String> {
    let uuid = pod.uuid();
    match pod.state() {
        State::Running => {}
        state if state.has_exited() => {
            return Ok(format!("pod \"{uuid}\" is already stopped\n"));
        }
        state => bail!("pod \"{uuid}\" is not running: it is {state}"),
    }
    let stopped = call_stage1(pod, force);
    if let Err(error) = stopped {
        // Ended by itself and marked or deleted meanwhile, it had no stage1 to call in its old place.
        let now = FoundPod::look_up(data, uuid)?;
        if now.is_some_and(|pod| !pod.state().has_exited()) {
            return Err(error.context(format!("error stopping \"{uuid}\"")));
        }
    }
    Ok(format!("\"{uuid}\"\n"))
}

fn call_stage1(pod: &FoundPod, force: bool) -> Result<()> {
    let stage1 = Stage1Image::open(&pod.path().join("stage1"))?;
    if stage1.entrypoint(Entrypoint::Stop).is_none() {
        bail!("its stage1 cannot stop pods: it has no stop entrypoint");
    }
    let flags = force.then(|| "--force".to_owned());
    entrypoint::call(
        pod.path(),
        &stage1,
        Entrypoint::Stop,
        flags.as_slice(),
        pod.uuid(),
    )
}
