//! The thread's work: bytes to lines, lines to records of files and messages to the journal.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::SystemTime;

use bulkhead_pod::log::Stamp;

use super::file::AppFile;
use super::journal::Journal;
use super::lines::Lines;
use super::queue::Entry;
use super::{Places, Source};
use crate::relay::outlet::{Report, Reports};

#[derive(Debug)]
pub(super) struct Writer {
    sinks: Sinks,
    lines: BTreeMap<Source, Lines>,
}

impl Writer {
    pub(super) fn new(places: Places, pod: String, reports: Reports) -> Self {
        Self {
            sinks: Sinks {
                directory: places.directory,
                files: BTreeMap::new(),
                journal: places.journal.map(|socket| Journal::new(socket, pod)),
                reports,
            },
            lines: BTreeMap::new(),
        }
    }

    pub(super) fn write(&mut self, entries: VecDeque<Entry>) {
        for entry in entries {
            match entry {
                Entry::Bytes(source, time, bytes) => {
                    let time = Stamp::of(time);
                    let lines = self.lines.entry(source.clone()).or_default();
                    lines.push(&bytes, |line| self.sinks.add(&source, &time, line));
                }
                Entry::Lost(source, time, count) => {
                    self.end(&source, time);
                    self.sinks.file(&source).file.add_lost(source.1, count);
                }
                Entry::End(source, time) => {
                    self.end(&source, time);
                    self.sinks.tell_lost(&source, &Stamp::of(time));
                }
                Entry::Finish(time) => self.finish(time),
            }
        }
        self.sinks.flush();
    }

    /// The unfinished line of a stream is its last, or what comes after is missing.
    fn end(&mut self, source: &Source, time: SystemTime) {
        if let Some(mut lines) = self.lines.remove(source) {
            let time = Stamp::of(time);
            lines.end(|line| self.sinks.add(source, &time, line));
        }
    }

    fn finish(&mut self, time: SystemTime) {
        let sources: Vec<Source> = self.lines.keys().cloned().collect();
        for source in sources {
            self.end(&source, time);
            self.sinks.tell_lost(&source, &Stamp::of(time));
        }
        self.sinks.flush();
        self.sinks.say_lost();
    }
}

/// Where lines go.
#[derive(Debug)]
struct Sinks {
    directory: Option<OwnedFd>,
    files: BTreeMap<String, Watched>,
    journal: Option<Journal>,
    reports: Reports,
}

/// A file, and whether it was said that it could not be written.
#[derive(Debug)]
struct Watched {
    file: AppFile,
    complained: bool,
}

impl Sinks {
    fn file(&mut self, (app, _): &Source) -> &mut Watched {
        let new = || Watched {
            file: AppFile::new(app.as_str()),
            complained: false,
        };
        self.files
            .entry(app.as_str().to_owned())
            .or_insert_with(new)
    }

    fn add(&mut self, source: &Source, time: &Stamp, line: &[u8]) {
        let (app, stream) = source;
        if let Some(journal) = &mut self.journal {
            journal.tell(app.as_str(), *stream, line);
        }
        self.with_file(source, |file, directory| {
            file.add(directory.as_fd(), time, *stream, line)
        });
    }

    fn tell_lost(&mut self, source: &Source, time: &Stamp) {
        self.with_file(source, |file, directory| {
            file.tell_lost(directory.as_fd(), time, source.1)
        });
    }

    /// Does something with an app's file, where files are kept, and says the first failure.
    fn with_file(
        &mut self,
        source: &Source,
        work: impl FnOnce(&mut AppFile, &OwnedFd) -> io::Result<()>,
    ) {
        let Some(directory) = self.directory.take() else {
            return;
        };
        let watched = self.file(source);
        let done = work(&mut watched.file, &directory);
        if let Err(error) = done {
            let first = !std::mem::replace(&mut watched.complained, true);
            complain(&self.reports, first, source.0.as_str(), &error);
        }
        self.directory = Some(directory);
    }

    fn flush(&mut self) {
        for (app, watched) in &mut self.files {
            if let Err(error) = watched.file.flush() {
                let first = !std::mem::replace(&mut watched.complained, true);
                complain(&self.reports, first, app, &error);
            }
        }
    }

    /// What no record tells of.
    fn say_lost(&self) {
        for (app, watched) in &self.files {
            let lost = watched.file.lost();
            if lost > 0 && self.directory.is_some() {
                let text = format!("the end of app {app}'s log is missing: {lost} bytes");
                self.reports.say(Report::Say(text));
            }
        }
        let lost = self.journal.as_ref().map_or(0, Journal::lost);
        if lost > 0 {
            let text = format!("the journal did not take {lost} lines");
            self.reports.say(Report::Say(text));
        }
    }
}

fn complain(reports: &Reports, first: bool, app: &str, error: &io::Error) {
    if first {
        let text = format!("app {app}'s log is losing lines: {error}");
        reports.say(Report::Say(text));
    }
}
