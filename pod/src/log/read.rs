//! Reading logs, of a pod that runs or of one that has exited.

use std::collections::{BTreeSet, VecDeque};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::{Dir, FileType, OFlags, fstat};
use rustix::io::Errno;
use thiserror::Error;

use super::{DIRECTORY, FILE_BYTES_MAX, RECORD_BYTES_MAX, Record, SUFFIX};
use super::{file_name, old_file_name};
use crate::found::FoundPod;
use crate::manifest::AcName;
use crate::record::open_below;

/// Entries of the directory that are looked at: two an app, and room for apps that were removed.
const ENTRIES_MAX: usize = 4096;

/// Bytes read at a time.
const READ_LENGTH: usize = 64 << 10;

/// A log that cannot be read.
#[derive(Debug, Error)]
#[error("read its {what}")]
pub struct LogError {
    what: String,
    /// Why.
    source: io::Error,
}

/// The logs of one pod.
#[derive(Debug)]
pub struct Logs(Arc<OwnedFd>);

impl Logs {
    /// Opens a pod's; none when it has none, because it has not run.
    ///
    /// # Errors
    ///
    /// When there is something in the directory's place that cannot be opened.
    pub fn open(pod: &FoundPod) -> Result<Option<Self>, LogError> {
        match open_below(pod.directory(), DIRECTORY, OFlags::DIRECTORY) {
            Ok(directory) => Ok(Some(Self(Arc::new(directory)))),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(failed(DIRECTORY)(error.into())),
        }
    }

    /// The apps that have written something.
    ///
    /// # Errors
    ///
    /// When the directory cannot be listed.
    pub fn apps(&self) -> Result<BTreeSet<AcName>, LogError> {
        let entries = Dir::read_from(&*self.0).map_err(|e| failed(DIRECTORY)(e.into()))?;
        let mut apps = BTreeSet::new();
        for entry in entries.take(ENTRIES_MAX) {
            let entry = entry.map_err(|e| failed(DIRECTORY)(e.into()))?;
            let name = entry.file_name().to_str().ok();
            let app = name.and_then(|name| name.strip_suffix(SUFFIX));
            apps.extend(app.and_then(|app| app.parse::<AcName>().ok()));
        }
        Ok(apps)
    }

    /// The log of an app, from its beginning. It may not be there yet.
    #[must_use]
    pub fn app(&self, name: &AcName) -> AppLog {
        AppLog {
            directory: Arc::clone(&self.0),
            name: name.clone(),
            files: VecDeque::new(),
            damaged: 0,
            missed: false,
        }
    }

    pub(super) fn directory(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// The log of one app, as far as it was read.
#[derive(Debug)]
pub struct AppLog {
    directory: Arc<OwnedFd>,
    name: AcName,
    /// The one that is being read, and those after it.
    files: VecDeque<LogFile>,
    damaged: u64,
    missed: bool,
}

impl AppLog {
    /// The next record; none when there is no more, for now.
    ///
    /// # Errors
    ///
    /// When a file is not what it should be or cannot be read.
    pub fn next_record(&mut self) -> Result<Option<Record>, LogError> {
        loop {
            let Some(file) = self.files.front_mut() else {
                if self.find_newer()? {
                    continue;
                }
                return Ok(None);
            };
            let name = &self.name;
            let found = file.next_record();
            match found.map_err(|source| failed(&file_name(name.as_str()))(source))? {
                Found::Record(record) => return Ok(Some(record)),
                Found::Damaged => self.damaged += 1,
                Found::End if self.files.len() > 1 => {
                    self.files.pop_front();
                }
                // What was written to it before it was put aside is still to be read.
                Found::End if self.find_newer()? => {}
                Found::End => return Ok(None),
            }
        }
    }

    /// Lines that were no records, since the last call.
    pub fn take_damaged(&mut self) -> u64 {
        std::mem::take(&mut self.damaged)
    }

    /// Whether files may have come and gone since the last call, before they were read.
    pub fn take_missed(&mut self) -> bool {
        std::mem::take(&mut self.missed)
    }

    /// Whether there are files after those that are known.
    fn find_newer(&mut self) -> Result<bool, LogError> {
        let known = self.files.back().map(|file| file.identity);
        if let Some(known) = known
            && self.identity()? == Some(known)
        {
            return Ok(false);
        }
        let (old, current) = loop {
            // In this order: what is put aside in between is seen twice, and never missed.
            let current = self.open(file_name(self.name.as_str()))?;
            let old = self.open(old_file_name(self.name.as_str()))?;
            let identity = |file: &Option<LogFile>| file.as_ref().map(|file| file.identity);
            if identity(&old).is_none() || identity(&old) != identity(&current) {
                break (old, current);
            }
        };
        let found: Vec<LogFile> = [old, current].into_iter().flatten().collect();
        let position = found.iter().position(|file| Some(file.identity) == known);
        if known.is_some() && position.is_none() && !found.is_empty() {
            self.missed = true;
        }
        let newer = position.map_or(0, |position| position + 1);
        let before = self.files.len();
        self.files.extend(found.into_iter().skip(newer));
        Ok(self.files.len() > before)
    }

    /// Of the file that records are added to.
    fn identity(&self) -> Result<Option<Identity>, LogError> {
        Ok(self
            .open(file_name(self.name.as_str()))?
            .map(|file| file.identity))
    }

    fn open(&self, name: String) -> Result<Option<LogFile>, LogError> {
        match LogFile::open(self.directory.as_fd(), &name) {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed(&name)(error)),
        }
    }
}

/// Device and inode.
type Identity = (u64, u64);

#[derive(Debug)]
struct LogFile {
    file: File,
    identity: Identity,
    buffer: Vec<u8>,
    /// Bytes of the buffer that were given.
    given: usize,
    /// Bytes of the file that were read.
    total: u64,
    /// The rest of a line that was too long is passed over.
    skips: bool,
}

enum Found {
    Record(Record),
    /// A line that is none.
    Damaged,
    /// No line that is whole.
    End,
}

impl LogFile {
    fn open(directory: BorrowedFd<'_>, name: &str) -> io::Result<Self> {
        let file = open_below(directory, name, OFlags::empty())?;
        let stat = fstat(&file)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(io::Error::other("it is no regular file"));
        }
        Ok(Self {
            file: file.into(),
            identity: (stat.st_dev, stat.st_ino),
            buffer: Vec::new(),
            given: 0,
            total: 0,
            skips: false,
        })
    }

    fn next_record(&mut self) -> io::Result<Found> {
        let mut searched = self.given;
        loop {
            let end = self.buffer[searched..].iter().position(|b| *b == b'\n');
            if let Some(end) = end.map(|end| searched + end) {
                let start = std::mem::replace(&mut self.given, end + 1);
                if std::mem::take(&mut self.skips) {
                    searched = self.given;
                    continue;
                }
                let record = Record::parse(&self.buffer[start..end]);
                return Ok(record.map_or(Found::Damaged, Found::Record));
            }
            self.buffer.drain(..self.given);
            self.given = 0;
            if self.skips {
                self.buffer.clear();
            }
            if self.buffer.len() > RECORD_BYTES_MAX {
                self.buffer.clear();
                self.skips = true;
                return Ok(Found::Damaged);
            }
            searched = self.buffer.len();
            if !self.read()? {
                return Ok(Found::End);
            }
        }
    }

    /// Whether there was more.
    fn read(&mut self) -> io::Result<bool> {
        let start = self.buffer.len();
        self.buffer.resize(start + READ_LENGTH, 0);
        let read = self.file.read(&mut self.buffer[start..]);
        let count = *read.as_ref().unwrap_or(&0);
        self.buffer.truncate(start + count);
        read?;
        self.total += u64::try_from(count).unwrap_or(u64::MAX);
        if self.total > FILE_BYTES_MAX {
            let problem = format!("it is longer than {FILE_BYTES_MAX} bytes");
            return Err(io::Error::other(problem));
        }
        Ok(count > 0)
    }
}

fn failed(file: &str) -> impl FnOnce(io::Error) -> LogError {
    let what = match file {
        DIRECTORY => "directory logs".to_owned(),
        file => format!("log {file}"),
    };
    move |source| LogError { what, source }
}
