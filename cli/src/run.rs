//! `bulkhead run`, `prepare` and `run-prepared`: images and flags become a pod, and this process becomes its stage1; or the
//! one now and the other later.
//!
//! Everything that can fail for a reason of the user's (flags, images, manifest) is done before
//! the pod's directory is made; from then on, dropping the pod takes its directory along.

pub(crate) mod added;
pub(crate) mod directories;
mod environment;
pub(crate) mod grammar;
mod identity;
pub(crate) mod images;
mod manifest;
mod names;
pub(crate) mod options;
pub(crate) mod sandbox;
mod stage1_arguments;
mod values;
mod volumes;
mod written;

use std::convert::Infallible;
use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use bulkhead_image::Held;
use bulkhead_pod::Uuid;
use bulkhead_pod::found::FoundPod;
use bulkhead_pod::lifecycle::{AppImage, Pod, PodError};
use bulkhead_pod::manifest::PodManifest;
use bulkhead_pod::name_files;
use bulkhead_pod::stage1_cache::NearStage1;
use bulkhead_pod::stage1_image::{Entrypoint, Stage1Image};
use bulkhead_pod::state::State;
use clap::Args;
use rustix::io::{FdFlags, fcntl_setfd};

use self::environment::PodEnvironment;
use self::images::{Narration, StoredImage};
use self::manifest::ImageForApp;
use self::names::{NameFile, Names};
use self::options::{PodOptions, PodRequest, PrepareRequest, RunRequest, StartOptions};
pub(crate) use self::volumes::app_volume;
use crate::arguments::GlobalOptions;
use crate::stage1::ChosenStage1;
use crate::{stage1, trace};

/// Tells stage1 which descriptor holds the pod's lock.
const LOCK_VARIABLE: &str = "RKT_LOCK_FD";

/// Options of `run-prepared`.
#[derive(Debug, Args)]
pub(crate) struct RunPreparedOptions {
    /// The pod's UUID, or a beginning of it that no other pod has
    #[arg(value_name = "UUID")]
    uuid: String,
    #[command(flatten)]
    start: StartOptions,
}

/// Returns only when something failed: otherwise this process has become stage1.
pub(crate) fn run(global: &GlobalOptions, request: &RunRequest, start: i128) -> Result<Infallible> {
    record(global, "cli-start", start)?;
    let narration = Narration {
        command: "run",
        debug: global.debug,
        quiet: false,
    };
    let stage1 = stage1::choose(global, &request.pod.options.stage1, narration)?;
    let uuid_file = request.uuid_file_save.as_deref();
    let mut pod = make_pod(global, &request.pod, &stage1, uuid_file, narration)?;
    to_run(&mut pod, &request.names).context("prepare the pod")?;
    if global.debug {
        eprintln!("run: pod {} in {}", pod.uuid(), pod.path().display());
    }
    let call = Call {
        command: "run",
        options: &request.start,
        names: &request.names,
        more: &[],
    };
    become_stage1(global, &call, &stage1.image, &pod)
}

/// Makes a pod that `run-prepared` can run.
pub(crate) fn prepare(global: &GlobalOptions, request: &PrepareRequest) -> Result<Uuid> {
    let narration = Narration {
        command: "prepare",
        debug: global.debug,
        quiet: request.quiet,
    };
    let stage1 = stage1::choose(global, &request.pod.options.stage1, narration)?;
    let pod = make_pod(global, &request.pod, &stage1, None, narration)?;
    pod.to_prepared().context("prepare the pod")
}

/// Runs a pod that `prepare` has made, with the stage1 that it was made with. Returns as [`run`] does.
pub(crate) fn run_prepared(
    global: &GlobalOptions,
    options: &RunPreparedOptions,
    start: i128,
) -> Result<Infallible> {
    record(global, "cli-start", start)?;
    let names = Names::of(&options.start)?;
    let found = FoundPod::find(&global.dir, &options.uuid)?;
    let uuid = found.uuid();
    let Some(mut pod) = Pod::take_prepared(&global.dir, uuid)? else {
        let state = FoundPod::look_up(&global.dir, uuid)?;
        let state = state.map_or("no more".to_owned(), |pod| match pod.state() {
            State::Prepared => "being started by somebody else".to_owned(),
            other => other.to_string(),
        });
        bail!("pod {uuid} is not prepared: it is {state}");
    };
    let manifest = found.manifest().with_context(|| format!("pod {uuid}"))?;
    let apps = manifest.map_or(0, |manifest| manifest.apps.len());
    if options.start.interactive && apps > 1 {
        bail!("--interactive is for one app, this pod has {apps}");
    }
    let stage1 = Stage1Image::open(&pod.path().join("stage1"));
    let stage1 = stage1
        .and_then(|stage1| stage1.check().map(|()| stage1))
        .with_context(|| format!("open the stage1 image of pod {uuid}"))?;
    to_run(&mut pod, &names).context("start the pod")?;
    let call = Call {
        command: "run-prepared",
        options: &options.start,
        names: &names,
        more: &[],
    };
    become_stage1(global, &call, &stage1, &pod)
}

/// Makes a pod of what was asked for, locked and not yet to be found as one that can run.
fn make_pod(
    global: &GlobalOptions,
    request: &PodRequest,
    stage1: &ChosenStage1,
    uuid_file: Option<&Path>,
    narration: Narration,
) -> Result<Pod> {
    let (manifest, images) = match &request.options.pod_manifest {
        Some(file) => written::read(&global.dir, file)?,
        None => make_manifest(global, request, narration)?,
    };
    for (runtime, image) in manifest.apps.iter().zip(&images) {
        if let Some(app) = runtime.app.as_ref().or(image.manifest.app.as_ref()) {
            identity::check(runtime, app, &image.files, &image.accounts)?;
        }
    }
    let apps = manifest.apps.iter().zip(images).map(|(app, image)| {
        let taken = AppImage {
            app: app.name.clone(),
            manifest: image.manifest_json,
            erofs: image.erofs,
            verity: image.verity,
        };
        (taken, image.held)
    });
    // Let go of once the pod has them: it may run for ever.
    let (apps, _held): (Vec<AppImage>, Vec<Held>) = apps.unzip();
    make_pod_of(global, stage1, uuid_file, &manifest, &apps)
}

fn make_pod_of(
    global: &GlobalOptions,
    stage1: &ChosenStage1,
    uuid_file: Option<&Path>,
    manifest: &PodManifest,
    apps: &[AppImage],
) -> Result<Pod> {
    let near = NearStage1::of(&stage1.image, &global.dir).context("prepare the stage1 image")?;
    let mut pod = Pod::create(&global.dir).context("create a pod")?;
    if let Some(file) = uuid_file {
        fs::write(file, format!("{}\n", pod.uuid()))
            .with_context(|| format!("write the pod's UUID to {}", file.display()))?;
    }
    pod.prepare(manifest, near.image(), apps)
        .context("prepare the pod")?;
    if !stage1.image.takes_block_images() {
        for app in apps {
            directories::render(app, &pod.root_of(&app.app))?;
        }
    }
    if let Some(id) = stage1.id() {
        pod.record_stage1(id.as_str()).context("prepare the pod")?;
    }
    Ok(pod)
}

/// Of the images and flags of the command line.
fn make_manifest(
    global: &GlobalOptions,
    request: &PodRequest,
    narration: Narration,
) -> Result<(PodManifest, Vec<StoredImage>)> {
    let environment = pod_environment(&request.options)?;
    let images = images::import(
        global,
        &request.apps,
        request.options.pull_policy,
        narration,
    )?;
    let for_apps: Vec<ImageForApp<'_>> = images
        .iter()
        .zip(&request.apps)
        .map(|(image, request)| ImageForApp {
            id: image.id.clone(),
            manifest: image.manifest.clone(),
            accounts: &image.accounts,
            request,
        })
        .collect();
    let manifest = manifest::pod_manifest(&for_apps, request, &environment)?;
    Ok((manifest, images))
}

fn pod_environment(options: &PodOptions) -> Result<PodEnvironment> {
    environment::distinct("--set-env", &options.set_env)?;
    let file = match &options.set_env_file {
        Some(path) => environment::read_file(path).context("--set-env-file")?,
        None => Vec::new(),
    };
    let inherited = match options.inherit_env {
        true => environment::inherited(std::env::vars_os()),
        false => Vec::new(),
    };
    Ok(PodEnvironment {
        inherited,
        file,
        flags: options.set_env.clone(),
    })
}

/// Moves a pod to where running ones are, and writes the files of names that stage1 is to show: a pod that is run once.
fn to_run(pod: &mut Pod, names: &Names) -> Result<(), PodError> {
    pod.to_run()?;
    let files = [
        (&names.resolv_conf, name_files::RESOLV_CONF),
        (&names.hosts, name_files::HOSTS),
    ];
    for (file, path) in files {
        if let NameFile::Stage0(text) = file {
            pod.tell_stage1(path, text.as_bytes())?;
        }
    }
    Ok(())
}

/// How a pod starts.
struct Call<'a> {
    /// Who says what is to be said of it.
    command: &'static str,
    options: &'a StartOptions,
    names: &'a Names,
    /// Further arguments.
    more: &'a [&'a str],
}

/// The step from stage0 to stage1: working directory, lock, environment, argument vector.
fn become_stage1(
    global: &GlobalOptions,
    call: &Call<'_>,
    stage1: &Stage1Image,
    pod: &Pod,
) -> Result<Infallible> {
    let directory = std::path::absolute(pod.path()).context("find the working directory")?;
    let entrypoint = stage1.entrypoint(Entrypoint::Run);
    let entrypoint = entrypoint.context("the stage1 image has no run entrypoint")?;
    let entrypoint = entrypoint.as_str().trim_start_matches('/');
    let program = directory.join("stage1/rootfs").join(entrypoint);
    let (arguments, warnings) = stage1_arguments::of(global, call.options, call.names, stage1);
    for warning in warnings {
        eprintln!("{}: warning: {warning}", call.command);
    }
    let mut command = Command::new(&program);
    command
        .args(arguments)
        .args(call.more)
        .arg(pod.uuid().to_string())
        .current_dir(&directory)
        .env(LOCK_VARIABLE, pod.lock().as_raw_fd().to_string());
    match &global.trace {
        Some(file) => command.env(trace::VARIABLE, absolute(file)?),
        None => command.env_remove(trace::VARIABLE),
    };
    record(global, "cli-exec", trace::now())?;
    fcntl_setfd(pod.lock(), FdFlags::empty()).context("hand on the pod's lock")?;
    let error = command.exec();
    Err(error).with_context(|| format!("execute {}", program.display()))
}

fn record(global: &GlobalOptions, phase: &str, time: i128) -> Result<()> {
    let Some(file) = &global.trace else {
        return Ok(());
    };
    trace::record(file, phase, time).with_context(|| format!("write {}", file.display()))
}

fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).with_context(|| format!("find {}", path.display()))
}
