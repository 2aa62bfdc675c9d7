//! A tar archive: ustar headers, and PAX records before them for what those cannot say (POSIX.1-2017, `pax`).

use std::fs::Metadata;
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;

/// The unit of an archive.
const BLOCK: usize = 512;

/// Longest name and link that a header holds.
const MAX_NAME: usize = 100;

/// Largest number of eleven and of seven octal digits.
const MAX_11: u64 = 0o777_7777_7777;
const MAX_7: u64 = 0o777_7777;

/// Names and values of extended attributes, in order of the names.
pub(crate) type Attributes = Vec<(Vec<u8>, Vec<u8>)>;

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A file of so many bytes, which follow by [`Archive::content`].
    File(u64),
    Directory,
    /// To this target.
    Symlink(Vec<u8>),
    /// Another name of an earlier entry.
    Link(Vec<u8>),
    /// Major and minor number.
    CharDevice((u32, u32)),
    BlockDevice((u32, u32)),
    Fifo,
}

/// One entry.
#[derive(Debug)]
pub(crate) struct Entry<'a> {
    name: &'a [u8],
    kind: Kind,
    mode: u32,
    uid: u32,
    gid: u32,
    /// Seconds since 1970, and the nanoseconds above them.
    mtime: (i64, i64),
    attributes: Attributes,
}

impl<'a> Entry<'a> {
    pub(crate) fn new(
        name: &'a [u8],
        metadata: &Metadata,
        kind: Kind,
        attributes: Attributes,
    ) -> Self {
        Self {
            name,
            kind,
            mode: metadata.mode() & 0o7777,
            uid: metadata.uid(),
            gid: metadata.gid(),
            mtime: (metadata.mtime(), metadata.mtime_nsec()),
            attributes,
        }
    }

    pub(crate) fn link(name: &'a [u8], first: &[u8], metadata: &Metadata) -> Self {
        Self::new(name, metadata, Kind::Link(first.to_vec()), Vec::new())
    }

    fn size(&self) -> u64 {
        match self.kind {
            Kind::File(size) => size,
            _ => 0,
        }
    }

    fn target(&self) -> &[u8] {
        match &self.kind {
            Kind::Symlink(target) | Kind::Link(target) => target,
            _ => b"",
        }
    }

    /// What its header has no room for.
    fn records(&self) -> Vec<u8> {
        let mut records = Vec::new();
        if self.name.len() > MAX_NAME {
            record(&mut records, b"path", self.name);
        }
        if self.target().len() > MAX_NAME {
            record(&mut records, b"linkpath", self.target());
        }
        if self.size() > MAX_11 {
            record(&mut records, b"size", self.size().to_string().as_bytes());
        }
        for (name, id) in [(&b"uid"[..], self.uid), (b"gid", self.gid)] {
            if u64::from(id) > MAX_7 {
                record(&mut records, name, id.to_string().as_bytes());
            }
        }
        let (seconds, nanoseconds) = self.mtime;
        if nanoseconds != 0 || header_time(seconds).is_none() {
            record(&mut records, b"mtime", time(self.mtime).as_bytes());
        }
        for (name, value) in &self.attributes {
            record(&mut records, &[b"SCHILY.xattr.", &name[..]].concat(), value);
        }
        records
    }

    fn header(&self) -> [u8; BLOCK] {
        let (kind, device) = match self.kind {
            Kind::File(_) => (b'0', None),
            Kind::Link(_) => (b'1', None),
            Kind::Symlink(_) => (b'2', None),
            Kind::CharDevice(device) => (b'3', Some(device)),
            Kind::BlockDevice(device) => (b'4', Some(device)),
            Kind::Directory => (b'5', None),
            Kind::Fifo => (b'6', None),
        };
        let numbers = [
            (100, 7, u64::from(self.mode)),
            (108, 7, u64::from(self.uid).min(MAX_7)),
            (116, 7, u64::from(self.gid).min(MAX_7)),
            (124, 11, self.size().min(MAX_11)),
            (136, 11, header_time(self.mtime.0).unwrap_or(0)),
        ];
        let mut header = header(self.name, self.target(), kind, &numbers);
        if let Some((major, minor)) = device {
            octal(&mut header, 329, 7, u64::from(major));
            octal(&mut header, 337, 7, u64::from(minor));
        }
        header
    }
}

pub(crate) struct Archive<W> {
    output: W,
}

impl<W: Write> Archive<W> {
    pub(crate) fn new(output: W) -> Self {
        Self { output }
    }

    pub(crate) fn add(&mut self, entry: &Entry<'_>) -> io::Result<()> {
        let records = entry.records();
        if !records.is_empty() {
            let size = u64::try_from(records.len()).unwrap_or(u64::MAX);
            let numbers = [(100, 7, 0o644), (124, 11, size)];
            let header = header(b"pax", b"", b'x', &numbers);
            self.output.write_all(&checked(header))?;
            self.output.write_all(&records)?;
            self.pad(size)?;
        }
        self.output.write_all(&checked(entry.header()))
    }

    /// The bytes of the file that was added last. One that has fewer by now cannot be archived.
    pub(crate) fn content<E: From<io::Error>>(
        &mut self,
        file: &mut impl Read,
        size: u64,
        failed: impl FnOnce(io::Error) -> E,
    ) -> Result<(), E> {
        let copied = io::copy(&mut file.take(size), &mut self.output);
        match copied {
            Ok(count) if count == size => Ok(self.pad(size)?),
            Ok(_) => Err(failed(io::ErrorKind::UnexpectedEof.into())),
            Err(error) => Err(failed(error)),
        }
    }

    pub(crate) fn finish(&mut self) -> io::Result<()> {
        self.output.write_all(&[0; 2 * BLOCK])?;
        self.output.flush()
    }

    fn pad(&mut self, size: u64) -> io::Result<()> {
        let over = usize::try_from(size % 512).unwrap_or(0);
        match over {
            0 => Ok(()),
            over => self.output.write_all(&[0; BLOCK][over..]),
        }
    }
}

/// `LENGTH NAME=VALUE\n`, where the length counts itself.
fn record(records: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    let rest = name.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + digits(length) {
        length = rest + digits(length);
    }
    records.extend_from_slice(format!("{length} ").as_bytes());
    records.extend_from_slice(name);
    records.push(b'=');
    records.extend_from_slice(value);
    records.push(b'\n');
}

fn digits(number: usize) -> usize {
    number.to_string().len()
}

/// As decimal seconds. Before 1970 the digits behind the point count downwards too.
fn time((seconds, nanoseconds): (i64, i64)) -> String {
    match (seconds, nanoseconds) {
        (_, 0) => seconds.to_string(),
        (0.., _) => format!("{seconds}.{nanoseconds:09}"),
        _ => format!("-{}.{:09}", -(seconds + 1), 1_000_000_000 - nanoseconds),
    }
}

fn header_time(seconds: i64) -> Option<u64> {
    u64::try_from(seconds).ok().filter(|time| *time <= MAX_11)
}

fn header(name: &[u8], target: &[u8], kind: u8, numbers: &[(usize, usize, u64)]) -> [u8; BLOCK] {
    let mut header = [0; BLOCK];
    let name = &name[..name.len().min(MAX_NAME)];
    let target = &target[..target.len().min(MAX_NAME)];
    header[..name.len()].copy_from_slice(name);
    for (place, digits) in [(100, 7), (108, 7), (116, 7), (124, 11), (136, 11)] {
        octal(&mut header, place, digits, 0);
    }
    for &(place, digits, number) in numbers {
        octal(&mut header, place, digits, number);
    }
    header[156] = kind;
    header[157..157 + target.len()].copy_from_slice(target);
    header[257..265].copy_from_slice(b"ustar\x0000");
    header
}

/// A number with leading zeros, and a NUL behind it, which is there already.
fn octal(header: &mut [u8; BLOCK], place: usize, digits: usize, number: u64) {
    let text = format!("{number:0digits$o}");
    header[place..place + digits].copy_from_slice(text.as_bytes());
}

/// With its checksum, which is counted with blanks in its own place.
fn checked(mut header: [u8; BLOCK]) -> [u8; BLOCK] {
    header[148..156].fill(b' ');
    let sum: u64 = header.iter().map(|byte| u64::from(*byte)).sum();
    octal(&mut header, 148, 6, sum);
    header[154] = 0;
    header
}
