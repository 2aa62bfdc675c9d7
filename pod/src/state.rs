//! What a pod is doing, by where its directory lies and whether somebody holds its lock.

use std::fmt;

use crate::lifecycle::Phase;

/// The state of a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Its directory is being made.
    Embryo,
    /// Its files are being put together.
    Preparing,
    /// They never will be.
    AbortedPrepare,
    /// Ready to run.
    Prepared,
    /// Its apps run, or are about to.
    Running,
    /// It has run.
    Exited,
    /// It has run, and is marked for deletion.
    ExitedGarbage,
    /// It has run, and is being deleted.
    ExitedDeleting,
    /// It never ran, and is marked for deletion.
    Garbage,
    /// It never ran, and is being deleted.
    Deleting,
}

impl State {
    pub(crate) fn of(phase: Phase, locked: bool) -> Self {
        match (phase, locked) {
            (Phase::Embryo, _) => Self::Embryo,
            (Phase::Prepare, true) => Self::Preparing,
            (Phase::Prepare, false) => Self::AbortedPrepare,
            (Phase::Prepared, _) => Self::Prepared,
            (Phase::Run, true) => Self::Running,
            (Phase::Run, false) => Self::Exited,
            (Phase::ExitedGarbage, true) => Self::ExitedDeleting,
            (Phase::ExitedGarbage, false) => Self::ExitedGarbage,
            (Phase::Garbage, true) => Self::Deleting,
            (Phase::Garbage, false) => Self::Garbage,
        }
    }

    /// As rkt calls it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Embryo => "embryo",
            Self::Preparing => "preparing",
            Self::AbortedPrepare => "aborted prepare",
            Self::Prepared => "prepared",
            Self::Running => "running",
            Self::Exited => "exited",
            Self::ExitedGarbage => "exited garbage",
            Self::ExitedDeleting => "exited deleting",
            Self::Garbage => "garbage",
            Self::Deleting => "deleting",
        }
    }

    /// Whether it has run and runs no more.
    #[must_use]
    pub fn has_exited(self) -> bool {
        matches!(
            self,
            Self::Exited | Self::ExitedGarbage | Self::ExitedDeleting
        )
    }

    /// Whether it will never run, or never again.
    #[must_use]
    pub fn is_finished(self) -> bool {
        let never_ran = [Self::AbortedPrepare, Self::Garbage, Self::Deleting];
        self.has_exited() || never_ran.contains(&self)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
#[path = "state_test.rs"]
mod tests;
