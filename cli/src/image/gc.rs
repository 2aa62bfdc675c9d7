//! `bulkhead image gc`: images that nobody needs any more.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use anyhow::{Result, bail};
use bulkhead_image::{ImageEntry, Store};
use bulkhead_pod::found::FoundPod;
use bulkhead_pod::garbage;
use bulkhead_pod::lifecycle::Phase;
use clap::Args;

use super::rm::remove_one;
use crate::arguments::GlobalOptions;
use crate::pods::Period;
use crate::report;

/// Options of `image gc`.
#[derive(Debug, Args)]
pub(crate) struct GcOptions {
    /// Keep images for so long after their last use
    #[arg(long, value_name = "DURATION", default_value = "24h")]
    grace_period: Period,
}

/// Removes what no pod has and nobody used for as long, the oldest first.
pub(crate) fn gc(global: &GlobalOptions, options: &GcOptions) -> Result<ExitCode> {
    let Some(store) = Store::open_existing(&global.dir) else {
        return Ok(ExitCode::SUCCESS);
    };
    // Before pods are looked at: an image that a pod takes meanwhile has been used just now.
    let mut images = store.list()?;
    let grace = options.grace_period.length();
    images.retain(|image| is_unused(image, grace));
    images.sort_by_key(|image| image.last_used);
    let needed = of_pods(&global.dir)?;
    let mut failed = 0;
    for entry in images {
        if needed.contains(entry.image.id.as_str()) || !is_still_unused(&store, &entry)? {
            continue;
        }
        if let Err(error) = remove_one(&store, &entry.image.id) {
            eprint!("{}", report::tree("image gc", &error));
            failed += 1;
        }
    }
    match failed {
        0 => Ok(ExitCode::SUCCESS),
        1 => bail!("failed to remove 1 image"),
        count => bail!("failed to remove {count} images"),
    }
}

/// What is newer than now was used before the clock was set back.
fn is_unused(image: &ImageEntry, grace: Duration) -> bool {
    let age = SystemTime::now().duration_since(image.last_used);
    age.is_ok_and(|age| age >= grace)
}

/// Whether no pod has taken it since it was listed.
fn is_still_unused(store: &Store, entry: &ImageEntry) -> Result<bool> {
    let now = store.entry(&entry.image.id)?;
    Ok(now.is_some_and(|now| now.last_used == entry.last_used))
}

/// The images of all apps of all pods, whatever these do.
fn of_pods(data: &Path) -> Result<BTreeSet<String>> {
    let mut images = BTreeSet::new();
    for phase in Phase::ALL {
        for uuid in garbage::pods_in(data, phase)? {
            let Some(pod) = FoundPod::look_up(data, uuid)? else {
                continue;
            };
            // Of a pod that is damaged the images are none that can be known; it has their files all the same.
            let manifest = pod.manifest().ok().flatten();
            let apps = manifest.iter().flat_map(|manifest| &manifest.apps);
            images.extend(apps.map(|app| app.image.id.as_str().to_owned()));
        }
    }
    Ok(images)
}
