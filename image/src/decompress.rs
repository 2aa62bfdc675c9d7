//! Compressed streams: recognized by their first bytes, bounded in memory and in growth.

use std::cell::Cell;
use std::io::{self, BufRead, BufReader, Read};
use std::rc::Rc;

use crate::limits::{MAX_COMPRESSION_RATIO, MAX_XZ_MEMORY, MAX_ZSTD_WINDOW_LOG, RATIO_FREE_BYTES};

/// How a stream is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compression {
    None,
    Gzip,
    Bzip2,
    Xz,
    Zstd,
}

/// Length of the longest magic number below.
const MAGIC_BYTES: usize = 6;

/// Read from the source in pieces of this size.
const BUFFER_BYTES: usize = 128 << 10;

impl Compression {
    fn of(start: &[u8]) -> Self {
        match start {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [b'B', b'Z', b'h', b'1'..=b'9', ..] => Self::Bzip2,
            [0xfd, b'7', b'z', b'X', b'Z', 0] => Self::Xz,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Zstd,
            _ => Self::None,
        }
    }
}

/// Reads `source` decompressed, whatever its first bytes say it is.
pub(crate) fn decompress<'a>(
    source: impl Read + 'a,
) -> io::Result<(Compression, Box<dyn Read + 'a>)> {
    guarded(source, RATIO_FREE_BYTES)
}

/// The same, with so many bytes of output free of the bound on growth.
fn guarded<'a>(
    mut source: impl Read + 'a,
    free: u64,
) -> io::Result<(Compression, Box<dyn Read + 'a>)> {
    let mut start = [0; MAGIC_BYTES];
    let mut length = 0;
    while length < start.len() {
        match source.read(&mut start[length..]) {
            Ok(0) => break,
            Ok(n) => length += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    let compression = Compression::of(&start[..length]);
    let whole = io::Cursor::new(start).take(length as u64).chain(source);
    let consumed = Rc::new(Cell::new(0));
    let counted = Counted {
        inner: whole,
        count: Rc::clone(&consumed),
    };
    let input = BufReader::with_capacity(BUFFER_BYTES, counted);
    let output = match decoder(compression, input)? {
        Decoder::Plain(plain) => return Ok((compression, plain)),
        Decoder::Expanding(output) => output,
    };
    let guarded = RatioGuard {
        inner: output,
        consumed,
        produced: 0,
        free,
    };
    Ok((compression, Box::new(guarded)))
}

enum Decoder<'a> {
    Plain(Box<dyn Read + 'a>),
    Expanding(Box<dyn Read + 'a>),
}

fn decoder<'a>(compression: Compression, input: impl BufRead + 'a) -> io::Result<Decoder<'a>> {
    Ok(Decoder::Expanding(match compression {
        Compression::None => return Ok(Decoder::Plain(Box::new(input))),
        Compression::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(input)),
        Compression::Bzip2 => Box::new(bzip2::bufread::MultiBzDecoder::new(input)),
        Compression::Xz => {
            let stream = liblzma::stream::Stream::new_stream_decoder(
                MAX_XZ_MEMORY,
                liblzma::stream::CONCATENATED,
            )?;
            Box::new(liblzma::bufread::XzDecoder::new_stream(input, stream))
        }
        Compression::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(input)?;
            decoder.window_log_max(MAX_ZSTD_WINDOW_LOG)?;
            Box::new(decoder)
        }
    }))
}

/// Counts what is read through it.
struct Counted<R> {
    inner: R,
    count: Rc<Cell<u64>>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buf)?;
        self.count.set(self.count.get() + n as u64);
        Ok(n)
    }
}

/// Ends a stream that grows beyond all proportion.
struct RatioGuard<R> {
    inner: R,
    consumed: Rc<Cell<u64>>,
    produced: u64,
    /// Output that is not looked at.
    free: u64,
}

impl<R: Read> Read for RatioGuard<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buf)?;
        self.produced += n as u64;
        let allowed = self.consumed.get().saturating_mul(MAX_COMPRESSION_RATIO);
        if self.produced > self.free && self.produced > allowed {
            return Err(io::Error::other(format!(
                "decompresses {} bytes to more than {} (bound: {MAX_COMPRESSION_RATIO} times)",
                self.consumed.get(),
                self.produced
            )));
        }
        Ok(n)
    }
}

#[cfg(test)]
#[path = "decompress_test.rs"]
mod tests;
