//! The files by which others learn of the pod, below one directory descriptor.
//!
//! `status/APP` holds an app's exit code in decimal; in a mutable pod `status/APP-created` is there when the app is, and
//! `status/APP-started` since it was started; `supervisor-status` is a link to `ready` from when all apps are ready to the end (rkt,
//! stage1 interface).

use std::io;
use std::os::fd::OwnedFd;

use bulkhead_protocol::plan::AppName;
use rustix::fs::{AtFlags, Mode, OFlags, openat, renameat, symlinkat, unlinkat};
use rustix::io::write;

use super::session::AppChange;

const READINESS: &str = "supervisor-status";

/// What the names of an app's files end with (rkt).
const CREATED: &str = "-created";
const STARTED: &str = "-started";

/// The directory `rkt` of the stage1's root; none where nobody is to learn of the pod, and then nothing is written.
#[derive(Debug)]
pub struct StatusDirectory(Option<OwnedFd>);

impl StatusDirectory {
    /// Takes the directory.
    pub fn new(directory: Option<OwnedFd>) -> Self {
        Self(directory)
    }

    /// Writes an app's exit code, at once or not at all.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write_code(&self, app: &AppName, code: u8) -> io::Result<()> {
        let Some(directory) = &self.0 else {
            return Ok(());
        };
        // No app's name begins with a dot.
        let temporary = format!("status/.{app}");
        let flags =
            OFlags::CREATE | OFlags::TRUNC | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = openat(directory, &temporary, flags, Mode::from_raw_mode(0o644))?;
        // A few bytes: written whole, or not at all.
        write(&file, code.to_string().as_bytes())?;
        renameat(directory, &temporary, directory, format!("status/{app}"))?;
        Ok(())
    }

    /// Writes down what happened to an app of a mutable pod: by empty files, whose times are when it was.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn note(&self, app: &AppName, change: AppChange) -> io::Result<()> {
        let (created, started) = (
            format!("status/{app}{CREATED}"),
            format!("status/{app}{STARTED}"),
        );
        let code = format!("status/{app}");
        match change {
            AppChange::Added => self.touch(&created),
            AppChange::Started => {
                self.remove(&code);
                self.remove(&started);
                self.touch(&started)
            }
            AppChange::Removed => {
                [&code, &started, &created]
                    .iter()
                    .for_each(|file| self.remove(file));
                Ok(())
            }
        }
    }

    fn touch(&self, file: &str) -> io::Result<()> {
        let Some(directory) = &self.0 else {
            return Ok(());
        };
        let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        openat(directory, file, flags, Mode::from_raw_mode(0o644))?;
        Ok(())
    }

    fn remove(&self, file: &str) {
        if let Some(directory) = &self.0 {
            // It may never have been.
            let _ = unlinkat(directory, file, AtFlags::empty());
        }
    }

    /// Says that the pod is ready.
    ///
    /// # Errors
    /// When the link cannot be made.
    pub fn set_ready(&self) -> io::Result<()> {
        let Some(directory) = &self.0 else {
            return Ok(());
        };
        match symlinkat("ready", directory, READINESS) {
            Err(rustix::io::Errno::EXIST) => Ok(()),
            other => other.map_err(Into::into),
        }
    }

    /// Says that it no longer is.
    pub fn clear_ready(&self) {
        if let Some(directory) = &self.0 {
            // It may never have been.
            let _ = unlinkat(directory, READINESS, AtFlags::empty());
        }
    }
}
