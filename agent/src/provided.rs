//! Files that every app finds whatever its image holds: `/etc/hosts`, `/etc/hostname`, `/etc/mtab`, and where the pod has one
//! `/etc/resolv.conf`.
//!
//! They lie in the agent's memory, as the lowest layer of every app's root: an image that has one of them covers it, nothing is
//! copied at a start, and no app writes to them. A file of names that the pod has of its own is mounted over the image's too
//! ([`bulkhead_protocol::plan::MountSource::NameFile`]).

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};

use bulkhead_protocol::plan::{NameFile, NameFiles};
use rustix::system::uname;

/// The layer, below the directory of mount points.
pub const DIRECTORY: &str = "provided";

/// What `/etc/mtab` is a link to.
const MOUNTS: &str = "../proc/self/mounts";

/// Longest name that is compared: a host name has 64 bytes at most.
const MAX_NAME: u64 = 256;

/// Writes the files of a pod with this name.
///
/// # Errors
/// When memory is out.
pub fn write(base: &Path, hostname: &str, files: &NameFiles) -> io::Result<()> {
    let etc = base.join(DIRECTORY).join("etc");
    DirBuilder::new().recursive(true).mode(0o755).create(&etc)?;
    let hosts = format!("127.0.0.1\tlocalhost {hostname}\n::1\tlocalhost ip6-localhost\n");
    let hosts = files.hosts.as_deref().unwrap_or(hosts.as_bytes());
    write_file(&file_of(base, NameFile::Hosts), hosts)?;
    if let Some(resolv_conf) = &files.resolv_conf {
        write_file(&file_of(base, NameFile::ResolvConf), resolv_conf)?;
    }
    write_file(&etc.join("hostname"), format!("{hostname}\n").as_bytes())?;
    match symlink(MOUNTS, etc.join("mtab")) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// Of those files the ones that every root has, for a root of an app that no layer can lie below: a directory of the host.
#[derive(Debug, Default)]
pub struct Missing(Vec<(&'static str, Vec<u8>)>);

impl Missing {
    /// Reads them, while they are in sight.
    ///
    /// # Errors
    /// When memory is out.
    pub fn read(base: &Path) -> io::Result<Self> {
        let etc = base.join(DIRECTORY).join("etc");
        let read = |name| Ok((name, fs::read(etc.join(name))?));
        ["hosts", "hostname"]
            .into_iter()
            .map(read)
            .collect::<io::Result<_>>()
            .map(Self)
    }

    /// Writes those that the root lacks, as files of the app's own. `root` is the app's, and this process has moved into it.
    ///
    /// # Errors
    /// When one cannot be written.
    pub fn write_missing(&self, root: &Path) -> io::Result<()> {
        let etc = root.join("etc");
        if self.0.is_empty() {
            return Ok(());
        }
        if fs::symlink_metadata(&etc).is_err() {
            DirBuilder::new().mode(0o755).create(&etc)?;
        }
        // A root whose /etc has no room for names does without, as one of layers does.
        if !etc.is_dir() {
            return Ok(());
        }
        let unless_there = |written: io::Result<()>| match written {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            _ => Ok(()),
        };
        for (name, content) in &self.0 {
            let path = etc.join(name);
            let file = File::options()
                .write(true)
                .create_new(true)
                .mode(0o644)
                .open(path);
            unless_there(file.and_then(|mut file| file.write_all(content)))?;
        }
        unless_there(symlink(MOUNTS, etc.join("mtab")))
    }
}

/// Where a file of names is.
pub fn file_of(base: &Path, file: NameFile) -> PathBuf {
    base.join(DIRECTORY).join("etc").join(file.file_name())
}

/// Puts the machine's name in place of the one that an image brings in `/etc/hostname`: it is the pod that has a name. `root` is
/// the app's, and this process has moved into it. No volume is mounted yet: what lies in one is not for the agent to write.
///
/// # Errors
/// When the file cannot be replaced.
pub fn name_host(root: &Path) -> io::Result<()> {
    let path = root.join("etc/hostname");
    let name = format!("{}\n", uname().nodename().to_string_lossy());
    match fs::symlink_metadata(&path) {
        Ok(metadata) if metadata.is_file() && metadata.len() <= MAX_NAME => {
            if fs::read(&path)? == name.as_bytes() {
                return Ok(());
            }
        }
        Ok(metadata) if !metadata.is_dir() => {}
        // A directory is left alone, and so is an /etc that has no room for names.
        _ => return Ok(()),
    }
    fs::remove_file(&path)?;
    write_file(&path, name.as_bytes())
}

fn write_file(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file: File = File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o644)
        .open(path)?;
    file.write_all(content)
}

#[cfg(test)]
#[path = "provided_test.rs"]
mod tests;
