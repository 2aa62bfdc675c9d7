//! The receiving end of a stream: what the host sent and a process has not taken.
//!
//! ```text
//!        passed                 received
//!          │   held ≤ WINDOW       │
//!  ────────┴───────────────────────┴────▶ offset
//! ```
//!
//! The host acknowledges nothing here: `passed` is what *we* acknowledge, once the process has the bytes. What a host sends
//! again after a lost connection overlaps with what is held, and is cut. Holds no descriptor and does no I/O.

use std::collections::VecDeque;

use bulkhead_protocol::agent::WINDOW;

/// The host broke the rules of a stream. It is our own host: this is a bug, and the end of the conversation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    /// Bytes are missing in between.
    #[error("a chunk at offset {offset} where {expected} was expected")]
    Gap {
        /// Of the chunk.
        offset: u64,
        /// First byte not received.
        expected: u64,
    },
    /// More than may be under way.
    #[error("{held} bytes are unacknowledged, over the window of {WINDOW}")]
    OverWindow {
        /// Bytes, with the new ones.
        held: u64,
    },
    /// Bytes behind the end.
    #[error("a chunk at offset {offset} behind the stream's end at {end}")]
    BehindEnd {
        /// Of the chunk.
        offset: u64,
        /// Where the stream ended.
        end: u64,
    },
    /// An acknowledgement of what was never sent.
    #[error("offset {offset} is acknowledged, but only {produced} bytes were sent")]
    AckBeyondEnd {
        /// Acknowledged.
        offset: u64,
        /// Produced so far.
        produced: u64,
    },
}

/// See the module docs.
#[derive(Debug, Default)]
pub struct Incoming {
    held: VecDeque<u8>,
    passed: u64,
    acknowledged: u64,
    ended: bool,
}

impl Incoming {
    /// Takes a chunk; none at all ends the stream.
    ///
    /// # Errors
    /// When the host broke the rules.
    pub fn receive(&mut self, offset: u64, bytes: &[u8]) -> Result<(), StreamError> {
        let received = self.passed + as_u64(self.held.len());
        if offset > received {
            return Err(StreamError::Gap {
                offset,
                expected: received,
            });
        }
        let end = offset.saturating_add(as_u64(bytes.len()));
        if bytes.is_empty() {
            // An end that lies before what was received would be another end than the host meant.
            if offset < received {
                return Err(StreamError::BehindEnd {
                    offset: received,
                    end: offset,
                });
            }
            self.ended = true;
            return Ok(());
        }
        if end <= received {
            return Ok(());
        }
        if self.ended {
            return Err(StreamError::BehindEnd {
                offset,
                end: received,
            });
        }
        if end - self.passed > WINDOW {
            return Err(StreamError::OverWindow {
                held: end - self.passed,
            });
        }
        let known = usize::try_from(received - offset).unwrap_or(usize::MAX);
        self.held.extend(&bytes[known..]);
        Ok(())
    }

    /// Bytes for the process: some of them, when there are any.
    pub fn pending(&self) -> &[u8] {
        let (front, back) = self.held.as_slices();
        if front.is_empty() { back } else { front }
    }

    /// The process has taken the first `count` bytes of [`Incoming::pending`].
    pub fn pass(&mut self, count: usize) {
        self.held.drain(..count);
        if self.held.is_empty() {
            self.held = VecDeque::new();
        }
        self.passed += as_u64(count);
    }

    /// Whether the process has all, and no more will come.
    pub fn is_finished(&self) -> bool {
        self.ended && self.held.is_empty()
    }

    /// The offset to acknowledge, when it is news.
    pub fn take_acknowledgement(&mut self) -> Option<u64> {
        if self.passed == self.acknowledged {
            return None;
        }
        self.acknowledged = self.passed;
        Some(self.passed)
    }

    /// First byte that was not passed on.
    pub fn passed(&self) -> u64 {
        self.passed
    }
}

fn as_u64(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

#[cfg(test)]
#[path = "incoming_test.rs"]
mod tests;
