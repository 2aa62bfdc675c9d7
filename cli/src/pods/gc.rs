//! `bulkhead gc`: pods that have ended are marked, and deleted when they have been marked for long enough.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail};
use bulkhead_image::Store;
use bulkhead_pod::Uuid;
use bulkhead_pod::found::FoundPod;
use bulkhead_pod::garbage::{self, Garbage};
use bulkhead_pod::lifecycle::{Phase, PodError};
use bulkhead_pod::stage1_image::{Entrypoint, Stage1Image};
use clap::Args;

use super::entrypoint;
use super::time::Period;
use crate::arguments::GlobalOptions;
use crate::report;

/// The version of the interface from which on `gc` knows `--local-config`.
const GC_KNOWS_CONFIGURATION: u32 = 5;

/// How long a stage1 image stays in the store that nobody uses: as long as rkt's `image gc` keeps images.
const STAGE1_IMAGE_GRACE: Duration = Duration::from_secs(24 * 60 * 60);

/// Options of `gc`.
#[derive(Debug, Args)]
pub(crate) struct GcOptions {
    /// Keep exited pods for so long
    #[arg(long, value_name = "DURATION", default_value = "30m")]
    grace_period: Period,

    /// Keep prepared pods that nobody runs for so long
    #[arg(long, value_name = "DURATION", default_value = "24h")]
    expire_prepared: Period,

    /// Move exited pods and given-up preparations to the garbage, and delete nothing
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
    mark_only: bool,
}

/// Marks and deletes. What fails with one pod is told, and stops nothing.
pub(crate) fn gc(global: &GlobalOptions, options: &GcOptions) -> Result<ExitCode> {
    let mut collection = Collection { global, failed: 0 };
    collection.each(Phase::Run, |uuid| mark(global, Phase::Run, uuid, "pod"))?;
    collection.each(Phase::Prepare, |uuid| {
        mark(global, Phase::Prepare, uuid, "failed prepare")
    })?;
    if !options.mark_only {
        let expiry = options.expire_prepared.length();
        collection.each(Phase::Prepared, |uuid| {
            match is_older(global, Phase::Prepared, uuid, expiry)? {
                true => mark(global, Phase::Prepared, uuid, "expired prepared pod"),
                false => Ok(()),
            }
        })?;
        let grace = options.grace_period;
        collection.each(Phase::ExitedGarbage, |uuid| {
            if is_older(global, Phase::ExitedGarbage, uuid, grace.length())? {
                return collect(global, Phase::ExitedGarbage, uuid);
            }
            eprintln!("gc: pod \"{uuid}\" not removed: still within grace period ({grace})");
            Ok(())
        })?;
        collection.each(Phase::Garbage, |uuid| collect(global, Phase::Garbage, uuid))?;
        if let Some(_no_makers) = garbage::keep_makers_out(&global.dir)? {
            collection.each(Phase::Embryo, |uuid| collect(global, Phase::Embryo, uuid))?;
        }
    }
    if !options.mark_only {
        remove_stage1_images(&global.dir).context("remove stage1 images that nobody used")?;
    }
    match collection.failed {
        0 => Ok(ExitCode::SUCCESS),
        1 => bail!("failed to collect 1 pod"),
        count => bail!("failed to collect {count} pods"),
    }
}

/// Those that no pod was made of, and that nobody used for a day.
fn remove_stage1_images(data: &Path) -> Result<()> {
    let Some(store) = Store::open_existing(data) else {
        return Ok(());
    };
    let mut needed = BTreeSet::new();
    for phase in Phase::ALL {
        for uuid in garbage::pods_in(data, phase)? {
            if let Some(pod) = FoundPod::look_up(data, uuid)? {
                // Of a pod that is damaged the image is none that can be known.
                needed.extend(pod.stage1_id().ok().flatten());
            }
        }
    }
    for id in store.remove_trees(&needed, STAGE1_IMAGE_GRACE)? {
        eprintln!("gc: removed stage1 image {id}, which nobody used");
    }
    Ok(())
}

struct Collection<'a> {
    global: &'a GlobalOptions,
    failed: usize,
}

impl Collection<'_> {
    /// Does something with every pod in one place.
    fn each(&mut self, phase: Phase, act: impl Fn(Uuid) -> Result<()>) -> Result<()> {
        for uuid in garbage::pods_in(&self.global.dir, phase)? {
            if let Err(error) = act(uuid) {
                eprint!("{}", report::tree("gc", &error));
                self.failed += 1;
            }
        }
        Ok(())
    }
}

fn mark(global: &GlobalOptions, from: Phase, uuid: Uuid, what: &str) -> Result<()> {
    if garbage::mark(&global.dir, from, uuid)? {
        eprintln!("gc: moving {what} \"{uuid}\" to garbage");
    }
    Ok(())
}

/// Whether it has been in its place for longer than that; one that is not there any more has not.
fn is_older(
    global: &GlobalOptions,
    phase: Phase,
    uuid: Uuid,
    age: Duration,
) -> Result<bool, PodError> {
    let since = garbage::since(&global.dir, phase, uuid)?;
    // What is newer than now was made before the clock was set back.
    let ages = since.map(|since| SystemTime::now().duration_since(since));
    Ok(ages.is_some_and(|lies| lies.is_ok_and(|lies| lies >= age)))
}

fn collect(global: &GlobalOptions, phase: Phase, uuid: Uuid) -> Result<()> {
    let Some(garbage) = Garbage::take(&global.dir, phase, uuid)? else {
        return Ok(());
    };
    report::print(&format!("Garbage collecting pod \"{uuid}\"\n"))?;
    delete("gc", global, phase, garbage)
}

/// Has stage1 undo what it did on the host, if the pod has run, and deletes the rest. What stage1 fails with is told.
pub(crate) fn delete(
    command: &str,
    global: &GlobalOptions,
    phase: Phase,
    garbage: Garbage,
) -> Result<()> {
    let uuid = garbage.uuid();
    if phase == Phase::ExitedGarbage
        && let Err(error) = call_stage1(global, &garbage)
    {
        let error = error.context(format!("skipping the gc of pod \"{uuid}\" by its stage1"));
        eprint!("{}", report::tree(command, &error));
    }
    garbage
        .delete()
        .with_context(|| format!("unable to remove pod \"{uuid}\""))
}

fn call_stage1(global: &GlobalOptions, garbage: &Garbage) -> Result<()> {
    let stage1 = Stage1Image::open(&garbage.path().join("stage1"))?;
    if stage1.entrypoint(Entrypoint::Gc).is_none() {
        return Ok(());
    }
    let debug = global.debug.then(|| "--debug".to_owned());
    let knows_configuration = stage1.interface_version() >= GC_KNOWS_CONFIGURATION;
    let local = global.local_config.as_deref();
    let local = local.filter(|_| knows_configuration);
    let local = local.map(|directory| format!("--local-config={}", directory.display()));
    let flags: Vec<String> = debug.into_iter().chain(local).collect();
    entrypoint::call(
        garbage.path(),
        &stage1,
        Entrypoint::Gc,
        &flags,
        garbage.uuid(),
    )
}
