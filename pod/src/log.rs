//! The apps' logs in a pod's directory: files of records, one a line.
//!
//! ```text
//! POD/logs/APP.json      what app APP wrote last
//! POD/logs/APP.json.1    what it wrote before
//! ```
//!
//! The relay writes them, a process that speaks to the guest and may be anybody's: what is read here is read with bounds.

pub mod follow;
mod read;
mod record;

#[cfg(test)]
#[path = "log_test.rs"]
mod tests;

pub use read::{AppLog, LogError, Logs};
pub use record::{Content, NotARecord, Output, Record, Stamp};

/// The directory's name in the pod's.
pub const DIRECTORY: &str = "logs";

/// Longest file. An app has two.
pub const FILE_BYTES_MAX: u64 = 8 << 20;

/// Longest text of one record. What is longer is cut into several.
pub const TEXT_BYTES_MAX: usize = 16 << 10;

/// Longest record with the end of its line: JSON needs six bytes for a control character.
pub const RECORD_BYTES_MAX: usize = 6 * TEXT_BYTES_MAX + 128;

/// The file that an app's records are added to.
#[must_use]
pub fn file_name(app: &str) -> String {
    format!("{app}{SUFFIX}")
}

/// The file before it.
#[must_use]
pub fn old_file_name(app: &str) -> String {
    format!("{app}{SUFFIX}.1")
}

const SUFFIX: &str = ".json";
