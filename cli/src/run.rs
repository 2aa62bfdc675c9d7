//! `bulkhead run`: images and flags become a pod, and this process becomes its stage1.
//!
//! Everything that can fail for a reason of the user's (flags, images, manifest) is done before
//! the pod's directory is made; from then on, dropping the pod takes its directory along.

mod environment;
pub(crate) mod grammar;
mod identity;
mod images;
mod manifest;
mod names;
pub(crate) mod options;
mod values;
mod volumes;
mod written;

use std::convert::Infallible;
use std::ffi::OsString;
use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use bulkhead_pod::lifecycle::{AppImage, Pod, PodError};
use bulkhead_pod::manifest::PodManifest;
use bulkhead_pod::name_files;
use bulkhead_pod::stage1_cache::NearStage1;
use bulkhead_pod::stage1_image::Stage1Image;
use rustix::io::{FdFlags, fcntl_setfd};

use self::environment::PodEnvironment;
use self::images::StoredImage;
use self::manifest::ImageForApp;
use self::names::{NameFile, Names};
use self::options::{PodOptions, RunRequest};
use crate::arguments::{GlobalOptions, InsecureOption};
use crate::{stage1, trace};

/// Tells stage1 which descriptor holds the pod's lock.
const LOCK_VARIABLE: &str = "RKT_LOCK_FD";

/// Returns only when something failed: otherwise this process has become stage1.
pub(crate) fn run(global: &GlobalOptions, request: &RunRequest, start: i128) -> Result<Infallible> {
    record(global, "cli-start", start)?;
    let stage1 = stage1::open(&request.pod.stage1)?;
    let (manifest, images) = match &request.pod.pod_manifest {
        Some(file) => written::read(&global.dir, file)?,
        None => make_manifest(global, request)?,
    };
    for (runtime, image) in manifest.apps.iter().zip(&images) {
        if let Some(app) = runtime.app.as_ref().or(image.manifest.app.as_ref()) {
            identity::check(runtime, app, &image.files, &image.accounts)?;
        }
    }
    let apps = manifest
        .apps
        .iter()
        .zip(images)
        .map(|(app, image)| AppImage {
            app: app.name.clone(),
            manifest: image.manifest_json,
            erofs: image.erofs,
        });
    let apps: Vec<AppImage> = apps.collect();

    let near = NearStage1::of(&stage1, &global.dir).context("prepare the stage1 image")?;
    let mut pod = Pod::create(&global.dir).context("create a pod")?;
    if let Some(file) = &request.pod.uuid_file_save {
        fs::write(file, format!("{}\n", pod.uuid()))
            .with_context(|| format!("write the pod's UUID to {}", file.display()))?;
    }
    pod.prepare(&manifest, near.image(), &apps)
        .context("prepare the pod")?;
    tell_names(&pod, &request.names).context("prepare the pod")?;
    pod.to_run().context("prepare the pod")?;
    if global.debug {
        eprintln!("run: pod {} in {}", pod.uuid(), pod.path().display());
    }
    become_stage1(global, request, &stage1, &pod)
}

/// Of the images and flags of the command line.
fn make_manifest(
    global: &GlobalOptions,
    request: &RunRequest,
) -> Result<(PodManifest, Vec<StoredImage>)> {
    let environment = pod_environment(&request.pod)?;
    let images = images::import(&global.dir, &request.apps, global.debug)?;
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

/// Writes the files of names that stage1 is to show.
fn tell_names(pod: &Pod, names: &Names) -> Result<(), PodError> {
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

/// The step from stage0 to stage1 (version 6 of the interface): working directory, lock,
/// environment, argument vector.
fn become_stage1(
    global: &GlobalOptions,
    request: &RunRequest,
    stage1: &Stage1Image,
    pod: &Pod,
) -> Result<Infallible> {
    let directory = std::path::absolute(pod.path()).context("find the working directory")?;
    let entrypoint = stage1.run_entrypoint().as_str().trim_start_matches('/');
    let program = directory.join("stage1/rootfs").join(entrypoint);
    let mut command = Command::new(&program);
    command
        .args(stage1_arguments(global, &request.pod, &request.names))
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

fn stage1_arguments(global: &GlobalOptions, options: &PodOptions, names: &Names) -> Vec<OsString> {
    let mut arguments = Vec::new();
    let mut add = |wanted: bool, argument: &str| {
        if wanted {
            arguments.push(OsString::from(argument));
        }
    };
    add(global.debug, "--debug");
    add(true, &format!("--net={}", options.net));
    add(options.interactive, "--interactive");
    let host_name = options.hostname.as_deref().unwrap_or_default();
    add(!host_name.is_empty(), &format!("--hostname={host_name}"));
    let modes = [names.resolv_conf.mode(), names.hosts.mode()];
    add(
        modes != ["default"; 2],
        &format!("--dns-conf-mode=resolv={},hosts={}", modes[0], modes[1]),
    );
    let leaves_out = |check| global.leaves_out(check);
    add(
        leaves_out(InsecureOption::Capabilities),
        "--disable-capabilities-restriction",
    );
    add(leaves_out(InsecureOption::Paths), "--disable-paths");
    add(leaves_out(InsecureOption::Seccomp), "--disable-seccomp");
    arguments
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
