//! An ACI of a tree that a guest sent: its bytes pass through unchanged, and are an archive of what lies below `rootfs/`, or an error.
//!
//! That is all that is said of it: whoever imports it takes it for as hostile as any other.

use std::io::{self, Read, Write};

use crate::bytes::Escaped;
use crate::limits::{MAX_ENTRIES, MAX_IMAGE_BYTES};
use crate::tar::{EntryKind, Stream, TarError, TarReader};
use crate::tree::{TreeError, TreePath};

/// Where an ACI has its tree.
const ROOT: &[u8] = b"rootfs";

/// Bytes of an archive: those of the largest image, and headers.
const MAX_BYTES: u64 = 2 * MAX_IMAGE_BYTES;

/// A tree that makes no image.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The image cannot be written.
    #[error("write the image")]
    Write(#[from] io::Error),
    /// What came is no archive.
    #[error("the tree that the pod sent")]
    Tar(#[from] TarError),
    /// A name that cannot be.
    #[error("the tree that the pod sent: \"{0}\"")]
    Path(Escaped, #[source] TreeError),
    /// An entry that is not of the tree.
    #[error("the tree that the pod sent: \"{0}\" is not below rootfs")]
    Outside(Escaped),
    /// Too much.
    #[error("the tree that the pod sent has more than {MAX_ENTRIES} entries")]
    Entries,
}

/// Writes an image with this manifest and tree.
///
/// # Errors
/// When the tree is no archive of what lies below `rootfs/`, has too much, or the image cannot be written. What was written is
/// worthless then.
pub fn write_aci(manifest: &[u8], tree: impl Read, mut out: impl Write) -> Result<(), ExportError> {
    let mut header = tar::Header::new_ustar();
    header.set_path("manifest")?;
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    let size = u64::try_from(manifest.len()).map_err(io::Error::other)?;
    header.set_size(size);
    header.set_cksum();
    out.write_all(header.as_bytes())?;
    out.write_all(manifest)?;
    let padding = manifest.len().next_multiple_of(BLOCK) - manifest.len();
    out.write_all(&[0; BLOCK][..padding])?;

    let mut reader = TarReader::new(Stream(Passing {
        tree: tree.take(MAX_BYTES),
        out: &mut out,
    }));
    let mut entries = 0;
    while let Some(entry) = reader.next_entry()? {
        entries += 1;
        if entries > MAX_ENTRIES {
            return Err(ExportError::Entries);
        }
        check(&entry.path)?;
        if let EntryKind::HardLink { target } = &entry.kind {
            check(target)?;
        }
    }
    reader.drain()?;
    Ok(out.flush()?)
}

/// The unit of an archive.
const BLOCK: usize = 512;

fn check(path: &[u8]) -> Result<(), ExportError> {
    let bad = |error| ExportError::Path(Escaped::new(path), error);
    TreePath::parse(path, "name").map_err(bad)?;
    let below = path.strip_prefix(ROOT);
    match below.is_some_and(|rest| rest.is_empty() || rest[0] == b'/') {
        true => Ok(()),
        false => Err(ExportError::Outside(Escaped::new(path))),
    }
}

/// What is read is written too.
struct Passing<R, W> {
    tree: R,
    out: W,
}

impl<R: Read, W: Write> Read for Passing<R, W> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.tree.read(buffer)?;
        self.out.write_all(&buffer[..count])?;
        Ok(count)
    }
}

#[cfg(test)]
#[path = "export_test.rs"]
mod tests;
