//! One stream from a process to the host.

use bulkhead_protocol::agent::{Ack, Chunk, WINDOW};

use super::Violation;

/// Acknowledge when this much was passed on: rarely, and long before the sender has to stop.
const ACK_STEP: u64 = WINDOW / 4;

/// Where a stream stands.
#[derive(Debug, Default)]
pub(super) struct Output {
    /// Offset of the next byte to come.
    next: u64,
    /// Offset of the first byte that is not passed on.
    passed: u64,
    /// What the agent knows of `passed`.
    acknowledged: u64,
    /// The sender has said that nothing more comes.
    ended: bool,
    /// Nobody reads any more.
    closed: bool,
    /// An acknowledgement has to be sent whatever the numbers are.
    ack_due: bool,
    /// A new connection may repeat what the old one brought.
    may_repeat: bool,
}

/// What became of a chunk.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Taken {
    /// To be passed on.
    pub(super) bytes: Option<Vec<u8>>,
    /// With this chunk the stream ended.
    pub(super) ended: bool,
}

impl Output {
    /// A stream that does not exist: it has ended before it began.
    pub(super) fn absent() -> Self {
        Self {
            ended: true,
            ..Self::default()
        }
    }

    pub(super) fn take(&mut self, chunk: Chunk) -> Result<Taken, Violation> {
        let Chunk {
            process,
            stream,
            offset,
            bytes,
        } = chunk;
        let known = self.next.checked_sub(offset);
        let repeated = match known {
            Some(0) => 0,
            Some(repeated) if self.may_repeat => repeated,
            _ => {
                let expected = self.next;
                return Err(Violation::Offset {
                    process,
                    stream,
                    offset,
                    expected,
                });
            }
        };
        let mut bytes = bytes.into_vec();
        let ends = bytes.is_empty();
        bytes.drain(..usize::try_from(repeated).map_or(bytes.len(), |n| n.min(bytes.len())));
        if self.ended {
            // A repeated end, or repeated bytes, say nothing new.
            return if self.may_repeat && bytes.is_empty() {
                Ok(Taken::default())
            } else {
                Err(Violation::Ended { process, stream })
            };
        }
        if ends {
            self.ended = repeated == 0;
            return Ok(Taken {
                bytes: None,
                ended: self.ended,
            });
        }
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let end = self.next.saturating_add(length);
        if end - self.passed > WINDOW {
            return Err(Violation::Window { process, stream });
        }
        self.next = end;
        if self.closed {
            self.passed = end;
            return Ok(Taken::default());
        }
        Ok(Taken {
            bytes: Some(bytes).filter(|bytes| !bytes.is_empty()),
            ended: false,
        })
    }

    pub(super) fn written(&mut self, count: u64) {
        self.passed = self.passed.saturating_add(count).min(self.next);
    }

    pub(super) fn close(&mut self) {
        self.closed = true;
        self.passed = self.next;
        self.ack_due = !self.ended;
    }

    pub(super) fn resume(&mut self) {
        self.ack_due = true;
        self.may_repeat = true;
    }

    /// The process never ran: its end need not be said, and may be.
    pub(super) fn end(&mut self) {
        self.ended = true;
        self.may_repeat = true;
    }

    /// All that will ever be wanted was passed on: a sender that was told that nobody reads does not say its end.
    pub(super) fn is_done(&self) -> bool {
        (self.ended || self.closed) && self.passed == self.next
    }

    /// Bytes are here that the reader has not taken.
    pub(super) fn awaits_reader(&self) -> bool {
        self.passed < self.next
    }

    /// What the agent has to be told, if anything: the offset, and whether nobody reads.
    pub(super) fn next_ack(&mut self, ack: Ack) -> Option<Ack> {
        let step = self.passed - self.acknowledged >= ACK_STEP;
        let last = self.is_done() && self.passed > self.acknowledged;
        if !(self.ack_due || step || last) {
            return None;
        }
        self.ack_due = false;
        self.acknowledged = self.passed;
        Some(Ack {
            offset: self.passed,
            closed: self.closed,
            ..ack
        })
    }
}

#[cfg(test)]
#[path = "output_test.rs"]
mod tests;
