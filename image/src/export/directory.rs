//! The tree of an ACI from a directory of this host, for apps whose roots are directories.
//!
//! It takes the way of a tree that a guest sent: one thread reads it, and what it says passes the same checks.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::thread;

use super::{ExportError, write_aci};

/// Writes an image with this manifest and the tree of this directory, and tells how many sockets were left out.
///
/// # Errors
/// As [`write_aci`], and when the directory cannot be read. What was written is worthless then.
pub fn write_aci_of(manifest: &[u8], root: OwnedFd, out: impl Write) -> Result<u64, ExportError> {
    let (tree, writer) = io::pipe()?;
    let writer = File::from(OwnedFd::from(writer));
    let reading = thread::spawn(move || bulkhead_archive::write_tree(root, writer));
    // Ends the pipe, and with it a reading that goes on for nobody.
    let written = write_aci(manifest, tree, out);
    let read = reading.join();
    let read = read.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    match written {
        // Half a tree is there because of what could not be read.
        Err(error) if error.is_truncation() => Err(read.err().map_or(error, ExportError::Tree)),
        Err(error) => Err(error),
        Ok(()) => Ok(read?),
    }
}

#[cfg(test)]
#[path = "directory_test.rs"]
mod tests;
