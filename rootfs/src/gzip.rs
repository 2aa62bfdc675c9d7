//! A writer of gzip files for which long runs of zeros cost nothing.
//!
//! Each [`MEMBER_BYTES`] of the content are a gzip member of their own (RFC 1952, 2.2: a file is a series of
//! members, and reads as all of them). So a member of zeros is always the same bytes, and is compressed once. Where
//! members begin depends on the content's length alone: the same content makes the same bytes, however it
//! was written.

use std::io::{self, Write};

use flate2::Compression;
use flate2::write::GzEncoder;

/// Large enough that members cost the ratio nothing: zeros shrink by 1000, near deflate's limit.
const MEMBER_BYTES: usize = 1 << 20;

/// zlib's default.
const LEVEL: Compression = Compression::new(6);

/// Compresses what is written to it.
pub(crate) struct Writer<W> {
    output: W,
    /// The content of the next member, never full.
    pending: Vec<u8>,
    /// A member of zeros.
    zeros: Vec<u8>,
}

impl<W: Write> Writer<W> {
    pub(crate) fn new(output: W) -> io::Result<Self> {
        Ok(Self {
            output,
            pending: Vec::with_capacity(MEMBER_BYTES),
            zeros: member(&vec![0; MEMBER_BYTES])?,
        })
    }

    /// Writes `count` zeros.
    pub(crate) fn write_zeros(&mut self, mut count: u64) -> io::Result<()> {
        while count > 0 {
            let room = MEMBER_BYTES - self.pending.len();
            let now = usize::try_from(count).map_or(room, |count| count.min(room));
            if now == MEMBER_BYTES {
                self.output.write_all(&self.zeros)?;
            } else {
                self.pending.resize(self.pending.len() + now, 0);
                self.write_if_full()?;
            }
            count -= now as u64;
        }
        Ok(())
    }

    /// Writes the last member, which may be an empty one, and gives the output back.
    pub(crate) fn finish(mut self) -> io::Result<W> {
        self.output.write_all(&member(&self.pending)?)?;
        self.output.flush()?;
        Ok(self.output)
    }

    fn write_if_full(&mut self) -> io::Result<()> {
        if self.pending.len() == MEMBER_BYTES {
            self.output.write_all(&member(&self.pending)?)?;
            self.pending.clear();
        }
        Ok(())
    }
}

impl<W: Write> Write for Writer<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(MEMBER_BYTES - self.pending.len());
        self.pending.extend_from_slice(&bytes[..taken]);
        self.write_if_full()?;
        Ok(taken)
    }

    /// Does nothing: a member is written when it is full.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// One member, without name and time.
fn member(content: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), LEVEL);
    encoder.write_all(content)?;
    encoder.finish()
}

#[cfg(test)]
#[path = "gzip_test.rs"]
mod tests;
