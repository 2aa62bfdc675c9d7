//! `bulkhead logs`.

mod merge;
mod print;

use std::collections::VecDeque;
use std::io;
use std::process::ExitCode;
use std::str::FromStr;

use anyhow::{Context, Result, bail};
use bulkhead_pod::found::FoundPod;
use bulkhead_pod::log::follow::Follower;
use bulkhead_pod::log::{Logs, Output, Record};
use bulkhead_pod::manifest::AcName;
use bulkhead_pod::state::State;
use bulkhead_pod::wait::{Until, WaitError, wait};
use clap::{Args, ValueEnum};
use jiff::Timestamp;

use self::merge::Merger;
use self::print::Printer;
use super::name::PodName;
use super::time::Period;
use crate::arguments::GlobalOptions;

/// Options of `logs`.
#[derive(Debug, Args)]
pub(crate) struct LogsOptions {
    #[command(flatten)]
    pod: PodName,

    /// Only what this app has written
    #[arg(long, value_name = "NAME")]
    app: Option<String>,

    /// Go on with what they write until the pod ends
    #[arg(long, short)]
    follow: bool,

    /// Begin with the last N lines
    #[arg(long, value_name = "N")]
    tail: Option<usize>,

    /// Begin at this time (2026-11-28T06:00:00Z), or so long ago (10m)
    #[arg(long, value_name = "TIME|DURATION")]
    since: Option<Since>,

    /// Put the time before each line
    #[arg(long)]
    timestamps: bool,

    /// Only what was written to this stream
    #[arg(
        long,
        value_enum,
        value_name = "stdout|stderr",
        hide_possible_values = true
    )]
    stream: Option<Stream>,

    /// Print the text, or each line as JSON
    #[arg(
        long,
        value_enum,
        value_name = "text|json",
        default_value = "text",
        hide_possible_values = true
    )]
    format: LogFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Stream {
    Stdout,
    Stderr,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

/// A time in the past.
#[derive(Debug, Clone, Copy)]
struct Since(Timestamp);

impl FromStr for Since {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(period) = text.parse::<Period>() {
            let start = Timestamp::now().checked_sub(period.length());
            return Ok(Self(start.unwrap_or(Timestamp::MIN)));
        }
        let wrong = || {
            format!("{text:?} is neither a time like 2026-11-28T06:00:00Z nor a duration like 10m")
        };
        text.parse().map(Self).map_err(|_| wrong())
    }
}

/// Prints what there is, and with `--follow` what comes.
pub(crate) fn logs(global: &GlobalOptions, options: &LogsOptions) -> Result<ExitCode> {
    let pod = find(global, options)?;
    let uuid = pod.uuid();
    let whose = || format!("pod {uuid}");
    let Some(logs) = Logs::open(&pod).with_context(whose)? else {
        match pod.state() {
            State::Running => return Ok(ExitCode::SUCCESS),
            state if state.has_exited() => return Ok(ExitCode::SUCCESS),
            state => bail!("pod \"{uuid}\" has not run: it is {state}"),
        }
    };
    let follower = match options.follow && pod.state() == State::Running {
        true => Some(
            Follower::on(&pod, &logs)
                .context("watch its logs")
                .with_context(whose)?,
        ),
        false => None,
    };
    match print(&pod, logs, follower.as_ref(), options) {
        // A reader that has gone (`bulkhead logs … | head`) is no error.
        Err(error) if is_closed_pipe(&error) => Ok(ExitCode::SUCCESS),
        printed => printed.with_context(whose).map(|()| ExitCode::SUCCESS),
    }
}

/// The pod; with `--follow`, one that is just starting has its logs by now, or has ended.
fn find(global: &GlobalOptions, options: &LogsOptions) -> Result<FoundPod> {
    let pod = options.pod.find(&global.dir)?;
    if !options.follow || pod.state() != State::Running {
        return Ok(pod);
    }
    match wait(&global.dir, pod.uuid(), Until::Enterable, None) {
        Err(WaitError::NeverReady(..)) => options.pod.find(&global.dir),
        waited => Ok(waited?),
    }
}

fn print(
    pod: &FoundPod,
    logs: Logs,
    follower: Option<&Follower>,
    options: &LogsOptions,
) -> Result<()> {
    let manifest = pod.manifest()?;
    let apps = manifest.iter().flat_map(|manifest| &manifest.apps);
    let apps = apps.map(|app| app.name.clone()).collect();
    let mut merger = Merger::new(logs, apps, options.app.as_deref())?;
    let mut printer = Printer::new(options, merger.has_several());
    let mut last: VecDeque<(AcName, Record)> = VecDeque::new();
    while let Some((app, record)) = next(&mut merger, options)? {
        let Some(most) = options.tail else {
            printer.print(&app, &record)?;
            continue;
        };
        last.push_back((app, record));
        if last.len() > most {
            last.pop_front();
        }
    }
    for (app, record) in std::mem::take(&mut last) {
        printer.print(&app, &record)?;
    }
    printer.end_of_turn(&mut merger)?;
    let Some(follower) = follower else {
        return Ok(());
    };
    loop {
        let lives = follower.wait().context("wait for more")?;
        merger.look_for_apps()?;
        printer.label(merger.has_several());
        while let Some((app, record)) = next(&mut merger, options)? {
            printer.print(&app, &record)?;
        }
        printer.end_of_turn(&mut merger)?;
        if !lives {
            return Ok(());
        }
    }
}

/// The next one that is asked for.
fn next(merger: &mut Merger, options: &LogsOptions) -> Result<Option<(AcName, Record)>> {
    let stream = options.stream.map(|stream| match stream {
        Stream::Stdout => Output::Stdout,
        Stream::Stderr => Output::Stderr,
    });
    while let Some((app, record)) = merger.next_record()? {
        let late_enough = options.since.is_none_or(|since| record.time >= since.0);
        if late_enough && stream.is_none_or(|stream| record.stream == stream) {
            return Ok(Some((app, record)));
        }
    }
    Ok(None)
}

fn is_closed_pipe(error: &anyhow::Error) -> bool {
    let cause = error.downcast_ref::<io::Error>();
    cause.is_some_and(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
}
