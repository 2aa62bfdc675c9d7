//! The sending end of a stream: what a process wrote and the host has not acknowledged.
//!
//! ```text
//!        acked          sent            produced
//!          │   in flight  │   not sent yet  │
//!  ────────┴──────────────┴─────────────────┴────▶ offset
//!          └───────────── kept ≤ WINDOW ────┘
//! ```
//!
//! Invariant: `acked ≤ sent ≤ acked + kept.len()`. Holds no descriptor and does no I/O.

use std::collections::VecDeque;

use bulkhead_protocol::agent::{MAX_CHUNK, WINDOW};

use crate::incoming::StreamError;

/// See the module docs.
#[derive(Debug, Default)]
pub struct Outgoing {
    kept: VecDeque<u8>,
    acked: u64,
    sent: u64,
    end: End,
}

/// How far the end of the stream has come.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum End {
    /// More may be produced.
    #[default]
    Open,
    /// Nothing more is produced; the host was not told yet.
    Reached,
    /// The host was told.
    Told,
    /// The host wants no more.
    Refused,
}

/// A part of the stream on its way out. No bytes at all: the end.
#[derive(Debug, PartialEq, Eq)]
pub struct Part {
    /// Offset of the first byte.
    pub offset: u64,
    /// At most [`MAX_CHUNK`] bytes.
    pub bytes: Vec<u8>,
}

impl Outgoing {
    /// Bytes that may be pushed now.
    pub fn room(&self) -> usize {
        match self.end {
            End::Open => usize::try_from(WINDOW).map_or(0, |window| window - self.kept.len()),
            _ => 0,
        }
    }

    /// Takes what a process wrote: at most [`Outgoing::room`] bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        assert!(bytes.len() <= self.room(), "the caller read what has room");
        self.kept.extend(bytes);
    }

    /// Nothing more will be pushed.
    pub fn end(&mut self) {
        if self.end == End::Open {
            self.end = End::Reached;
        }
    }

    /// Whether [`Outgoing::next_part`] has something.
    pub fn has_part(&self) -> bool {
        self.end != End::Refused && (self.unsent() > 0 || self.end == End::Reached)
    }

    /// The next part to send, which then counts as sent.
    pub fn next_part(&mut self) -> Option<Part> {
        if !self.has_part() {
            return None;
        }
        let start = self.kept.len() - self.unsent();
        let length = self.unsent().min(MAX_CHUNK);
        if length == 0 {
            self.end = End::Told;
        }
        let bytes = copy_range(&self.kept, start, length);
        let offset = self.sent;
        self.sent += as_u64(length);
        Some(Part { offset, bytes })
    }

    /// The host has passed on all before `offset`.
    ///
    /// # Errors
    /// When that was never produced.
    pub fn acknowledge(&mut self, offset: u64) -> Result<(), StreamError> {
        if self.end == End::Refused || offset <= self.acked {
            // Late, or an answer to what was sent twice.
            return Ok(());
        }
        let produced = self.acked + as_u64(self.kept.len());
        if offset > produced {
            return Err(StreamError::AckBeyondEnd { offset, produced });
        }
        let passed = usize::try_from(offset - self.acked).unwrap_or(usize::MAX);
        self.kept.drain(..passed);
        if self.kept.is_empty() {
            // An idle stream holds no memory.
            self.kept = VecDeque::new();
        }
        self.acked = offset;
        self.sent = self.sent.max(offset);
        Ok(())
    }

    /// The host wants no more of it.
    pub fn refuse(&mut self) {
        self.end = End::Refused;
        self.kept = VecDeque::new();
    }

    /// The connection was lost: what is not acknowledged has to be sent again, the end too.
    pub fn rewind(&mut self) {
        self.sent = self.acked;
        if self.end == End::Told {
            self.end = End::Reached;
        }
    }

    fn unsent(&self) -> usize {
        let in_flight = usize::try_from(self.sent - self.acked).unwrap_or(usize::MAX);
        self.kept.len().saturating_sub(in_flight)
    }
}

fn copy_range(bytes: &VecDeque<u8>, start: usize, length: usize) -> Vec<u8> {
    let (front, back) = bytes.as_slices();
    let end = start + length;
    let mut copy = Vec::with_capacity(length);
    copy.extend_from_slice(&front[start.min(front.len())..end.min(front.len())]);
    copy.extend_from_slice(
        &back[start.saturating_sub(front.len())..end.saturating_sub(front.len())],
    );
    copy
}

fn as_u64(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

#[cfg(test)]
#[path = "outgoing_test.rs"]
mod tests;
