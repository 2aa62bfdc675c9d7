//! Mounts in an app's root. The process has moved into that root already: no link of the image leads out of it.

use std::ffi::CString;
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::{DirBuilderExt, symlink};
use std::path::{Path, PathBuf};

use bulkhead_protocol::plan::{Mount, MountSource};
use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
use rustix::io::Errno;
use rustix::mount::{MountFlags, mount, mount_remount};

/// A mount of the plan that fails.
#[derive(Debug, thiserror::Error)]
pub enum MountError {
    /// The target is not absolute.
    #[error("mount target {target:?} is not absolute")]
    Relative {
        /// As planned.
        target: String,
    },
    /// The target is missing and cannot be made.
    #[error("make the mount target {target:?}")]
    Target {
        /// In the app's root.
        target: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The kernel does not mount it.
    #[error("mount {kind} at {target:?}")]
    Mount {
        /// File system type.
        kind: &'static str,
        /// In the app's root.
        target: PathBuf,
        /// Why.
        source: Errno,
    },
    /// A node or link below `/dev` cannot be made.
    #[error("make {path:?}")]
    Node {
        /// In the app's root.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Device nodes of every app: name, major and minor number (`Documentation/admin-guide/devices.txt`).
const NODES: [(&str, u32, u32); 6] = [
    ("null", 1, 3),
    ("zero", 1, 5),
    ("full", 1, 7),
    ("random", 1, 8),
    ("urandom", 1, 9),
    ("tty", 5, 0),
];

/// Links below `/dev`. The guest has no console of its own: what a program writes to it joins its standard output.
const LINKS: [(&str, &str); 6] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("console", "/proc/self/fd/1"),
    ("ptmx", "pts/ptmx"),
];

/// Does one mount. A missing target is made (0755, root). The process's file mode mask must be 0.
///
/// # Errors
/// When it fails.
pub fn apply(planned: &Mount) -> Result<(), MountError> {
    let target = Path::new(planned.target.as_str());
    if !target.is_absolute() {
        return Err(MountError::Relative {
            target: planned.target.as_str().to_owned(),
        });
    }
    make_target(target)?;
    let flags = match planned.source {
        MountSource::Proc => plain("proc", target)?,
        MountSource::Sysfs => plain("sysfs", target)?,
        MountSource::Dev => device_directory(target)?,
        MountSource::Tmpfs { mode, size } => {
            let options = format!("mode={:o},size={size}", mode & 0o7777);
            let flags = MountFlags::NOSUID | MountFlags::NODEV;
            mount_one("tmpfs", target, flags, &options)?
        }
    };
    if planned.read_only {
        // Of this mount alone: the file system behind it may be shown elsewhere too.
        let flags = flags | MountFlags::BIND | MountFlags::RDONLY;
        mount_remount(target, flags, "").map_err(|source| MountError::Mount {
            kind: "read-only",
            target: target.to_owned(),
            source,
        })?;
    }
    Ok(())
}

fn plain(kind: &'static str, target: &Path) -> Result<MountFlags, MountError> {
    mount_one(
        kind,
        target,
        MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC,
        "",
    )
}

/// Returns `flags`.
fn mount_one(
    kind: &'static str,
    target: &Path,
    flags: MountFlags,
    options: &str,
) -> Result<MountFlags, MountError> {
    let data = CString::new(options).unwrap_or_default();
    match mount(kind, target, kind, flags, data.as_c_str()) {
        Ok(()) => Ok(flags),
        Err(source) => Err(MountError::Mount {
            kind,
            target: target.to_owned(),
            source,
        }),
    }
}

/// A `/dev` with what programs expect of one, and a terminal file system of the app's own.
fn device_directory(target: &Path) -> Result<MountFlags, MountError> {
    let hidden = MountFlags::NOSUID | MountFlags::NOEXEC;
    // Nodes, links and mount points only: what programs put there has to be small.
    let flags = mount_one("tmpfs", target, MountFlags::NOSUID, "mode=755,size=64k")?;
    for (name, major, minor) in NODES {
        let path = target.join(name);
        let mode = Mode::from_raw_mode(0o666);
        mknodat(
            CWD,
            &path,
            FileType::CharacterDevice,
            mode,
            makedev(major, minor),
        )
        .map_err(|errno| MountError::Node {
            path,
            source: errno.into(),
        })?;
    }
    for (name, to) in LINKS {
        let path = target.join(name);
        symlink(to, &path).map_err(|source| MountError::Node { path, source })?;
    }
    for (name, kind, flags, options) in [
        // Group 5 is "tty" wherever terminals have a group.
        (
            "pts",
            "devpts",
            hidden,
            "newinstance,ptmxmode=0666,mode=620,gid=5",
        ),
        ("shm", "tmpfs", hidden | MountFlags::NODEV, "mode=1777"),
        ("mqueue", "mqueue", hidden | MountFlags::NODEV, ""),
    ] {
        let path = target.join(name);
        make_target(&path)?;
        mount_one(kind, &path, flags, options)?;
    }
    Ok(flags)
}

fn make_target(target: &Path) -> Result<(), MountError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(target)
        .map_err(|source| MountError::Target {
            target: target.to_owned(),
            source,
        })
}
