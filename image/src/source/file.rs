//! Files and parts of files.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{Mode, OFlags, ResolveFlags, fstat, openat2};
use rustix::io::Errno;

use super::SourceError;
use crate::tar::Skip;

/// Opens a regular file for reading. Neither a fifo nor a device makes it wait.
pub(crate) fn open_regular(path: &Path) -> Result<File, SourceError> {
    let shown = || path.display().to_string();
    let io_error = |what| {
        move |source| SourceError::Io {
            what,
            path: path.display().to_string(),
            source,
        }
    };
    let nonblocking =
        i32::try_from((OFlags::NONBLOCK | OFlags::NOCTTY).bits()).expect("open flags are small");
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(nonblocking)
        .open(path)
        .map_err(io_error("open"))?;
    if !file.metadata().map_err(io_error("open"))?.is_file() {
        return Err(SourceError::NotRegular { path: shown() });
    }
    Ok(file)
}

/// Opens a member of a layout's directory. Neither its name nor a link leads out of the directory.
pub(crate) fn open_member(layout: &Path, name: &str) -> Result<File, SourceError> {
    let io_error = |source: io::Error| SourceError::Io {
        what: "read",
        path: format!("{}: {name}", layout.display()),
        source,
    };
    let directory = File::open(layout).map_err(io_error)?;
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = match openat2(
        &directory,
        name,
        flags,
        Mode::empty(),
        ResolveFlags::BENEATH,
    ) {
        Ok(file) => File::from(file),
        Err(Errno::NOENT) => {
            return Err(SourceError::Missing {
                path: layout.display().to_string(),
                member: name.to_owned(),
            });
        }
        Err(error) => return Err(io_error(error.into())),
    };
    if !file.metadata().map_err(io_error)?.is_file() {
        let path = layout.join(name).display().to_string();
        return Err(SourceError::NotRegular { path });
    }
    Ok(file)
}

/// A range of a file, read with its own position, so that many can share the file.
#[derive(Debug, Clone)]
pub(crate) struct Section {
    file: Arc<File>,
    position: u64,
    end: u64,
}

/// The whole file as it is now.
pub(crate) fn section_of(file: File) -> io::Result<Section> {
    // Not by the standard library, which makes system calls that an importer has not.
    let end = u64::try_from(fstat(&file)?.st_size).map_err(io::Error::other)?;
    Ok(Section {
        file: Arc::new(file),
        position: 0,
        end,
    })
}

impl Section {
    /// Bytes that are left.
    pub(crate) fn len(&self) -> u64 {
        self.end - self.position
    }

    /// A part of this section; `offset` counts from the start of the file.
    pub(crate) fn part(&self, offset: u64, size: u64) -> Self {
        let end = offset.saturating_add(size).min(self.end);
        Self {
            file: Arc::clone(&self.file),
            position: offset.min(end),
            end,
        }
    }
}

impl Read for Section {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let left = self.len();
        let wanted = usize::try_from(left).map_or(buf.len(), |left| left.min(buf.len()));
        let n = self.file.read_at(&mut buf[..wanted], self.position)?;
        if n == 0 && wanted > 0 {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the file became shorter while it was read",
            ));
        }
        self.position += n as u64;
        Ok(n)
    }
}

impl Skip for Section {
    fn skip(&mut self, count: u64) -> io::Result<u64> {
        let skipped = count.min(self.len());
        self.position += skipped;
        Ok(skipped)
    }
}
