//! The files of one app's log: at most two, of bounded length.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::BorrowedFd;

use bulkhead_pod::log::{FILE_BYTES_MAX, Output, Record, Stamp, file_name, old_file_name};
use rustix::fs::{Mode, OFlags, openat, renameat};

use super::queue::count;

/// Records are written when this much of them waits, and at the end of each turn.
const BUFFER_BYTES: usize = 256 << 10;

/// Bytes of each output that are of no record.
type Counts = [u64; 2];

/// The log of one app.
#[derive(Debug, Default)]
pub(super) struct AppFile {
    app: String,
    file: Option<File>,
    /// Of the open file, without what waits.
    length: u64,
    /// Whole records that wait to be written.
    buffer: Vec<u8>,
    /// Text in the buffer, and what it says is lost.
    waiting: Counts,
    /// Text that could not be written, and that no record tells of yet.
    lost: Counts,
}

impl AppFile {
    pub(super) fn new(app: &str) -> Self {
        Self {
            app: app.to_owned(),
            ..Self::default()
        }
    }

    /// Adds a record of this text.
    pub(super) fn add(
        &mut self,
        directory: BorrowedFd<'_>,
        time: &Stamp,
        stream: Output,
        text: &[u8],
    ) -> io::Result<()> {
        let told = self.tell_lost(directory, time, stream);
        let mut record = Vec::with_capacity(text.len() + 128);
        Record::write(&mut record, time, stream, text);
        told.and(self.add_record(directory, &record, stream, count(text.len())))
    }

    #[cfg(test)]
    pub(super) fn replace_file(&mut self, file: File) {
        self.file = Some(file);
    }

    /// Counts bytes that were lost before they came here.
    pub(super) fn add_lost(&mut self, stream: Output, bytes: u64) {
        let lost = &mut self.lost[stream as usize];
        *lost = lost.saturating_add(bytes);
    }

    /// What is still to be told of is told.
    pub(super) fn tell_lost(
        &mut self,
        directory: BorrowedFd<'_>,
        time: &Stamp,
        stream: Output,
    ) -> io::Result<()> {
        let lost = std::mem::take(&mut self.lost[stream as usize]);
        if lost == 0 {
            return Ok(());
        }
        let mut record = Vec::new();
        Record::write_lost(&mut record, time, stream, lost);
        self.add_record(directory, &record, stream, lost)
    }

    /// Bytes that no record tells of.
    pub(super) fn lost(&self) -> u64 {
        self.lost[0].saturating_add(self.lost[1])
    }

    /// Adds a record, to another file if this one would become too long.
    fn add_record(
        &mut self,
        directory: BorrowedFd<'_>,
        record: &[u8],
        stream: Output,
        text: u64,
    ) -> io::Result<()> {
        let mut made = self.open(directory);
        if made.is_ok() && self.length + count(self.buffer.len() + record.len()) > FILE_BYTES_MAX {
            let flushed = self.flush();
            made = flushed.and(self.put_aside(directory));
        }
        if made.is_err() {
            self.add_lost(stream, text);
            return made;
        }
        self.buffer.extend_from_slice(record);
        let waiting = &mut self.waiting[stream as usize];
        *waiting = waiting.saturating_add(text);
        if self.buffer.len() > BUFFER_BYTES {
            return self.flush();
        }
        Ok(())
    }

    fn open(&mut self, directory: BorrowedFd<'_>) -> io::Result<()> {
        if self.file.is_none() {
            let (file, length) = open(directory, &file_name(&self.app))?;
            self.file = Some(file);
            self.length = length;
        }
        Ok(())
    }

    fn put_aside(&mut self, directory: BorrowedFd<'_>) -> io::Result<()> {
        let (name, old) = (file_name(&self.app), old_file_name(&self.app));
        renameat(directory, &name, directory, &old)?;
        self.file = None;
        self.open(directory)
    }

    /// Writes what waits, by one call. What cannot be written is lost, and counted.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let written = match &mut self.file {
            Some(file) => file.write_all(&self.buffer),
            None => Err(io::ErrorKind::NotFound.into()),
        };
        let waiting = std::mem::take(&mut self.waiting);
        match &written {
            Ok(()) => self.length += count(self.buffer.len()),
            Err(_) => {
                // Half a record would spoil the next one.
                let cut = self.file.as_ref().map(|file| file.set_len(self.length));
                if !matches!(cut, Some(Ok(()))) {
                    self.file = None;
                }
                for (stream, waiting) in [Output::Stdout, Output::Stderr].into_iter().zip(waiting) {
                    self.add_lost(stream, waiting);
                }
            }
        }
        self.buffer.clear();
        written
    }
}

fn open(directory: BorrowedFd<'_>, name: &str) -> io::Result<(File, u64)> {
    let flags = OFlags::CREATE | OFlags::APPEND | OFlags::WRONLY;
    let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = openat(directory, name, flags, Mode::RUSR | Mode::WUSR)?;
    let file = File::from(file);
    let length = file.metadata()?.len();
    Ok((file, length))
}
