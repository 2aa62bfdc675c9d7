//! The files by which others learn of the pod, below one directory descriptor.
//!
//! `status/APP` holds an app's exit code in decimal; `supervisor-status` is a link to `ready` while the apps run (rkt,
//! stage1 interface).

use std::io;
use std::os::fd::OwnedFd;

use bulkhead_protocol::plan::AppName;
use rustix::fs::{AtFlags, Mode, OFlags, openat, renameat, symlinkat, unlinkat};
use rustix::io::write;

const READINESS: &str = "supervisor-status";

/// The directory `rkt` of the stage1's root.
#[derive(Debug)]
pub struct StatusDirectory(OwnedFd);

impl StatusDirectory {
    /// Takes the directory.
    pub fn new(directory: OwnedFd) -> Self {
        Self(directory)
    }

    /// Writes an app's exit code, at once or not at all.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write_code(&self, app: &AppName, code: u8) -> io::Result<()> {
        // No app's name begins with a dot.
        let temporary = format!("status/.{app}");
        let flags =
            OFlags::CREATE | OFlags::TRUNC | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = openat(&self.0, &temporary, flags, Mode::from_raw_mode(0o644))?;
        // A few bytes: written whole, or not at all.
        write(&file, code.to_string().as_bytes())?;
        renameat(&self.0, &temporary, &self.0, format!("status/{app}"))?;
        Ok(())
    }

    /// Says that the pod is ready.
    ///
    /// # Errors
    /// When the link cannot be made.
    pub fn set_ready(&self) -> io::Result<()> {
        match symlinkat("ready", &self.0, READINESS) {
            Err(rustix::io::Errno::EXIST) => Ok(()),
            other => other.map_err(Into::into),
        }
    }

    /// Says that it no longer is.
    pub fn clear_ready(&self) {
        // It may never have been.
        let _ = unlinkat(&self.0, READINESS, AtFlags::empty());
    }
}
