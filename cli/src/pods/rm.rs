//! `bulkhead rm`.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Result, bail};
use bulkhead_pod::found::FoundPod;
use bulkhead_pod::garbage::{self, Garbage};
use bulkhead_pod::lifecycle::Phase;
use bulkhead_pod::state::State;
use clap::Args;

use super::gc;
use super::name::PodNames;
use crate::arguments::GlobalOptions;
use crate::report;

/// Options of `rm`.
#[derive(Debug, Args)]
pub(crate) struct RmOptions {
    #[command(flatten)]
    pods: PodNames,
}

/// Deletes one pod after the other, and prints the UUID of each.
pub(crate) fn rm(global: &GlobalOptions, options: &RmOptions) -> Result<ExitCode> {
    let remove = |pod| remove_one(global, pod);
    options
        .pods
        .each("rm", &global.dir, remove)?
        .check("remove")
}

fn remove_one(global: &GlobalOptions, pod: FoundPod) -> Result<()> {
    let uuid = pod.uuid();
    // It moves on a few times at most, and this is what moves it last.
    let mut now = Some(pod);
    while let Some(pod) = now {
        match pod.state() {
            State::Running => bail!("pod \"{uuid}\" is currently running"),
            State::Embryo | State::Preparing => {
                bail!("pod \"{uuid}\" is currently being prepared")
            }
            State::Deleting | State::ExitedDeleting => {
                bail!("pod \"{uuid}\" is currently being deleted")
            }
            State::AbortedPrepare | State::Prepared | State::Exited => {
                mark(&global.dir, &pod)?;
            }
            State::ExitedGarbage | State::Garbage => {
                if let Some(garbage) = Garbage::take(&global.dir, pod.phase(), uuid)? {
                    gc::delete("rm", global, pod.phase(), garbage)?;
                }
            }
        }
        now = FoundPod::look_up(&global.dir, uuid)?;
    }
    report::print(&format!("\"{uuid}\"\n"))
}

/// Fails when somebody is about to run it; that it is somewhere else by now is seen by the next look.
fn mark(data: &Path, pod: &FoundPod) -> Result<()> {
    let marked = garbage::mark(data, pod.phase(), pod.uuid())?;
    if !marked && pod.phase() == Phase::Prepared {
        let now = FoundPod::look_up(data, pod.uuid())?;
        if now.is_some_and(|pod| pod.phase() == Phase::Prepared) {
            bail!("pod \"{}\" is currently being started", pod.uuid());
        }
    }
    Ok(())
}
