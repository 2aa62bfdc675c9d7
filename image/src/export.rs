//! An ACI of a tree that a pod sent: its bytes pass through unchanged, and are an archive of what lies below `rootfs/`, or an error.
//!
//! That is all that is said of it: whoever imports it takes it for as hostile as any other.

mod directory;

use std::cell::{Cell, RefCell};
use std::io::{self, Read, Write};

use crate::bytes::Escaped;
use crate::limits::{MAX_ENTRIES, MAX_IMAGE_BYTES};
use crate::tar::{EntryKind, Stream, TarError, TarReader};
use crate::tree::{TreeError, TreePath};

pub use directory::write_aci_of;

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
    /// The directory cannot be read.
    #[error("the app's directory")]
    Tree(#[from] bulkhead_archive::TreeError),
    /// What came is no archive.
    #[error("the tree that the pod sent")]
    Tar(#[from] TarError),
    /// A name that cannot be.
    #[error("the tree that the pod sent: \"{0}\"")]
    Path(Escaped, #[source] TreeError),
    /// An entry that is not of the tree.
    #[error("the tree that the pod sent: \"{0}\" is not below rootfs")]
    Outside(Escaped),
    /// Too many.
    #[error("the tree that the pod sent has more than {MAX_ENTRIES} entries")]
    Entries,
    /// Too much.
    #[error("the tree that the pod sent has more than {MAX_BYTES} bytes")]
    Bytes,
}

impl ExportError {
    /// Whether the tree just ended too early, for which its sender has a reason.
    #[must_use]
    pub fn is_truncation(&self) -> bool {
        let ended = |error: &TarError| {
            matches!(
                error,
                TarError::Truncated { .. } | TarError::NoEndMarker { .. }
            )
        };
        matches!(self, Self::Tar(error) if ended(error))
    }
}

/// Writes an image with this manifest and tree.
///
/// # Errors
/// When the tree is no archive of what lies below `rootfs/`, has too much, or the image cannot be written. What was written is
/// worthless then.
pub fn write_aci(manifest: &[u8], tree: impl Read, mut out: impl Write) -> Result<(), ExportError> {
    write_manifest(manifest, &mut out)?;
    let passage = Passage {
        passes: Cell::new(true),
        failure: RefCell::new(None),
    };
    let mut reader = TarReader::new(Stream(Passing {
        tree,
        left: MAX_BYTES,
        out: &mut out,
        passage: &passage,
    }));
    let checked = check_all(&mut reader).and_then(|()| {
        // Its sender may have more to say, which is not of the archive.
        passage.passes.set(false);
        Ok(reader.drain()?)
    });
    match passage.failure.take() {
        Some(failure) => Err(failure),
        None => checked.and_then(|()| Ok(out.flush()?)),
    }
}

fn write_manifest(manifest: &[u8], out: &mut impl Write) -> io::Result<()> {
    let mut header = tar::Header::new_ustar();
    header.set_path("manifest")?;
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(u64::try_from(manifest.len()).map_err(io::Error::other)?);
    header.set_cksum();
    out.write_all(header.as_bytes())?;
    out.write_all(manifest)?;
    let padding = manifest.len().next_multiple_of(BLOCK) - manifest.len();
    out.write_all(&[0; BLOCK][..padding])
}

fn check_all<R: Read>(reader: &mut TarReader<Stream<R>>) -> Result<(), ExportError> {
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
    Ok(())
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

/// What of a tree becomes the image's.
struct Passage {
    passes: Cell<bool>,
    /// Why it did not go on, when that was not the tree's own fault.
    failure: RefCell<Option<ExportError>>,
}

/// What is read is written too.
struct Passing<'a, R, W> {
    tree: R,
    left: u64,
    out: W,
    passage: &'a Passage,
}

impl<R: Read, W: Write> Read for Passing<'_, R, W> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.tree.read(buffer)?;
        let fails = |failure| {
            *self.passage.failure.borrow_mut() = Some(failure);
            io::Error::other("the image is given up")
        };
        let left = self.left.checked_sub(count as u64);
        self.left = left.ok_or_else(|| fails(ExportError::Bytes))?;
        if self.passage.passes.get() {
            let written = self.out.write_all(&buffer[..count]);
            written.map_err(|error| fails(ExportError::Write(error)))?;
        }
        Ok(count)
    }
}

#[cfg(test)]
#[path = "export_test.rs"]
mod tests;
