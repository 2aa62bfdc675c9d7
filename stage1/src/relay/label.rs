//! Lines with the name of the app that wrote them, for a pod of several apps on one terminal.

use std::collections::BTreeMap;

use bulkhead_protocol::agent::Stream;
use bulkhead_protocol::plan::{AppName, ProcessId};

/// Longest line that is kept together. What is longer is cut into lines of this length.
const LINE_MAX: usize = 8 << 10;

/// Puts names before lines. Holds at most one unfinished line of each stream.
#[derive(Debug)]
pub struct Labels {
    names: BTreeMap<ProcessId, AppName>,
    unfinished: BTreeMap<(ProcessId, Stream), Vec<u8>>,
}

impl Labels {
    /// Labels for the processes with ids 0, 1, ….
    pub fn new(names: Vec<AppName>) -> Self {
        Self {
            names: (0..).map(ProcessId).zip(names).collect(),
            unfinished: BTreeMap::new(),
        }
    }

    /// From here on lines of this process are this app's.
    pub fn add(&mut self, process: ProcessId, app: AppName) {
        self.names.insert(process, app);
    }

    /// Nothing more comes of this process.
    pub fn forget(&mut self, process: ProcessId) {
        self.names.remove(&process);
        self.unfinished.retain(|(of, _), _| *of != process);
    }

    /// Takes bytes of a stream and gives the lines that they finish.
    pub fn push(&mut self, process: ProcessId, stream: Stream, bytes: &[u8]) -> Vec<u8> {
        let mut lines = Vec::with_capacity(bytes.len() + 64);
        let mut line = self
            .unfinished
            .remove(&(process, stream))
            .unwrap_or_default();
        for piece in bytes.split_inclusive(|b| *b == b'\n') {
            let mut rest = piece;
            while line.len() + rest.len() > LINE_MAX {
                let (start, end) = rest.split_at(LINE_MAX.saturating_sub(line.len()));
                line.extend_from_slice(start);
                self.finish(process, &mut line, &mut lines);
                rest = end;
            }
            line.extend_from_slice(rest);
            if line.ends_with(b"\n") {
                self.finish(process, &mut line, &mut lines);
            }
        }
        if !line.is_empty() {
            self.unfinished.insert((process, stream), line);
        }
        lines
    }

    /// The unfinished line of a stream that has ended.
    pub fn end(&mut self, process: ProcessId, stream: Stream) -> Vec<u8> {
        let mut lines = Vec::new();
        if let Some(mut line) = self.unfinished.remove(&(process, stream)) {
            self.finish(process, &mut line, &mut lines);
        }
        lines
    }

    fn finish(&self, process: ProcessId, line: &mut Vec<u8>, lines: &mut Vec<u8>) {
        let name = self.names.get(&process).map_or("?", AppName::as_str);
        lines.extend_from_slice(name.as_bytes());
        lines.extend_from_slice(b": ");
        lines.append(line);
        if !lines.ends_with(b"\n") {
            lines.push(b'\n');
        }
    }
}

#[cfg(test)]
#[path = "label_test.rs"]
mod tests;
