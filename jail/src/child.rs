//! A process that was started, by a descriptor that names no other process ever.

use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::process::{Signal, WaitId, WaitIdOptions, pidfd_send_signal, waitid};

use crate::confine::{FAILURE_BYTES, Step};

/// A confined process. Dropping it kills the process and reaps it.
#[derive(Debug)]
pub struct Child {
    pidfd: OwnedFd,
    /// Tells what failed between fork and exec; at its end when nothing did.
    pub(crate) failure: Option<OwnedFd>,
    reaped: bool,
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It exited with this code.
    Code(u8),
    /// A signal of this number killed it.
    Signal(u8),
}

/// A process that never ran its program, or cannot be waited for.
#[derive(Debug, thiserror::Error)]
pub enum WaitError {
    /// A step between fork and exec failed.
    #[error("confine a process: {step}")]
    Confine {
        /// The step.
        step: Step,
        /// Why it failed.
        source: io::Error,
    },
    /// The kernel would not tell.
    #[error("wait for a process")]
    Wait {
        /// Why.
        source: io::Error,
    },
}

impl Child {
    pub(crate) fn new(pidfd: OwnedFd, failure: OwnedFd) -> Self {
        Self {
            pidfd,
            failure: Some(failure),
            reaped: false,
        }
    }

    /// Readable when the process has ended.
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// Kills it, if it is still there.
    pub fn kill(&self) {
        // The one possible failure is that it has ended.
        let _ = pidfd_send_signal(&self.pidfd, Signal::KILL);
    }

    /// Waits until it has ended, and reaps it.
    ///
    /// # Errors
    /// When it never ran its program.
    pub fn wait(mut self) -> Result<Ended, WaitError> {
        let ended = self.reap().map_err(|source| WaitError::Wait { source })?;
        match self.failure.take().and_then(read_failure) {
            Some((step, source)) => Err(WaitError::Confine { step, source }),
            None => Ok(ended),
        }
    }

    fn reap(&mut self) -> io::Result<Ended> {
        let status = loop {
            match waitid(WaitId::PidFd(self.pidfd.as_fd()), WaitIdOptions::EXITED) {
                Err(rustix::io::Errno::INTR) => {}
                other => break other?,
            }
        };
        self.reaped = true;
        let byte = |number: Option<i32>| number.and_then(|n| u8::try_from(n).ok());
        let status = status.ok_or_else(|| io::Error::other("no status"))?;
        match (
            byte(status.exit_status()),
            byte(status.terminating_signal()),
        ) {
            (Some(code), _) => Ok(Ended::Code(code)),
            (None, Some(signal)) => Ok(Ended::Signal(signal)),
            (None, None) => Err(io::Error::other("neither an exit code nor a signal")),
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if !self.reaped {
            self.kill();
            let _ = self.reap();
        }
    }
}

fn read_failure(pipe: OwnedFd) -> Option<(Step, io::Error)> {
    let mut message = [0; FAILURE_BYTES];
    std::fs::File::from(pipe).read_exact(&mut message).ok()?;
    let [step, errno @ ..] = message;
    let step = Step::from_byte(step)?;
    Some((
        step,
        io::Error::from_raw_os_error(i32::from_le_bytes(errno)),
    ))
}
