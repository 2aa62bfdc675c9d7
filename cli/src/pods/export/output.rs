//! A file that is there when it is whole, and not before.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, linkat, open};
use rustix::io::Errno;

/// The file, on its way.
#[derive(Debug)]
pub(crate) struct Output {
    file: File,
    /// A name beside the file's own, where the file system knows no files without one.
    name: Option<PathBuf>,
    target: PathBuf,
    overwrites: bool,
}

impl Output {
    /// Makes it, in the directory where it will be. One without a name goes with this process, however that ends, if it is not
    /// published.
    pub(crate) fn create(target: &Path, overwrites: bool) -> Result<Self> {
        let context = || format!("make {}", target.display());
        match fs::symlink_metadata(target) {
            Ok(_) if !overwrites => bail!(
                "{} is there already; --overwrite replaces it",
                target.display()
            ),
            Ok(metadata) if metadata.is_dir() => bail!("{} is a directory", target.display()),
            _ => {}
        }
        let parent = target.parent().filter(|path| !path.as_os_str().is_empty());
        let mode = Mode::from_raw_mode(0o644);
        let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
        let (file, name) = match open(parent.unwrap_or(Path::new(".")), flags, mode) {
            Ok(file) => (File::from(file), None),
            Err(Errno::OPNOTSUPP | Errno::ISDIR) => {
                let name = beside(target);
                let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
                let file = open(&name, flags, mode)
                    .map_err(io::Error::from)
                    .with_context(context)?;
                (File::from(file), Some(name))
            }
            Err(errno) => return Err(io::Error::from(errno)).with_context(context),
        };
        Ok(Self {
            file,
            name,
            target: target.to_owned(),
            overwrites,
        })
    }

    /// To be written to.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// Gives it its name.
    pub(crate) fn publish(mut self) -> Result<()> {
        let context = || format!("put {} in place", self.target.display());
        let name = match self.name.take() {
            Some(name) => name,
            None if !self.overwrites => {
                let linked = self.link_at(&self.target).map_err(io::Error::from);
                return linked.with_context(context);
            }
            None => {
                let name = beside(&self.target);
                self.link_at(&name)
                    .map_err(io::Error::from)
                    .with_context(context)?;
                name
            }
        };
        let placed = match self.overwrites {
            true => fs::rename(&name, &self.target),
            // Not in place of what has come meanwhile.
            false => fs::hard_link(&name, &self.target).and_then(|()| fs::remove_file(&name)),
        };
        if placed.is_err() {
            // The error is the one to tell.
            let _ = fs::remove_file(&name);
        }
        placed.with_context(context)
    }

    fn link_at(&self, path: &Path) -> Result<(), Errno> {
        let own = format!("/proc/self/fd/{}", self.file.as_fd().as_raw_fd());
        linkat(CWD, own, CWD, path, AtFlags::SYMLINK_FOLLOW)
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if let Some(name) = &self.name {
            // Nothing but its name is left of it.
            let _ = fs::remove_file(name);
        }
    }
}

fn beside(target: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(target.file_name().unwrap_or_default());
    name.push(format!(".{}", std::process::id()));
    target.with_file_name(name)
}

#[cfg(test)]
#[path = "output_test.rs"]
mod tests;
