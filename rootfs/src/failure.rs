//! The one error of this crate: an operation on a file that failed.

use std::io;
use std::path::{Path, PathBuf};

/// Why an output was not made.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// An operation on a file failed.
    #[error("cannot {action} {}", path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// `mke2fs` could not be started.
    #[error("cannot run mke2fs; install it with: apt-get install e2fsprogs")]
    NoMke2fs(#[source] io::Error),
    /// `mke2fs` ended with an error.
    #[error("mke2fs failed for {}: {message}", path.display())]
    Mke2fs {
        /// The file to be formatted.
        path: PathBuf,
        /// What it said.
        message: String,
    },
}

impl Failure {
    /// For `map_err`: names the operation and its file.
    pub(crate) fn of(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::File {
            action,
            path,
            source,
        }
    }
}
