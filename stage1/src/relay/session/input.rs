//! Standard input of a process: what is not acknowledged is kept.

use std::collections::VecDeque;

use bulkhead_protocol::agent::{Ack, Chunk, MAX_CHUNK, Stream, WINDOW};
use bulkhead_protocol::bounded::Blob;
use bulkhead_protocol::plan::{ProcessId, Stdio, WindowSize};

use super::Violation;

#[derive(Debug)]
pub(super) struct Input {
    process: ProcessId,
    terminal: bool,
    /// The terminal's new size, to be sent.
    size: Option<WindowSize>,
    /// Bytes from `acknowledged` on, at most [`WINDOW`].
    kept: VecDeque<u8>,
    /// Offset of the first byte that is not acknowledged.
    acknowledged: u64,
    /// Offset of the first byte that was not sent.
    sent: u64,
    /// Nothing more comes.
    ended: bool,
    end_sent: bool,
    /// The process wants nothing more.
    closed: bool,
    /// A new connection: the agent says first what it has.
    waits_for_ack: bool,
}

impl Input {
    pub(super) fn new(process: ProcessId, stdio: Stdio) -> Self {
        Self {
            process,
            terminal: matches!(stdio, Stdio::Terminal { .. }),
            size: None,
            kept: VecDeque::new(),
            acknowledged: 0,
            sent: 0,
            ended: false,
            end_sent: false,
            closed: false,
            waits_for_ack: false,
        }
    }

    pub(super) fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// The terminal has a new size; what is no terminal has none.
    pub(super) fn resized(&mut self, size: WindowSize) {
        if self.terminal {
            self.size = Some(size);
        }
    }

    pub(super) fn take_size(&mut self) -> Option<WindowSize> {
        self.size.take()
    }

    /// Bytes that can be taken in; `None` when no more will be.
    pub(super) fn room(&self) -> Option<usize> {
        if self.ended || self.closed {
            return None;
        }
        let window = usize::try_from(WINDOW).unwrap_or(usize::MAX);
        Some(window.saturating_sub(self.kept.len()))
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            self.ended = true;
        } else if !self.closed {
            self.kept.extend(bytes);
        }
    }

    pub(super) fn next_chunk(&mut self) -> Option<Chunk> {
        if self.closed || self.waits_for_ack {
            return None;
        }
        let start = usize::try_from(self.sent - self.acknowledged).unwrap_or(usize::MAX);
        let left = self.kept.len().saturating_sub(start);
        if left == 0 && (!self.ended || self.end_sent) {
            return None;
        }
        let length = left.min(MAX_CHUNK);
        let bytes: Vec<u8> = self.kept.range(start..start + length).copied().collect();
        self.end_sent = bytes.is_empty();
        let offset = self.sent;
        self.sent += u64::try_from(length).unwrap_or(0);
        Some(Chunk {
            process: self.process,
            stream: Stream::Stdin,
            offset,
            bytes: Blob::try_from(bytes).expect("at most MAX_CHUNK bytes were taken"),
        })
    }

    pub(super) fn acknowledged(&mut self, ack: Ack) -> Result<(), Violation> {
        let known = ack.process == self.process && ack.stream == Stream::Stdin;
        let sane = (self.acknowledged..=self.sent).contains(&ack.offset);
        if !known || !sane {
            return Err(Violation::Ack);
        }
        let count = usize::try_from(ack.offset - self.acknowledged).unwrap_or(usize::MAX);
        self.kept.drain(..count.min(self.kept.len()));
        self.acknowledged = ack.offset;
        if self.waits_for_ack {
            self.waits_for_ack = false;
            self.sent = ack.offset;
            self.end_sent = false;
        }
        if ack.closed {
            self.closed = true;
            self.kept = VecDeque::new();
            self.sent = self.acknowledged;
        }
        Ok(())
    }

    pub(super) fn resume(&mut self) {
        self.waits_for_ack = !self.closed;
    }
}

#[cfg(test)]
#[path = "input_test.rs"]
mod tests;
