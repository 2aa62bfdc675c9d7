//! Files that the host itself uses as disks. A loop device takes no lock: the host's list of them is all that tells.

use std::ffi::OsStr;
use std::fs::{self, Metadata};
use std::io::{self, ErrorKind};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A loop device that has this file behind it, by whatever name; one that only reads it counts `with_readers` alone.
///
/// # Errors
/// When the host does not tell.
pub(crate) fn user_of(file: &Metadata, with_readers: bool) -> io::Result<Option<PathBuf>> {
    for entry in fs::read_dir("/sys/block")? {
        let entry = entry?;
        let Some(backing) = backing_file(&entry.path())? else {
            continue;
        };
        // A file without a name here is nobody's source.
        let is_it = fs::metadata(backing)
            .is_ok_and(|backing| (backing.dev(), backing.ino()) == (file.dev(), file.ino()));
        if is_it && (with_readers || !is_read_only(&entry.path())?) {
            return Ok(Some(Path::new("/dev").join(entry.file_name())));
        }
    }
    Ok(None)
}

/// The file behind a block device, by the name that it has now; none for what is no loop device, or an idle one.
fn backing_file(device: &Path) -> io::Result<Option<PathBuf>> {
    match fs::read(device.join("loop/backing_file")) {
        Ok(name) => {
            let name = name.strip_suffix(b"\n").unwrap_or(&name);
            Ok(Some(PathBuf::from(OsStr::from_bytes(name))))
        }
        // Freed meanwhile, also while it was read.
        Err(error) if matches!(error.kind(), ErrorKind::NotFound) => Ok(None),
        Err(error) if error.raw_os_error() == Some(libc::ENODEV) => Ok(None),
        Err(error) => Err(error),
    }
}

fn is_read_only(device: &Path) -> io::Result<bool> {
    Ok(fs::read(device.join("ro"))?.starts_with(b"1"))
}
