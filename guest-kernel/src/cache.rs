//! Built kernels, by the hash of their inputs: `<cache>/kernel/<hash>/{vmlinux,bzImage,config}`.
//!
//! An entry appears by one rename when it is whole and never changes after. Whatever else lies in
//! `<cache>/kernel` is a stage of an interrupted build, which the next build removes.

use std::ffi::OsString;
use std::fs::{self, File, TryLockError};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::{env, io};

use crate::inputs::{InputError, file_digest};
use crate::{Kernel, verify};

/// Begins the names of unfinished entries.
const STAGE_PREFIX: &str = "stage-";

/// Why the cache could not be used.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
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
    /// The source package could not be hashed.
    #[error("cannot hash the kernel source")]
    Tarball(#[from] InputError),
}

/// Where this user's caches are: `$BULKHEAD_CACHE`, else `$XDG_CACHE_HOME/bulkhead`, else
/// `~/.cache/bulkhead`, else (no home) `/var/cache/bulkhead`.
#[must_use]
pub fn cache_dir() -> PathBuf {
    choose(
        env::var_os("BULKHEAD_CACHE"),
        env::var_os("XDG_CACHE_HOME"),
        env::var_os("HOME"),
    )
}

fn choose(own: Option<OsString>, xdg: Option<OsString>, home: Option<OsString>) -> PathBuf {
    let usable =
        |value: Option<OsString>| value.filter(|value| !value.is_empty()).map(PathBuf::from);
    usable(own)
        .or_else(|| usable(xdg).map(|dir| dir.join("bulkhead")))
        .or_else(|| usable(home).map(|dir| dir.join(".cache/bulkhead")))
        .unwrap_or_else(|| "/var/cache/bulkhead".into())
}

/// The kernels of one cache directory.
#[derive(Debug)]
pub(crate) struct Cache {
    dir: PathBuf,
}

/// Held while a kernel is built; the file's lock ends with it.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

/// A directory that becomes a cache entry by [`Cache::publish`]; removed when dropped before.
#[derive(Debug)]
pub(crate) struct Stage {
    dir: PathBuf,
    hash: String,
}

impl Cache {
    pub(crate) fn open(cache_dir: &Path) -> Result<Self, CacheError> {
        let dir = cache_dir.join("kernel");
        fs::create_dir_all(&dir).map_err(failed("create", &dir))?;
        Ok(Self { dir })
    }

    /// SHA-256 of the source package, remembered by the file's size and time.
    pub(crate) fn tarball_digest(
        &self,
        tarball: &Path,
        progress: &mut dyn FnMut(&str),
    ) -> Result<String, CacheError> {
        let metadata = fs::metadata(tarball).map_err(failed("look at", tarball))?;
        let identity = format!(
            "{} {} {} {}",
            tarball.display(),
            metadata.size(),
            metadata.mtime(),
            metadata.mtime_nsec()
        );
        let stamp = self.dir.join("source.stamp");
        if let Ok(text) = fs::read_to_string(&stamp)
            && let Some((known, digest)) = text.split_once('\n')
            && known == identity
        {
            return Ok(digest.trim_end().to_owned());
        }
        progress("hashing the kernel source package");
        let digest = file_digest(tarball)?;
        let beside = self
            .dir
            .join(format!("{STAGE_PREFIX}stamp-{}", std::process::id()));
        fs::write(&beside, format!("{identity}\n{digest}\n")).map_err(failed("write", &beside))?;
        fs::rename(&beside, &stamp).map_err(failed("replace", &stamp))?;
        Ok(digest)
    }

    /// The entry of this name, if it is there.
    pub(crate) fn lookup(&self, hash: &str) -> Result<Option<Kernel>, CacheError> {
        let dir = self.dir.join(hash);
        if dir.is_dir() {
            self.kernel(&dir, hash, true).map(Some)
        } else {
            Ok(None)
        }
    }

    /// Waits until no other process builds, and removes what an interrupted build left.
    pub(crate) fn lock(&self, progress: &mut dyn FnMut(&str)) -> Result<Lock, CacheError> {
        let path = self.dir.join("lock");
        let file = File::create(&path).map_err(failed("create", &path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                progress("waiting for another build of the guest kernel");
                file.lock().map_err(failed("lock", &path))?;
            }
            Err(TryLockError::Error(source)) => return Err(failed("lock", &path)(source)),
        }
        for entry in fs::read_dir(&self.dir).map_err(failed("list", &self.dir))? {
            let path = entry.map_err(failed("list", &self.dir))?.path();
            if path.is_dir()
                && path
                    .file_name()
                    .is_some_and(|name| name.to_string_lossy().starts_with(STAGE_PREFIX))
            {
                fs::remove_dir_all(&path).map_err(failed("remove", &path))?;
            }
        }
        Ok(Lock { _file: file })
    }

    /// An empty directory for the entry of this name. Only for the holder of the lock.
    pub(crate) fn stage(&self, hash: &str) -> Result<Stage, CacheError> {
        let dir = self.dir.join(format!("{STAGE_PREFIX}{hash}"));
        fs::create_dir(&dir).map_err(failed("create", &dir))?;
        Ok(Stage {
            dir,
            hash: hash.to_owned(),
        })
    }

    /// Makes a finished stage the entry of its name.
    pub(crate) fn publish(&self, stage: Stage) -> Result<Kernel, CacheError> {
        let dir = self.dir.join(&stage.hash);
        fs::rename(&stage.dir, &dir).map_err(failed("create", &dir))?;
        self.kernel(&dir, &stage.hash, false)
    }

    fn kernel(&self, dir: &Path, hash: &str, cached: bool) -> Result<Kernel, CacheError> {
        let size = |path: &Path| {
            fs::metadata(path)
                .map(|metadata| metadata.len())
                .map_err(failed("look at", path))
        };
        let [vmlinux, bzimage, config] =
            ["vmlinux", "bzImage", "config"].map(|name| dir.join(name));
        let text = fs::read_to_string(&config).map_err(failed("read", &config))?;
        Ok(Kernel {
            options_set: verify::options_set(&text),
            vmlinux_size: size(&vmlinux)?,
            bzimage_size: size(&bzimage)?,
            vmlinux,
            bzimage,
            config,
            hash: hash.to_owned(),
            cached,
        })
    }
}

impl Stage {
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // Gone already when it was published; what cannot be removed now, the next build removes.
        let _ = fs::remove_dir_all(&self.dir);
    }
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> CacheError + use<> {
    let path = path.to_owned();
    move |source| CacheError::File {
        action,
        path,
        source,
    }
}

#[cfg(test)]
#[path = "cache_test.rs"]
mod tests;
