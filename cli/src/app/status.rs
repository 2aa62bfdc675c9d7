//! `bulkhead app status`.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::process::ExitCode;
use std::time::{Duration, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use clap::Args;
use jiff::tz::TimeZone;

use crate::arguments::GlobalOptions;
use crate::pods::{AppJson, Description, Format, PodName, absolute, json, zone};
use crate::report;

/// Options of `app status`.
#[derive(Debug, Args)]
pub(crate) struct StatusOptions {
    #[command(flatten)]
    pod: PodName,

    /// The app
    #[arg(long, value_name = "NAME")]
    app: String,

    /// Print JSON instead of lines
    #[arg(long, value_name = "FORMAT")]
    format: Option<Format>,
}

impl StatusOptions {
    pub(super) fn run(&self, global: &GlobalOptions) -> Result<ExitCode> {
        let pod = self.pod.find(&global.dir)?;
        let uuid = pod.uuid();
        let Some(pod) = Description::of(&global.dir, pod, false)? else {
            bail!("pod {uuid} is no more");
        };
        let found = pod.apps().find(|(app, _)| app.name.as_str() == self.app);
        let Some((app, exit)) = found else {
            bail!("pod \"{uuid}\" has no app {:?}", self.app);
        };
        let app = pod.app(app, exit);
        let text = match self.format {
            Some(format) => json(&app, format).context("make JSON of the app")?,
            None => lines(&app, &zone()),
        };
        report::print(&text)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// `key=value` lines, in rkt's order.
fn lines(app: &AppJson<'_>, zone: &TimeZone) -> String {
    let mut text = String::new();
    let mut add = |key: &str, value: Option<String>| {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            writeln!(text, "{key}={value}").expect("writing to a String does not fail");
        }
    };
    let time = |nanoseconds: Option<i64>| {
        let since = Duration::from_nanos(u64::try_from(nanoseconds?).ok()?);
        Some(absolute(UNIX_EPOCH + since, zone))
    };
    add("name", Some(app.name.to_owned()));
    add("state", Some(app.state.to_owned()));
    add("image_id", Some(app.image_id.to_owned()));
    add("created_at", time(app.created_at));
    add("started_at", time(app.started_at));
    add("finished_at", time(app.finished_at));
    add("exit_code", app.exit_code.map(|code| code.to_string()));
    let mounts = app.mounts.iter();
    let mounts = mounts.map(|m| format!("{}:{}:{}", m.name, m.container_path, m.host_path));
    add("mounts", Some(mounts.collect::<Vec<_>>().join(",")));
    add("user_annotations", Some(pairs(&app.user_annotations)));
    add("user_labels", Some(pairs(&app.user_labels)));
    text
}

fn pairs(map: &BTreeMap<&str, &str>) -> String {
    let pairs: Vec<_> = map
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    pairs.join(",")
}
