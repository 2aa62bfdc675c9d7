//! The apps' logs: what they write, kept in files of the pod's directory and told to the host's journal.
//!
//! A thread writes them, for a disk may stand still for as long as it likes. It gets a copy of the output and holds nothing
//! else back: what it cannot keep up with is lost to the logs, counted there, and goes its way to the reader of the output.
//! The thread, the files and the memory are there from the first byte on.

mod file;
mod journal;
mod lines;
mod queue;
mod writer;

#[cfg(test)]
#[path = "log_test.rs"]
mod tests;

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bulkhead_pod::log::Output;
use bulkhead_protocol::agent::Stream;
use bulkhead_protocol::plan::{AppName, ProcessId};

use super::outlet::{Report, Reports};
use queue::{Entry, Queue};
use writer::Writer;

/// Where logs go. Without either there are none.
#[derive(Debug, Default)]
pub struct Places {
    /// The directory of the files.
    pub directory: Option<OwnedFd>,
    /// The journal: a connected datagram socket.
    pub journal: Option<OwnedFd>,
}

/// An output of an app.
type Source = (AppName, Output);

/// The logs of a pod's apps.
#[derive(Debug)]
pub struct Log {
    apps: BTreeMap<ProcessId, AppName>,
    queue: Arc<Queue>,
    /// Until the thread is started.
    writer: Option<(Places, String)>,
    reports: Reports,
}

impl Log {
    /// Logs of no app yet, of the pod with this UUID.
    pub fn new(places: Places, pod: &str, reports: Reports) -> Self {
        Self {
            apps: BTreeMap::new(),
            queue: Arc::default(),
            writer: Some((places, pod.to_owned())),
            reports,
        }
    }

    /// Logs what this process writes from now on, as the app's.
    pub fn add(&mut self, process: ProcessId, app: AppName) {
        let places = self.writer.as_ref().map(|(places, _)| places);
        let any = places.is_none_or(|p| p.directory.is_some() || p.journal.is_some());
        if any {
            self.apps.insert(process, app);
        }
    }

    /// Nothing more comes of this process.
    pub fn forget(&mut self, process: ProcessId) {
        self.apps.remove(&process);
    }

    /// Takes bytes of a stream, unless too much waits to be written. Never waits.
    pub fn output(&mut self, process: ProcessId, stream: Stream, bytes: &[u8]) {
        let Some(source) = self.source(process, stream) else {
            return;
        };
        self.start();
        let time = SystemTime::now();
        self.queue.push_bytes(source, time, bytes);
    }

    /// A stream has ended.
    pub fn output_end(&mut self, process: ProcessId, stream: Stream) {
        if let Some((app, output)) = self.source(process, stream)
            && self.writer.is_none()
        {
            let time = SystemTime::now();
            self.queue.push(Entry::End((app, output), time));
        }
    }

    /// Waits until all is written, but no longer than `limit`. Nothing comes after.
    pub fn finish(&self, limit: Duration) {
        if self.writer.is_none() {
            self.queue.push(Entry::Finish(SystemTime::now()));
            self.queue.wait_until_idle(limit);
        }
    }

    fn source(&self, process: ProcessId, stream: Stream) -> Option<Source> {
        let output = match stream {
            Stream::Stdout => Output::Stdout,
            Stream::Stderr => Output::Stderr,
            Stream::Stdin => return None,
        };
        Some((self.apps.get(&process)?.clone(), output))
    }

    fn start(&mut self) {
        let Some((places, pod)) = self.writer.take() else {
            return;
        };
        let queue = Arc::clone(&self.queue);
        let reports = self.reports.clone();
        let run = move || {
            let mut writer = Writer::new(places, pod, reports);
            loop {
                queue.take_turn(|entries| writer.write(entries));
            }
        };
        let started = std::thread::Builder::new()
            .name("log".to_owned())
            .spawn(run);
        if let Err(error) = started {
            self.apps.clear();
            let text = format!("nothing is logged: start a thread: {error}");
            self.reports.say(Report::Say(text));
        }
    }
}
