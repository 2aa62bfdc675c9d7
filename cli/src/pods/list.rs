//! `bulkhead list`.

use std::process::ExitCode;
use std::time::SystemTime;

use anyhow::{Context, Result, anyhow};
use bulkhead_pod::found;
use clap::Args;
use jiff::tz::TimeZone;

use super::description::Description;
use super::format::{self, Format};
use super::time;
use crate::arguments::GlobalOptions;
use crate::report;

/// Characters of a UUID, and of an image's id, that tell things apart for most.
const SHORT_UUID: usize = 8;
const SHORT_IMAGE_ID: usize = 19;

/// Stands for what there is none of.
const NONE: &str = "-";

/// Stands where the apps of a pod would, whose manifest cannot be read.
const DAMAGED: &str = "(damaged)";

/// Options of `list`.
#[derive(Debug, Args)]
pub(crate) struct ListOptions {
    /// Show whole UUIDs, image ids and times
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
    full: bool,

    /// Leave out the line that names the columns
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
    no_legend: bool,

    /// Print JSON instead of a table
    #[arg(long, value_name = "FORMAT")]
    format: Option<Format>,
}

/// Prints every pod. What cannot be read is said on stderr, and stops nothing.
pub(crate) fn list(global: &GlobalOptions, options: &ListOptions) -> Result<ExitCode> {
    let with_images = options.format.is_none();
    let describe = |pod| Description::of(&global.dir, pod, with_images);
    let listing = found::list(&global.dir, describe)?;
    let mut failures: Vec<anyhow::Error> = listing.unreadable.into_iter().map(Into::into).collect();
    let mut pods = listing.pods;
    // The oldest first, whatever their random names are.
    pods.sort_by_key(|pod| (pod.created, pod.uuid));
    for pod in &mut pods {
        let whose = format!("pod {} is damaged", pod.uuid);
        let damage = pod.damage.drain(..);
        failures.extend(damage.map(|error| anyhow!(error).context(whose.clone())));
    }
    let text = match options.format {
        Some(format) => {
            let pods: Vec<_> = pods.iter().map(Description::json).collect();
            format::json(&pods, format).context("make JSON of the pods")?
        }
        None => table(&pods, options),
    };
    for failure in failures {
        eprint!("{}", report::tree("list", &failure));
    }
    report::print(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn table(pods: &[Description], options: &ListOptions) -> String {
    let view = View {
        full: options.full,
        now: SystemTime::now(),
        zone: time::zone(),
    };
    let mut rows = Vec::new();
    if !options.no_legend {
        let titles = ["UUID", "APP", "IMAGE NAME", "IMAGE ID"];
        let titles = &titles[..if view.full { 4 } else { 3 }];
        let titles = titles
            .iter()
            .chain(&["STATE", "CREATED", "STARTED", "NETWORKS"]);
        rows.push(titles.map(|title| (*title).to_owned()).collect());
    }
    for pod in pods {
        view.add(pod, &mut rows);
    }
    format::table(&rows)
}

/// How pods are shown.
struct View {
    full: bool,
    now: SystemTime,
    zone: TimeZone,
}

impl View {
    /// A row for each app; the first one is the pod's too.
    fn add(&self, pod: &Description, rows: &mut Vec<Vec<String>>) {
        let first = rows.len();
        for ((app, _), image) in pod.apps().zip(&pod.image_names) {
            let image = image.clone().unwrap_or(NONE.to_owned());
            let mut row = vec![String::new(), app.name.to_string(), image];
            if self.full {
                row.push(app.image.id.as_str().chars().take(SHORT_IMAGE_ID).collect());
            }
            rows.push(row);
        }
        if rows.len() == first {
            let apps = if pod.is_damaged() { DAMAGED } else { NONE };
            let mut row = vec![String::new(), apps.to_owned(), NONE.to_owned()];
            row.extend(self.full.then(|| NONE.to_owned()));
            rows.push(row);
        }
        let uuid = pod.uuid.to_string();
        let row = &mut rows[first];
        row[0] = uuid[..if self.full { uuid.len() } else { SHORT_UUID }].to_owned();
        let time = |time: Option<SystemTime>| time.map(|time| self.time(time));
        row.push(pod.state.to_string());
        row.push(time(pod.created).unwrap_or_default());
        row.push(time(pod.started()).unwrap_or_default());
        row.push(String::new());
    }

    fn time(&self, time: SystemTime) -> String {
        match self.full {
            true => time::absolute(time, &self.zone),
            false => time::relative(time, self.now),
        }
    }
}
