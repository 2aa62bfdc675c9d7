//! How far the apps' outputs have come: a byte is passed on when everybody who reads the stream has it.

use std::collections::BTreeMap;

use bulkhead_protocol::agent::Stream;
use bulkhead_protocol::plan::{AppName, ProcessId};
use bulkhead_protocol::relay::{Destination, Outputs, RelaySpec};

use super::Relay;
use crate::relay::log::{Log, Places};
use crate::relay::outlet::Reports;

/// A stream of an app.
pub(super) type Source = (ProcessId, Stream);

/// Bytes of one stream, counted from its beginning.
#[derive(Debug)]
struct Progress {
    destination: Destination,
    /// Given to those who read it.
    given: u64,
    /// Written to our own output.
    written: u64,
    /// Reported as passed on.
    passed: u64,
}

/// The outputs of all apps.
#[derive(Debug)]
pub(super) struct AppOutputs(BTreeMap<Source, Progress>);

impl AppOutputs {
    /// In the order of the processes' ids.
    pub(super) fn new(outputs: &[Outputs]) -> Self {
        let mut all = Self(BTreeMap::new());
        for (id, outputs) in (0..).zip(outputs) {
            all.add(ProcessId(id), *outputs);
        }
        all
    }

    /// One more process.
    pub(super) fn add(&mut self, process: ProcessId, outputs: Outputs) {
        for (stream, destination) in [
            (Stream::Stdout, outputs.stdout),
            (Stream::Stderr, outputs.stderr),
        ] {
            let progress = Progress {
                destination,
                given: 0,
                written: 0,
                passed: 0,
            };
            self.0.insert((process, stream), progress);
        }
    }

    /// Nothing more comes of this process.
    pub(super) fn forget(&mut self, process: ProcessId) {
        self.0.retain(|(of, _), _| *of != process);
    }

    pub(super) fn destination(&self, source: Source) -> Destination {
        let progress = self.0.get(&source);
        progress.map_or(Destination::Stream, |progress| progress.destination)
    }

    /// Bytes came.
    pub(super) fn given(&mut self, source: Source, count: usize) {
        if let Some(progress) = self.0.get_mut(&source) {
            progress.given += u64::try_from(count).unwrap_or(u64::MAX);
        }
    }

    /// Our own output has them.
    pub(super) fn written(&mut self, source: Source, count: u64) {
        if let Some(progress) = self.0.get_mut(&source) {
            progress.written += count;
        }
    }

    /// What has been passed on since the last call, where so many bytes of a stream still wait for an attached client.
    pub(super) fn take_passed(&mut self, waiting: impl Fn(Source) -> usize) -> Vec<(Source, u64)> {
        let mut passed = Vec::new();
        for (source, progress) in &mut self.0 {
            if progress.passed == progress.given {
                continue;
            }
            let waiting = u64::try_from(waiting(*source)).unwrap_or(u64::MAX);
            let mut all_have = progress.given.saturating_sub(waiting);
            if matches!(progress.destination, Destination::Log | Destination::Stream) {
                all_have = all_have.min(progress.written);
            }
            let news = all_have.saturating_sub(progress.passed);
            if news > 0 {
                progress.passed = all_have;
                passed.push((*source, news));
            }
        }
        passed
    }
}

impl Relay {
    /// One more process of an app.
    pub(super) fn begin(&mut self, process: ProcessId, app: AppName, outputs: Outputs) {
        self.log.add(process, app.clone());
        self.outputs.add(process, outputs);
        self.streams.label(process, app);
    }

    /// Nothing more comes of it.
    pub(super) fn forget(&mut self, process: ProcessId) {
        self.streams.forget(process);
        self.outputs.forget(process);
        self.log.forget(process);
    }

    pub(super) fn output(&mut self, source: Source, bytes: Vec<u8>) {
        let now = self.now();
        let (process, stream) = source;
        self.outputs.given(source, bytes.len());
        self.clients.output(source, &bytes, &mut self.session, now);
        let destination = self.outputs.destination(source);
        if destination == Destination::Log {
            self.log.output(process, stream, &bytes);
        }
        if matches!(destination, Destination::Log | Destination::Stream) {
            self.streams.output(process, stream, bytes);
        }
    }

    /// Tells the session what everybody has who reads an output.
    pub(super) fn pass_on(&mut self) {
        let now = self.now();
        self.clients.hang_up(now);
        let clients = &self.clients;
        for ((process, stream), count) in self.outputs.take_passed(|source| clients.waiting(source))
        {
            self.session.written(now, process, stream, count);
        }
    }
}

/// Of all apps: what is not to be logged is not given to it.
pub(super) fn log_of(spec: &RelaySpec, places: Places, reports: Reports) -> Log {
    let mut log = Log::new(places, spec.metadata.uuid.as_str(), reports);
    for process in &*spec.processes {
        log.add(process.id, process.app.clone());
    }
    log
}

#[cfg(test)]
#[path = "outputs_test.rs"]
mod tests;
