//! Lines of a stream, each at most as long as one record.

use bulkhead_pod::log::TEXT_BYTES_MAX;

/// The unfinished line of one stream.
#[derive(Debug, Default)]
pub(super) struct Lines {
    unfinished: Vec<u8>,
}

impl Lines {
    /// Takes bytes, and gives the lines that they finish, with their newlines. What is too long is given in parts, of which the
    /// last alone has one.
    pub(super) fn push(&mut self, bytes: &[u8], mut give: impl FnMut(&[u8])) {
        for mut piece in bytes.split_inclusive(|b| *b == b'\n') {
            loop {
                let room = TEXT_BYTES_MAX - self.unfinished.len();
                let (start, rest) = piece.split_at(room.min(piece.len()));
                let ends = start.ends_with(b"\n");
                if !ends && start.len() < room {
                    self.unfinished.extend_from_slice(start);
                    break;
                }
                if self.unfinished.is_empty() {
                    give(start);
                } else {
                    self.unfinished.extend_from_slice(start);
                    self.end(&mut give);
                }
                if rest.is_empty() {
                    break;
                }
                piece = rest;
            }
        }
    }

    /// Gives what is left without a newline.
    pub(super) fn end(&mut self, mut give: impl FnMut(&[u8])) {
        // An idle stream holds no memory.
        let line = std::mem::take(&mut self.unfinished);
        if !line.is_empty() {
            give(&line);
        }
    }
}
