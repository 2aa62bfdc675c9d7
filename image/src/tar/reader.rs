//! The stream of entries.

use std::io::{self, Read};

use super::header::{self, Checked, Header};
use super::pax::{BadRecord, Overrides};
use super::{BLOCK, Entry, EntryKind, TarError, Timestamp, number};
use crate::bytes::Escaped;
use crate::limits::{MAX_TAR_HEADER_BYTES, MAX_TAR_HEADERS_PER_ENTRY};

/// A source that can pass over bytes that nobody wants.
pub(crate) trait Skip: Read {
    /// Passes over at most `count` bytes; returns how many there were.
    fn skip(&mut self, count: u64) -> io::Result<u64>;
}

/// A source that can only be read.
pub(crate) struct Stream<R>(pub(crate) R);

impl<R: Read> Read for Stream<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read(buf)
    }
}

impl<R: Read> Skip for Stream<R> {
    fn skip(&mut self, count: u64) -> io::Result<u64> {
        io::copy(&mut self.0.by_ref().take(count), &mut io::sink())
    }
}

/// Reads a tar archive entry by entry. The current entry's data comes through
/// [`TarReader::read_all`]; what is not read is passed over.
pub(crate) struct TarReader<S> {
    source: S,
    /// Position in the archive.
    offset: u64,
    /// Data of the current entry that has not been read.
    data_left: u64,
    /// Padding behind that data.
    padding: u64,
    /// The current entry, for messages.
    current: Vec<u8>,
    /// Overrides for the rest of the archive.
    globals: Overrides,
}

impl<S: Skip> TarReader<S> {
    pub(crate) fn new(source: S) -> Self {
        Self {
            source,
            offset: 0,
            data_left: 0,
            padding: 0,
            current: Vec::new(),
            globals: Overrides::default(),
        }
    }

    /// Position in the archive: right after [`TarReader::next_entry`] where the entry's data
    /// starts.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// The next entry, or nothing at the end of the archive.
    ///
    /// An archive that stops at a header boundary without an end marker is an error: without a
    /// digest that vouches for the length, it cannot be told from a truncated one.
    pub(crate) fn next_entry(&mut self) -> Result<Option<Entry>, TarError> {
        self.skip_data()?;
        let mut overrides = self.globals.clone();
        let mut long_name = None;
        let mut long_link = None;
        for _ in 0..=MAX_TAR_HEADERS_PER_ENTRY {
            let Some(header) = self.next_header()? else {
                return Ok(None);
            };
            match header.typeflag() {
                b'L' => long_name = Some(self.read_long(&header, "GNU long name")?),
                b'K' => long_link = Some(self.read_long(&header, "GNU long link")?),
                b'x' => {
                    let data = self.read_header_data(&header)?;
                    self.parse_pax(&mut overrides, &data, &header)?;
                }
                b'g' => {
                    let data = self.read_header_data(&header)?;
                    let mut globals = std::mem::take(&mut self.globals);
                    self.parse_pax(&mut globals, &data, &header)?;
                    self.globals = globals;
                    overrides = self.globals.clone();
                }
                _ => {
                    overrides.path = overrides.path.or(long_name);
                    overrides.link = overrides.link.or(long_link);
                    return self.entry(&header, overrides).map(Some);
                }
            }
        }
        Err(self.field(
            "header",
            format!("has more than {MAX_TAR_HEADERS_PER_ENTRY} extension headers before it"),
        ))
    }

    /// Reads what is left of the source, behind the end marker too.
    pub(crate) fn drain(&mut self) -> Result<(), TarError> {
        while self.pass_over(u64::MAX)? > 0 {}
        Ok(())
    }

    fn entry(&mut self, header: &Header, overrides: Overrides) -> Result<Entry, TarError> {
        let path = overrides.path.unwrap_or_else(|| header.path());
        self.current.clone_from(&path);
        if path.is_empty() {
            return Err(self.field("name", "is empty".to_owned()));
        }
        let link = overrides.link.unwrap_or_else(|| header.link().to_vec());
        let size = match overrides.size {
            Some(size) => size,
            None => self.number(header, header::SIZE)?,
        };
        let kind = self.kind(header, &path, link, size)?;
        let mtime = match overrides.mtime {
            Some(mtime) => mtime,
            None => self.header_mtime(header)?,
        };
        let mode = self.number(header, header::MODE)? & 0o7777;
        let entry = Entry {
            mode: u16::try_from(mode).expect("masked to 12 bits"),
            uid: self.owner(header, header::UID, overrides.uid)?,
            gid: self.owner(header, header::GID, overrides.gid)?,
            mtime,
            xattrs: overrides.xattrs,
            kind,
            path,
        };
        if let EntryKind::File { size } = entry.kind {
            self.data_left = size;
            self.padding = padding(size);
        }
        Ok(entry)
    }

    fn kind(
        &self,
        header: &Header,
        path: &[u8],
        link: Vec<u8>,
        size: u64,
    ) -> Result<EntryKind, TarError> {
        let device = || -> Result<(u32, u32), TarError> {
            Ok((
                self.device_number(header, header::DEVMAJOR)?,
                self.device_number(header, header::DEVMINOR)?,
            ))
        };
        let kind = match header.typeflag() {
            // Before ustar, a directory was a file whose name ends in a slash.
            b'0' | 0 if path.ends_with(b"/") => EntryKind::Directory,
            b'0' | 0 | b'7' => EntryKind::File { size },
            b'1' => EntryKind::HardLink { target: link },
            b'2' => EntryKind::Symlink { target: link },
            b'3' => device().map(|(major, minor)| EntryKind::CharDevice { major, minor })?,
            b'4' => device().map(|(major, minor)| EntryKind::BlockDevice { major, minor })?,
            b'5' => EntryKind::Directory,
            b'6' => EntryKind::Fifo,
            other => {
                return Err(TarError::Type {
                    entry: Escaped::new(path),
                    typeflag: Escaped::new(&[other]),
                    what: match other {
                        b'S' => "GNU sparse file",
                        b'M' => "continuation of a multi-volume archive",
                        _ => "unknown",
                    },
                });
            }
        };
        if size != 0 && !matches!(kind, EntryKind::File { .. }) {
            return Err(self.field("size", format!("is {size} where only a file has data")));
        }
        Ok(kind)
    }

    fn header_mtime(&self, header: &Header) -> Result<Timestamp, TarError> {
        let seconds = number::signed(header.field(header::MTIME))
            .ok_or_else(|| self.bad_number(header, header::MTIME))?;
        Ok(Timestamp { seconds, nanos: 0 })
    }

    fn owner(
        &self,
        header: &Header,
        field: header::Field,
        pax: Option<u64>,
    ) -> Result<u32, TarError> {
        let id = match pax {
            Some(id) => id,
            None => self.number(header, field)?,
        };
        // The highest value means "no id" to the kernel.
        u32::try_from(id)
            .ok()
            .filter(|&id| id != u32::MAX)
            .ok_or_else(|| self.field(field.name, format!("{id} is not a valid id")))
    }

    fn device_number(&self, header: &Header, field: header::Field) -> Result<u32, TarError> {
        let value = self.number(header, field)?;
        u32::try_from(value)
            .map_err(|_| self.field(field.name, format!("{value} does not fit a device number")))
    }

    fn number(&self, header: &Header, field: header::Field) -> Result<u64, TarError> {
        number::unsigned(header.field(field)).ok_or_else(|| self.bad_number(header, field))
    }

    fn bad_number(&self, header: &Header, field: header::Field) -> TarError {
        TarError::Number {
            entry: Escaped::new(&header.path()),
            field: field.name,
            value: Escaped::new(header.field(field)),
        }
    }

    fn parse_pax(
        &self,
        overrides: &mut Overrides,
        data: &[u8],
        header: &Header,
    ) -> Result<(), TarError> {
        overrides
            .parse(data)
            .map_err(|BadRecord(field, problem)| TarError::Field {
                entry: Escaped::new(&header.path()),
                field,
                problem,
            })
    }

    fn read_long(&mut self, header: &Header, field: &'static str) -> Result<Vec<u8>, TarError> {
        let mut name = self.read_header_data(header)?;
        if name.last() == Some(&0) {
            name.pop();
        }
        if name.contains(&0) {
            return Err(self.field(field, "contains a NUL byte".to_owned()));
        }
        Ok(name)
    }

    /// The data of a PAX header or of a GNU long name.
    fn read_header_data(&mut self, header: &Header) -> Result<Vec<u8>, TarError> {
        self.current = header.path();
        let size = self.number(header, header::SIZE)?;
        if size > MAX_TAR_HEADER_BYTES {
            return Err(self.field(
                "size",
                format!("of an extension header is {size}, more than {MAX_TAR_HEADER_BYTES}"),
            ));
        }
        let mut data = vec![0; usize::try_from(size).expect("bounded above")];
        self.read_exact_or_truncated(&mut data)?;
        self.skip_exactly(padding(size))?;
        Ok(data)
    }

    fn next_header(&mut self) -> Result<Option<Header>, TarError> {
        match self.read_block()? {
            Checked::Header(header) => Ok(Some(header)),
            Checked::Bad { found, computed } => Err(self.checksum(&found, computed)),
            Checked::Zero => match self.read_block()? {
                Checked::Zero => Ok(None),
                Checked::Header(_) => Err(self.checksum(b"zero block before a header", 0)),
                Checked::Bad { found, computed } => Err(self.checksum(&found, computed)),
            },
        }
    }

    fn read_block(&mut self) -> Result<Checked, TarError> {
        let mut block = [0; BLOCK];
        let got = self.fill(&mut block)?;
        if got == 0 {
            return Err(TarError::NoEndMarker {
                offset: self.offset,
            });
        }
        self.expect(got as u64, BLOCK as u64, "in a header")?;
        Ok(Header::check(block))
    }

    fn checksum(&self, found: &[u8], computed: u64) -> TarError {
        TarError::Checksum {
            offset: self.offset - BLOCK as u64,
            found: format!("\"{}\"", Escaped::new(found)),
            computed,
        }
    }

    fn field(&self, field: &'static str, problem: String) -> TarError {
        TarError::Field {
            entry: Escaped::new(&self.current),
            field,
            problem,
        }
    }

    /// Passes over the rest of the current entry.
    fn skip_data(&mut self) -> Result<(), TarError> {
        let left = std::mem::take(&mut self.data_left);
        let padding = std::mem::take(&mut self.padding);
        self.skip_exactly(left)?;
        self.skip_exactly(padding)
    }

    fn skip_exactly(&mut self, count: u64) -> Result<(), TarError> {
        let skipped = self.pass_over(count)?;
        self.expect(skipped, count, "in its data")
    }

    fn pass_over(&mut self, count: u64) -> Result<u64, TarError> {
        let offset = self.offset;
        let skipped = self
            .source
            .skip(count)
            .map_err(|source| TarError::Read { offset, source })?;
        self.offset += skipped;
        Ok(skipped)
    }

    fn read_exact_or_truncated(&mut self, buf: &mut [u8]) -> Result<(), TarError> {
        let got = self.fill(buf)?;
        self.expect(got as u64, buf.len() as u64, "in an extension header")
    }

    fn expect(&self, got: u64, wanted: u64, place: &str) -> Result<(), TarError> {
        if got == wanted {
            return Ok(());
        }
        Err(TarError::Truncated {
            offset: self.offset,
            missing: wanted - got,
            inside: format!("{place}, entry \"{}\"", Escaped::new(&self.current)),
        })
    }

    /// Reads until the buffer is full or the source ends.
    fn fill(&mut self, buf: &mut [u8]) -> Result<usize, TarError> {
        let mut got = 0;
        while got < buf.len() {
            match self.source.read(&mut buf[got..]) {
                Ok(0) => break,
                Ok(n) => got += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => {
                    return Err(TarError::Read {
                        offset: self.offset + got as u64,
                        source,
                    });
                }
            }
        }
        self.offset += got as u64;
        Ok(got)
    }

    /// Fills `buf` with the next data of the current entry, which must have as much.
    pub(crate) fn read_all(&mut self, buf: &mut [u8]) -> Result<(), TarError> {
        assert!(
            buf.len() as u64 <= self.data_left,
            "callers know the entry's size"
        );
        let got = self.fill(buf)?;
        let left = std::mem::take(&mut self.data_left);
        if got < buf.len() {
            return self.expect(got as u64, left, "in its data");
        }
        self.data_left = left - got as u64;
        Ok(())
    }
}

/// Bytes from the end of `size` bytes of data to the next block.
fn padding(size: u64) -> u64 {
    (BLOCK as u64 - size % BLOCK as u64) % BLOCK as u64
}
