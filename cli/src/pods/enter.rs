//! `bulkhead enter`.

use std::convert::Infallible;
use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Context, Result, bail};
use bulkhead_pod::found::FoundPod;
use bulkhead_pod::manifest::AcName;
use bulkhead_pod::stage1_image::{Entrypoint, Stage1Image};
use bulkhead_pod::state::State;
use bulkhead_pod::wait::{Until, wait};
use clap::Args;

use super::{crossing, name};
use crate::arguments::GlobalOptions;

/// What runs when nothing is named, as in rkt.
const DEFAULT_PROGRAM: &str = "/bin/bash";

/// Options of `enter`.
#[derive(Debug, Args)]
pub(crate) struct EnterOptions {
    /// The app, where the pod has several
    #[arg(long, value_name = "NAME")]
    app: Option<String>,

    /// The pod's UUID, or a beginning of it that no other pod has
    #[arg(value_name = "UUID")]
    uuid: String,

    /// The program and its arguments: all that comes behind the UUID
    #[arg(
        value_name = "COMMAND",
        trailing_var_arg = true,
        allow_hyphen_values = true,
        default_value = DEFAULT_PROGRAM
    )]
    command: Vec<String>,
}

/// Returns only when something failed: otherwise this process has become the `enter` entrypoint of the pod's stage1.
pub(crate) fn enter(global: &GlobalOptions, options: &EnterOptions) -> Result<Infallible> {
    let pod = FoundPod::find(&global.dir, &options.uuid)?;
    let (pod, app) = enterable(global, pod, options.app.as_deref())?;
    let uuid = pod.uuid();
    let whose = || format!("pod {uuid}");
    let pid = crossing::process(&global.dir, &pod)?;
    let stage1 = Stage1Image::open(&pod.path().join("stage1"))?;
    let program = stage1.program(Entrypoint::Enter);
    let program = program
        .context("its stage1 cannot enter pods")
        .with_context(whose)?;
    let directory = std::path::absolute(pod.path()).context("find the working directory")?;
    let error = Command::new(&program)
        .arg(format!("--pid={pid}"))
        .arg(format!("--appname={app}"))
        .arg("--")
        .args(&options.command)
        .current_dir(&directory)
        .exec();
    Err(error).with_context(|| format!("execute {}", program.display()))
}

/// A running pod when its stage1 is ready for clients, and the app that is meant.
pub(super) fn enterable(
    global: &GlobalOptions,
    pod: FoundPod,
    wanted: Option<&str>,
) -> Result<(FoundPod, AcName)> {
    let uuid = pod.uuid();
    if pod.state() != State::Running {
        bail!("pod \"{uuid}\" is not running: it is {}", pod.state());
    }
    let pod = wait(&global.dir, uuid, Until::Enterable, None)?;
    let whose = || format!("pod {uuid}");
    let manifest = pod.manifest().with_context(whose)?;
    let manifest = manifest.with_context(|| format!("pod {uuid} has no manifest"))?;
    let app = name::app(&manifest, wanted).with_context(whose)?.clone();
    Ok((pod, app))
}
