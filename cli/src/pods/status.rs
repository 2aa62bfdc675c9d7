//! `bulkhead status`.

use std::fmt::Write;
use std::process::ExitCode;

use anyhow::{Context, Result, anyhow, bail};
use bulkhead_pod::state::State;
use bulkhead_pod::wait::{Until, wait};
use clap::Args;
use jiff::tz::TimeZone;

use super::description::Description;
use super::format::{self, Format};
use super::name::PodName;
use super::time::{self, Patience};
use crate::arguments::GlobalOptions;
use crate::report;

/// Options of `status`.
#[derive(Debug, Args)]
pub(crate) struct StatusOptions {
    #[command(flatten)]
    pod: PodName,

    /// Wait until the pod has ended, at most so long; less than nothing is for ever
    #[arg(
        long,
        value_name = "BOOL|DURATION",
        num_args = 0..=1,
        require_equals = true,
        default_value = "false",
        hide_default_value = true,
        default_missing_value = "true",
        allow_hyphen_values = true
    )]
    wait: Patience,

    /// Wait until the pod's apps have been started, at most so long; less than nothing is for ever
    #[arg(
        long,
        value_name = "BOOL|DURATION",
        num_args = 0..=1,
        require_equals = true,
        default_value = "false",
        hide_default_value = true,
        default_missing_value = "true",
        allow_hyphen_values = true
    )]
    wait_ready: Patience,

    /// Print JSON instead of lines
    #[arg(long, value_name = "FORMAT")]
    format: Option<Format>,
}

/// Waits where it is asked to, and prints what the pod's directory tells.
pub(crate) fn status(global: &GlobalOptions, options: &StatusOptions) -> Result<ExitCode> {
    let mut pod = options.pod.find(&global.dir)?;
    let waits = [
        (Until::Ready, options.wait_ready),
        (Until::Finished, options.wait),
    ];
    for (until, patience) in waits {
        let timeout = match patience {
            Patience::None => continue,
            Patience::Forever => None,
            Patience::For(duration) => Some(duration),
        };
        pod = wait(&global.dir, pod.uuid(), until, timeout)?;
    }
    let uuid = pod.uuid();
    let Some(mut pod) = Description::of(&global.dir, pod, false)? else {
        bail!("pod {uuid} is no more");
    };
    let text = match options.format {
        Some(format) => format::json(&pod.json(), format).context("make JSON of the pod")?,
        None => lines(&pod, &time::zone()),
    };
    report::print(&text)?;
    match pod.damage.pop() {
        None => Ok(ExitCode::SUCCESS),
        Some(error) => Err(anyhow!(error).context(format!("pod {uuid} is damaged"))),
    }
}

/// `key=value` lines, in rkt's order.
fn lines(pod: &Description, zone: &TimeZone) -> String {
    let state = pod.state;
    let mut lines = vec![format!("state={state}")];
    let mut add = |key: &str, value: Option<String>| {
        lines.extend(value.map(|value| format!("{key}={value}")));
    };
    let time = |time: Option<_>| time.map(|time| time::absolute(time, zone));
    add("created", time(pod.created));
    add("started", time(pod.started()));
    if state == State::Running || state.has_exited() {
        add("pid", pod.process.map(|process| process.pid.to_string()));
        add("exited", Some(state.has_exited().to_string()));
    }
    if state.has_exited() {
        for (app, exit) in pod.apps() {
            add(
                &format!("app-{}", app.name),
                exit.map(|exit| exit.code.to_string()),
            );
        }
    }
    lines.iter().fold(String::new(), |mut text, line| {
        writeln!(text, "{line}").expect("writing to a String does not fail");
        text
    })
}
