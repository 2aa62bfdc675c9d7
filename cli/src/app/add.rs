//! `bulkhead app add`.

use std::process::ExitCode;

use anyhow::{Context, Result};
use bulkhead_pod::found::FoundPod;
use bulkhead_pod::lifecycle::AppImage;
use bulkhead_pod::manifest::PodManifest;
use bulkhead_pod::mutable::{Change, records};
use bulkhead_pod::stage1_image::Entrypoint;
use clap::Args;

use super::change::MutablePod;
use crate::arguments::GlobalOptions;
use crate::report::UsageError;
use crate::run::added::NewApp;
use crate::run::grammar::{FlagTable, Words};
use crate::run::options::{AppOptions, AppRequest};
use crate::run::{app_volume, directories};

/// The one flag that apps of `run` do not have, with its value behind it.
const MNT_VOLUME: &str = "--mnt-volume=";

/// As in error messages.
const NAME: &str = "app add";

/// `app add` as clap knows it: for help, and for global flags.
#[derive(Debug, Args)]
#[command(override_usage = "bulkhead app add UUID IMAGE [APP OPTIONS] [-- ARGUMENTS...]")]
pub(crate) struct AddArguments {
    /// Present for the help text alone: the flags of an app never reach this parser.
    #[command(flatten)]
    app: AppOptions,

    /// Give the app a volume of its own: NAME,kind=empty,target=PATH[,mode=MODE][,uid=UID][,gid=GID]
    #[arg(long, value_name = "NAME,kind=KIND,target=PATH,...")]
    mnt_volume: Vec<String>,
}

impl AddArguments {
    /// Whose flag is whose.
    pub(crate) fn flags() -> FlagTable {
        let global = GlobalOptions::augment_args(clap::Command::new(""));
        FlagTable::new(global, Some(Self::augment_args(clap::Command::new(""))))
    }
}

/// An app for a pod.
#[derive(Debug)]
pub(crate) struct AddRequest {
    uuid: String,
    app: AppRequest,
}

impl AddRequest {
    /// Of the words behind `app add`: the first one that is no flag is the pod's UUID, the second one the image.
    pub(crate) fn new(words: Words) -> Result<Self, UsageError> {
        let mut operands = words.apps.into_iter();
        let (Some(uuid), Some(mut app), None) = (operands.next(), operands.next(), operands.next())
        else {
            let message = "it takes the UUID of a pod and one image";
            return Err(UsageError::wrong(NAME, message));
        };
        if !uuid.arguments.is_empty() {
            let message = "an image is required before any app arguments (--)";
            return Err(UsageError::wrong(NAME, message));
        }
        let flags = words.every_app.into_iter().chain(uuid.flags);
        let mut volumes = Vec::new();
        let mut others = Vec::new();
        for flag in flags.chain(std::mem::take(&mut app.flags)) {
            match flag.strip_prefix(MNT_VOLUME) {
                Some(value) => volumes.push(app_volume(value).map_err(|error| {
                    UsageError::wrong(NAME, &format!("{MNT_VOLUME}{value}: {error}"))
                })?),
                None => others.push(flag),
            }
        }
        app.flags = others;
        let mut app = AppRequest::new(NAME, app)?;
        app.options.mount.extend(volumes);
        Ok(Self {
            uuid: uuid.image,
            app,
        })
    }

    /// Imports the image, and gives it to the pod. When the pod does not take it, all is as it was.
    pub(crate) fn run(&self, global: &GlobalOptions) -> Result<ExitCode> {
        let pod = MutablePod::of(FoundPod::find(&global.dir, &self.uuid)?, global)?;
        let new = NewApp::import(global, &self.app)?;
        let change = pod.begin_change()?;
        let before = pod.manifest()?;
        let after = new.join(&before)?;
        change.add(&after, &pod.stage1, &new.image)?;
        let app = &new.image.app;
        let added = prepare(&pod, &change, &after, &new.image)
            .and_then(|()| pod.succeeds(Entrypoint::AppAdd, app, &[&pod.uuid()]));
        if added.is_err() {
            // The entrypoint may have been killed when the pod had the app already. What is to be told is why there is none.
            let _ = pod.call(Entrypoint::AppRm, app, &[]);
            change
                .remove(&before, app)
                .with_context(|| format!("take app \"{app}\" back, which could not be added"))?;
        }
        added?;
        if pod.keeps_records() {
            records::added(pod.directory(), app)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// What a stage1 that is not ours finds beside the image's manifest.
fn prepare(
    pod: &MutablePod,
    change: &Change,
    manifest: &PodManifest,
    image: &AppImage,
) -> Result<()> {
    if pod.stage1.takes_block_images() {
        return Ok(());
    }
    directories::render(image, &change.root_of(&image.app))?;
    let runtime = manifest.app(image.app.as_str());
    let app = runtime.and_then(|runtime| runtime.app.as_ref());
    let variables = app.map_or(&[][..], |app| &app.environment);
    records::environment(pod.directory(), &image.app, variables)?;
    Ok(())
}
