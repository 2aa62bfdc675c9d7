//! Blobs on their way: `cas/blobs/sha256-…`, kept when their image could not be brought, to be gone on with.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::digest::Digest;

/// What nobody has gone on with for so long is removed.
const KEPT: Duration = Duration::from_secs(24 * 60 * 60);

/// The file of a blob, locked.
pub(super) struct BlobFile {
    pub(super) file: File,
    /// None: another process is bringing it too, and has its name.
    path: Option<PathBuf>,
}

impl BlobFile {
    /// The blob's file in this directory, with what it has.
    pub(super) fn open(directory: &Path, digest: &Digest) -> io::Result<Self> {
        let path = directory.join(format!("{}-{}", digest.algorithm(), digest.hex()));
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .mode(0o600)
            .open(&path)?;
        match file.try_lock() {
            Ok(()) => Ok(Self {
                file,
                path: Some(path),
            }),
            Err(fs::TryLockError::WouldBlock) => Ok(Self {
                file: nameless(directory)?,
                path: None,
            }),
            Err(fs::TryLockError::Error(error)) => Err(error),
        }
    }

    /// Its bytes are worth nothing any more, or are in an image.
    pub(super) fn remove(self) {
        if let Some(path) = &self.path {
            // What stays is removed after its time.
            let _ = fs::remove_file(path);
        }
    }
}

fn nameless(directory: &Path) -> io::Result<File> {
    use rustix::fs::{Mode, OFlags, open};
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    Ok(File::from(open(directory, flags, Mode::RUSR | Mode::WUSR)?))
}

/// Removes what nobody has gone on with.
pub(super) fn sweep(directory: &Path, now: SystemTime) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let Ok(modified) = entry.metadata().and_then(|metadata| metadata.modified()) else {
            continue;
        };
        let is_old = now.duration_since(modified).is_ok_and(|age| age > KEPT);
        let path = entry.path();
        if is_old && File::open(&path).is_ok_and(|file| file.try_lock().is_ok()) {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest() -> Digest {
        format!("sha256:{}", "0".repeat(64)).parse().unwrap()
    }

    #[test]
    fn who_comes_second_has_a_file_without_a_name() {
        let directory = tempfile::tempdir().unwrap();
        let first = BlobFile::open(directory.path(), &digest()).unwrap();
        let second = BlobFile::open(directory.path(), &digest()).unwrap();
        second.remove();
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
        first.remove();
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_is_old_and_nobody_s_is_removed() {
        let directory = tempfile::tempdir().unwrap();
        let held = BlobFile::open(directory.path(), &digest()).unwrap();
        let later = SystemTime::now() + KEPT + Duration::from_secs(60);
        sweep(directory.path(), later).unwrap();
        assert_eq!(
            fs::read_dir(directory.path()).unwrap().count(),
            1,
            "it is held"
        );
        drop(held);
        sweep(directory.path(), SystemTime::now()).unwrap();
        assert_eq!(
            fs::read_dir(directory.path()).unwrap().count(),
            1,
            "it is new"
        );
        sweep(directory.path(), later).unwrap();
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}
