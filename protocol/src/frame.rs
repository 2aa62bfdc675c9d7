//! Frames on the agent's connection: a length, then one message.
//!
//! ```text
//! ┌──────────────────┬──────────────────────────┐
//! │ length: u32 (LE) │ message (postcard)       │
//! └──────────────────┴──────────────────────────┘
//! ```
//!
//! The two directions have bounds of their own: the host tells the guest whole manifests, the guest tells the host no
//! more than a chunk of a stream at a time.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Bytes before a message.
pub const HEADER_LENGTH: usize = 4;

/// Longest message from the host: a plan of [`crate::MAX_APPS`] apps with its manifest.
pub const MAX_TO_AGENT: usize = 8 << 20;

/// Longest message from the guest: a chunk of a stream ([`crate::agent::MAX_CHUNK`]) and its header, with room.
pub const MAX_FROM_AGENT: usize = 64 << 10;

/// A frame that cannot be made or taken.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// A message longer than its direction allows.
    #[error("a message of {length} bytes is over the bound of {bound}")]
    TooLong {
        /// Bytes announced or made.
        length: usize,
        /// The direction's bound.
        bound: usize,
    },
    /// The bytes are no message of this conversation.
    #[error("a message of {length} bytes cannot be decoded")]
    Decode {
        /// Bytes of the message.
        length: usize,
        /// What the decoder says.
        source: postcard::Error,
    },
    /// Bytes are left over behind a message.
    #[error("{extra} bytes left over behind a message")]
    Trailing {
        /// How many.
        extra: usize,
    },
}

/// Appends `message` to `out` as one frame. `bound` is the direction's.
///
/// # Errors
/// [`FrameError::TooLong`]; `out` is then as it was.
pub fn encode<M: Serialize>(
    message: &M,
    bound: usize,
    out: &mut Vec<u8>,
) -> Result<(), FrameError> {
    let start = out.len();
    out.extend_from_slice(&[0; HEADER_LENGTH]);
    let buffer = std::mem::take(out);
    let mut encoded = postcard::to_extend(message, buffer).expect("growing a vector does not fail");
    let length = encoded.len() - start - HEADER_LENGTH;
    match u32::try_from(length) {
        Ok(header) if length <= bound => {
            encoded[start..start + HEADER_LENGTH].copy_from_slice(&header.to_le_bytes());
            *out = encoded;
            Ok(())
        }
        _ => {
            encoded.truncate(start);
            *out = encoded;
            Err(FrameError::TooLong { length, bound })
        }
    }
}

/// One message as the bytes of one packet, for sockets that keep packets apart. `bound` is the longest packet.
///
/// # Errors
/// [`FrameError::TooLong`].
pub fn encode_packet<M: Serialize>(message: &M, bound: usize) -> Result<Vec<u8>, FrameError> {
    let packet = postcard::to_stdvec(message).expect("growing a vector does not fail");
    let length = packet.len();
    if length > bound {
        Err(FrameError::TooLong { length, bound })
    } else {
        Ok(packet)
    }
}

/// Decodes one message that fills `bytes`: a packet, or a frame without its header.
///
/// # Errors
/// When the bytes are no such message, or more than one.
pub fn decode<M: DeserializeOwned>(bytes: &[u8]) -> Result<M, FrameError> {
    let decoded = postcard::take_from_bytes(bytes);
    let (message, rest) = decoded.map_err(|source| FrameError::Decode {
        length: bytes.len(),
        source,
    })?;
    if rest.is_empty() {
        Ok(message)
    } else {
        Err(FrameError::Trailing { extra: rest.len() })
    }
}

/// Takes bytes as they arrive and gives whole messages. Holds at most one frame of its bound, plus what one call brought.
#[derive(Debug)]
pub struct Decoder {
    bound: usize,
    buffer: Vec<u8>,
    /// Bytes at the start of `buffer` that were given out already.
    taken: usize,
}

impl Decoder {
    /// For messages of at most `bound` bytes.
    pub fn new(bound: usize) -> Self {
        Self {
            bound,
            buffer: Vec::new(),
            taken: 0,
        }
    }

    /// Takes what was read. Call [`Decoder::take`] until it gives nothing before pushing more.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.taken > 0 {
            self.buffer.drain(..self.taken);
            self.taken = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole message, if it is there.
    ///
    /// # Errors
    /// After an error the stream has no further meaning: drop the connection.
    pub fn take<M: DeserializeOwned>(&mut self) -> Result<Option<M>, FrameError> {
        let pending = &self.buffer[self.taken..];
        let Some((header, rest)) = pending.split_first_chunk::<HEADER_LENGTH>() else {
            return Ok(None);
        };
        let length = usize::try_from(u32::from_le_bytes(*header)).unwrap_or(usize::MAX);
        if length > self.bound {
            return Err(FrameError::TooLong {
                length,
                bound: self.bound,
            });
        }
        let Some(body) = rest.get(..length) else {
            return Ok(None);
        };
        let message = decode(body)?;
        self.taken += HEADER_LENGTH + length;
        Ok(Some(message))
    }
}

#[cfg(test)]
#[path = "frame_test.rs"]
mod tests;
