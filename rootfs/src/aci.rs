//! An image directory as one file: an App Container image (specification 0.8.11), a tar archive under gzip.
//!
//! The same content makes the same bytes. Entries are in order of their paths; owner is root and time is 0; a file's
//! mode says whether it can be executed, and nothing of the caller's umask. Which of its zeros are holes on disk does
//! not matter either.
//!
//! Absent on purpose: sparse entries, which not every reader of ACIs takes. Holes are zeros, and those cost a
//! thousandth of their size.

use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;
use tar::{EntryType, Header};

use crate::{Failure, gzip};

/// Headers and contents begin at multiples of this.
const BLOCK_BYTES: u64 = 512;
/// Two blocks of zeros end an archive.
const END_BYTES: u64 = 2 * BLOCK_BYTES;

/// Writes the image directory `image` as an ACI to `output`, and returns its size in bytes.
///
/// The file is written beside and takes its name by one rename.
///
/// # Errors
/// The directory cannot be read or has something else in it than files and directories, or the output cannot
/// be written.
pub fn write(image: &Path, output: &Path) -> Result<u64, Failure> {
    let mut beside = output.as_os_str().to_owned();
    beside.push(format!(".{}", std::process::id()));
    let beside = PathBuf::from(beside);
    let written = archive(image, &beside).and_then(|size| {
        fs::rename(&beside, output).map_err(Failure::of("put in place", output))?;
        Ok(size)
    });
    if written.is_err() {
        // There is nothing to remove if it could not be created; the cause is the error.
        let _ = fs::remove_file(&beside);
    }
    written
}

fn archive(image: &Path, output: &Path) -> Result<u64, Failure> {
    let file = File::create(output).map_err(Failure::of("create", output))?;
    let mut writer =
        gzip::Writer::new(BufWriter::new(file)).map_err(Failure::of("write", output))?;
    let mut directories = vec![image.to_owned()];
    let mut paths = Vec::new();
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).map_err(Failure::of("list", &directory))? {
            let entry = entry.map_err(Failure::of("list", &directory))?;
            let path = entry.path();
            let kind = entry.file_type().map_err(Failure::of("look at", &path))?;
            if kind.is_dir() {
                directories.push(path.clone());
            }
            paths.push(path);
        }
    }
    paths.sort();
    for path in paths {
        let name = path.strip_prefix(image).unwrap_or(&path);
        append(&mut writer, &path, name).map_err(Failure::of("archive", &path))?;
    }
    writer
        .write_zeros(END_BYTES)
        .and_then(|()| writer.finish())
        .and_then(|buffer| buffer.into_inner().map_err(io::IntoInnerError::into_error))
        .and_then(|file| file.metadata())
        .map(|metadata| metadata.len())
        .map_err(Failure::of("write", output))
}

fn append<W: Write>(writer: &mut gzip::Writer<W>, path: &Path, name: &Path) -> io::Result<()> {
    let metadata = fs::symlink_metadata(path)?;
    if metadata.is_dir() {
        // With a slash at the end, as tar writes directories.
        let header = header(EntryType::Directory, &name.join(""), 0o755, 0)?;
        return writer.write_all(header.as_bytes());
    }
    if !metadata.is_file() {
        let problem = "neither a file nor a directory";
        return Err(io::Error::new(io::ErrorKind::Unsupported, problem));
    }
    let executable = metadata.permissions().mode() & 0o100 != 0;
    let mode = if executable { 0o755 } else { 0o644 };
    let size = metadata.len();
    writer.write_all(header(EntryType::Regular, name, mode, size)?.as_bytes())?;
    copy(&File::open(path)?, size, writer)?;
    writer.write_zeros(size.next_multiple_of(BLOCK_BYTES) - size)
}

fn header(kind: EntryType, name: &Path, mode: u32, size: u64) -> io::Result<Header> {
    // GNU's: a scratch disk is larger than the 8 GiB that ustar can say.
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_path(name)?;
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(size);
    header.set_cksum();
    Ok(header)
}

/// Copies `size` bytes; holes are not read.
fn copy<W: Write>(file: &File, size: u64, writer: &mut gzip::Writer<W>) -> io::Result<()> {
    let mut position = 0;
    while position < size {
        let data = match seek(file, SeekFrom::Data(position)) {
            // There is no data any more.
            Err(Errno::NXIO) => size,
            data => data?.min(size),
        };
        writer.write_zeros(data - position)?;
        position = data;
        if position == size {
            break;
        }
        let hole = seek(file, SeekFrom::Hole(position))?.min(size);
        seek(file, SeekFrom::Start(position))?;
        if io::copy(&mut file.take(hole - position), writer)? != hole - position {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        position = hole;
    }
    Ok(())
}

#[cfg(test)]
#[path = "aci_test.rs"]
mod tests;
