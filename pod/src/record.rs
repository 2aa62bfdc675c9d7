//! What a pod's directory tells about the pod.
//!
//! The directory `rkt` in it is written by the relay, a process that speaks to the guest and may be anybody's: no link is
//! followed on the way to a file, only regular files are read, and none past its bound.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, ResolveFlags, Stat, fstat, openat2, readlinkat, statat,
};
use rustix::io::Errno;
use thiserror::Error;

use crate::found::FoundPod;
use crate::lifecycle::STAGE1_ID;
use crate::manifest::{AcName, ImageManifest, MANIFEST_BYTES_MAX, ManifestError, PodManifest};

/// A number in decimal, a sign and a newline.
const NUMBER_BYTES_MAX: usize = 16;

/// `sha512-`, 128 digits, and room for a newline and for other stores' names.
const ID_BYTES_MAX: usize = 256;

/// Its time of modification is when the pod was made.
const CREATED: &str = "pod-created";

/// The files with the process id of a running pod, and whether it is the parent of the one to enter.
const PID_FILES: [(&str, bool); 2] = [("pid", false), ("ppid", true)];

/// The directory of the apps' statuses.
const STATUS: &str = "stage1/rootfs/rkt/status";

/// The link that says that a pod's apps are started, and what it says.
const READINESS: (&str, &[u8]) = ("stage1/rootfs/rkt/supervisor-status", b"ready");

/// A file of a pod that is not what it should be.
#[derive(Debug, Error)]
pub enum RecordError {
    /// It cannot be read.
    #[error("read its file {file}")]
    Read {
        /// Below the pod's directory.
        file: String,
        /// Why.
        source: io::Error,
    },
    /// It is no valid manifest.
    #[error("read its file {file}")]
    Manifest {
        /// Below the pod's directory.
        file: String,
        /// What is wrong with it.
        source: ManifestError,
    },
    /// It is there in every pod of this state.
    #[error("its file {file} is missing")]
    Missing {
        /// Below the pod's directory.
        file: String,
    },
}

/// The process that a pod lives in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PodProcess {
    /// Its id. After the pod's end the number may be another process's.
    pub pid: i32,
    /// When it was written down: the pod had started.
    pub started: SystemTime,
    /// Whether its child is the process to enter (rkt: stage1 has written `ppid`).
    pub is_parent: bool,
}

impl PodProcess {
    /// The process to enter. Of a parent it is the child, which comes a moment later.
    ///
    /// # Errors
    ///
    /// When the kernel does not tell children.
    pub fn to_enter(&self) -> io::Result<Option<i32>> {
        if !self.is_parent {
            return Ok(Some(self.pid));
        }
        let pid = self.pid;
        let children = match fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            children => children?,
        };
        let first = children.split_whitespace().next();
        Ok(first.and_then(|child| child.parse().ok()))
    }
}

/// How an app ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AppExit {
    /// Its exit code, 128 + n for signal n.
    pub code: i32,
    /// When that was written down.
    pub time: SystemTime,
}

/// What a mutable pod tells of an app.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AppTimes {
    /// When it was added, if it is there.
    pub created: Option<SystemTime>,
    /// When it was started last, if it was.
    pub started: Option<SystemTime>,
}

impl FoundPod {
    /// The pod's manifest as it stands in its file. A pod that is being prepared may have none yet, one that is being
    /// deleted none any more.
    ///
    /// # Errors
    ///
    /// When there is one that cannot be read.
    pub fn manifest_json(&self) -> Result<Option<Vec<u8>>, RecordError> {
        Ok(self.read("pod", MANIFEST_BYTES_MAX)?.map(|file| file.0))
    }

    /// The same, checked.
    ///
    /// # Errors
    ///
    /// When there is one that cannot be read or is not valid.
    pub fn manifest(&self) -> Result<Option<PodManifest>, RecordError> {
        let json = self.manifest_json()?;
        json.map(|json| PodManifest::parse(&json))
            .transpose()
            .map_err(|source| RecordError::Manifest {
                file: "pod".to_owned(),
                source,
            })
    }

    /// The manifest of an app's image.
    ///
    /// # Errors
    ///
    /// When it cannot be read, is not valid, or is not there.
    pub fn image_manifest(&self, app: &AcName) -> Result<ImageManifest, RecordError> {
        let file = format!("appsinfo/{app}/manifest");
        match self.read(&file, MANIFEST_BYTES_MAX)? {
            None => Err(RecordError::Missing { file }),
            Some((json, _)) => {
                ImageManifest::parse(&json).map_err(|source| RecordError::Manifest { file, source })
            }
        }
    }

    /// The id of the image of the store that its stage1 was made of; none when that lay elsewhere.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub fn stage1_id(&self) -> Result<Option<String>, RecordError> {
        let id = self.read(STAGE1_ID, ID_BYTES_MAX)?;
        Ok(id.map(|(bytes, _)| String::from_utf8_lossy(&bytes).trim().to_owned()))
    }

    /// When it was prepared, if it has been.
    ///
    /// # Errors
    ///
    /// When the file that tells cannot be looked at.
    pub fn created(&self) -> Result<Option<SystemTime>, RecordError> {
        // Of what ever kind it is, its time is all that counts.
        match statat(self.directory(), CREATED, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(modified(&stat))),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(RecordError::Read {
                file: CREATED.to_owned(),
                source: error.into(),
            }),
        }
    }

    /// The process that is or was the pod, if it has started.
    ///
    /// # Errors
    ///
    /// When the file that tells cannot be read.
    pub fn process(&self) -> Result<Option<PodProcess>, RecordError> {
        for (file, is_parent) in PID_FILES {
            if let Some((pid, stat)) = self.number(file)? {
                return Ok(Some(PodProcess {
                    pid,
                    started: modified(&stat),
                    is_parent,
                }));
            }
        }
        Ok(None)
    }

    /// How an app ended, if it has and somebody was there to write it down.
    ///
    /// # Errors
    ///
    /// When the file that tells cannot be read.
    pub fn app_exit(&self, app: &AcName) -> Result<Option<AppExit>, RecordError> {
        let status = self.number(&format!("stage1/rootfs/rkt/status/{app}"))?;
        Ok(status.map(|(code, stat)| AppExit {
            code,
            time: modified(&stat),
        }))
    }

    /// Since when an app of a mutable pod is there, and runs.
    #[must_use]
    pub fn app_times(&self, app: &AcName) -> AppTimes {
        let Ok(status) = open_below(self.directory(), STATUS, OFlags::DIRECTORY) else {
            return AppTimes::default();
        };
        let time = |end| {
            let stat = statat(&status, format!("{app}-{end}"), AtFlags::SYMLINK_NOFOLLOW);
            stat.ok().map(|stat| modified(&stat))
        };
        AppTimes {
            created: time("created"),
            started: time("started"),
        }
    }

    /// Whether its apps have been started, and it has not ended since in any orderly way.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        let (file, ready) = READINESS;
        let directory = file.rsplit_once('/').map_or("", |(directory, _)| directory);
        let Ok(directory) = open_below(self.directory(), directory, OFlags::DIRECTORY) else {
            return false;
        };
        let name = file.rsplit('/').next().unwrap_or_default();
        let target = readlinkat(directory, name, Vec::new());
        target.is_ok_and(|target| target.as_bytes() == ready)
    }

    fn number(&self, file: &str) -> Result<Option<(i32, Stat)>, RecordError> {
        let Some((bytes, stat)) = self.read(file, NUMBER_BYTES_MAX)? else {
            return Ok(None);
        };
        let text = str::from_utf8(&bytes).unwrap_or_default().trim();
        match text.parse() {
            Ok(number) => Ok(Some((number, stat))),
            Err(_) => Err(RecordError::Read {
                file: file.to_owned(),
                source: invalid(format!("{text:?} is no number")),
            }),
        }
    }

    fn read(&self, file: &str, most: usize) -> Result<Option<(Vec<u8>, Stat)>, RecordError> {
        read_below(self.directory(), file, most).map_err(|source| RecordError::Read {
            file: file.to_owned(),
            source,
        })
    }
}

fn invalid(problem: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, problem)
}

/// Opens what lies below a directory, itself and not what some link names.
pub(crate) fn open_below(
    directory: BorrowedFd<'_>,
    path: &str,
    flags: OFlags,
) -> Result<std::os::fd::OwnedFd, Errno> {
    // A pipe without a writer is opened at once, and then refused for being none of ours.
    let flags = flags | OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    openat2(directory, path, flags, Mode::empty(), resolve)
}

/// Reads a file below a directory; none when it is not there.
pub(crate) fn read_below(
    directory: BorrowedFd<'_>,
    path: &str,
    most: usize,
) -> io::Result<Option<(Vec<u8>, Stat)>> {
    let file = match open_below(directory, path, OFlags::empty()) {
        Ok(file) => file,
        Err(Errno::NOENT) => return Ok(None),
        Err(Errno::LOOP) => return Err(invalid("a symbolic link is on the way".to_owned())),
        Err(error) => return Err(error.into()),
    };
    let stat = fstat(file.as_fd())?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(invalid("it is no regular file".to_owned()));
    }
    let size = usize::try_from(stat.st_size).unwrap_or(most).min(most);
    // One byte more, to see the end: most files are read by a single call.
    let mut bytes = vec![0; size + 1];
    let mut length = 0;
    loop {
        let read = rustix::io::read(&file, &mut bytes[length..])?;
        length += read;
        // A regular file gives less than it is asked for only at its end.
        if length < bytes.len() || length > most {
            break;
        }
        bytes.resize(most + 1, 0);
    }
    bytes.truncate(length);
    if bytes.len() > most {
        return Err(invalid(format!("it is longer than {most} bytes")));
    }
    Ok(Some((bytes, stat)))
}

/// A time that nothing can represent is the first one that there is.
fn modified(stat: &Stat) -> SystemTime {
    let nanoseconds = Duration::from_nanos(stat.st_mtime_nsec);
    let seconds = Duration::from_secs(stat.st_mtime.unsigned_abs());
    let time = if stat.st_mtime < 0 {
        UNIX_EPOCH.checked_sub(seconds)
    } else {
        UNIX_EPOCH.checked_add(seconds)
    };
    time.and_then(|time| time.checked_add(nanoseconds))
        .unwrap_or(UNIX_EPOCH)
}

#[cfg(test)]
#[path = "record_test.rs"]
mod tests;
