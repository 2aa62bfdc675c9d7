//! The apps' writable disks: each a sparse copy of an empty file system that was made with the stage1 image. The image's file ends where
//! its data does; a copy has the size of the file system.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, SeekFrom, copy_file_range, ftruncate, ioctl_ficlone, open, seek};
use rustix::io::Errno;

/// What is copied at a time where the kernel does not copy.
const COPY_BYTES: usize = 64 << 10;

/// A scratch disk that cannot be made.
#[derive(Debug, thiserror::Error)]
#[error("make the scratch disk {path}")]
pub struct ScratchError {
    path: PathBuf,
    source: io::Error,
}

/// Where an ext4's superblock begins (`linux/fs/ext4/ext4.h`).
const SUPERBLOCK: u64 = 1024;

/// Bytes of the file system in a template.
///
/// # Errors
/// When the superblock cannot be read, or the file is longer than the file system.
pub fn length(template: &File) -> io::Result<u64> {
    let number = |at| -> io::Result<u32> {
        let mut bytes = [0; 4];
        template.read_exact_at(&mut bytes, SUPERBLOCK + at)?;
        Ok(u32::from_le_bytes(bytes))
    };
    let (low, size, high) = (number(4)?, number(24)?, number(0x150)?);
    let blocks = u64::from(high) << 32 | u64::from(low);
    let length = 1024_u64
        .checked_shl(size)
        .and_then(|block| block.checked_mul(blocks));
    match length {
        Some(length) if length >= template.metadata()?.len() => Ok(length),
        _ => Err(io::Error::other("its superblock has a wrong size")),
    }
}

/// Makes `path` a copy of `template` with this length, and opens it for reading and writing. Holes stay holes; where the file system can
/// share blocks, nothing is copied at all.
///
/// # Errors
/// When the file exists, or cannot be written. What was made of it is removed.
pub fn create(template: &File, length: u64, path: &Path) -> Result<File, ScratchError> {
    let failed = |source| ScratchError {
        path: path.to_owned(),
        source,
    };
    let file = File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open(path)
        .map_err(failed)?;
    match fill(template, &file).and_then(|()| Ok(ftruncate(&file, length)?)) {
        Ok(()) => Ok(file),
        Err(error) => {
            // The first error is the one to tell.
            let _ = std::fs::remove_file(path);
            Err(failed(error))
        }
    }
}

/// A copy that has no name and goes with its descriptor, in `directory`.
///
/// # Errors
/// When it cannot be written.
pub fn copy_without_name(original: &File, directory: &Path) -> Result<File, ScratchError> {
    let failed = |source| ScratchError {
        path: directory.to_owned(),
        source,
    };
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    let file =
        open(directory, flags, Mode::RUSR | Mode::WUSR).map_err(|errno| failed(errno.into()))?;
    let file = File::from(file);
    fill(original, &file).map_err(failed)?;
    Ok(file)
}

fn fill(template: &File, file: &File) -> io::Result<()> {
    if ioctl_ficlone(file, template).is_ok() {
        return Ok(());
    }
    let length = template.metadata()?.len();
    ftruncate(file, length)?;
    let mut offset = 0;
    // No data from here on: only a hole is left.
    while let Some(start) = next(template, SeekFrom::Data(offset))? {
        let end = next(template, SeekFrom::Hole(start))?.unwrap_or(length);
        copy(template, file, start, end)?;
        offset = end;
    }
    Ok(())
}

fn next(file: &File, from: SeekFrom) -> io::Result<Option<u64>> {
    match seek(file, from) {
        Ok(offset) => Ok(Some(offset)),
        Err(Errno::NXIO) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn copy(from: &File, to: &File, start: u64, end: u64) -> io::Result<()> {
    let (mut read, mut written) = (start, start);
    while read < end {
        let left = usize::try_from(end - read).unwrap_or(usize::MAX);
        match copy_file_range(from, Some(&mut read), to, Some(&mut written), left) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) => {}
            // Of an image that somebody mounted, an overlay of it say.
            Err(Errno::XDEV) => return copy_by_hand(from, to, read, end),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// From one file system to another, which the kernel does not do by itself.
fn copy_by_hand(from: &File, to: &File, start: u64, end: u64) -> io::Result<()> {
    let mut buffer = vec![0; COPY_BYTES];
    let mut at = start;
    while at < end {
        let left = usize::try_from(end - at).unwrap_or(usize::MAX);
        let part = &mut buffer[..left.min(COPY_BYTES)];
        from.read_exact_at(part, at)?;
        to.write_all_at(part, at)?;
        at += part.len() as u64;
    }
    Ok(())
}

#[cfg(test)]
#[path = "scratch_test.rs"]
mod tests;
