//! Mounts in an app's root. The process has moved into that root already: no link of the image leads out of it.

use std::ffi::CString;
use std::fs::{self, DirBuilder, File, symlink_metadata};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};

use bulkhead_protocol::plan::{Mount, MountSource};
use nix::sched::{CloneFlags, unshare};
use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
use rustix::io::Errno;
use rustix::mount::{MountFlags, MoveMountFlags, mount, mount_bind, mount_remount, move_mount};

use crate::links;

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
    /// A volume cannot be put there.
    #[error("mount the volume at {target:?}")]
    Volume {
        /// In the app's root.
        target: PathBuf,
        /// Why.
        source: Errno,
    },
    /// A volume of the plan was not made.
    #[error("no volume for the mount at {target:?}")]
    NoVolume {
        /// In the app's root.
        target: PathBuf,
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

/// Of a directory of the host: its device nodes are none here.
pub const SHARE_FLAGS: MountFlags = MountFlags::NODEV;

/// Of the file system on a disk of the host: what it holds is the user's, and gains no program a privilege.
pub const DISK_FLAGS: MountFlags = MountFlags::NODEV.union(MountFlags::NOSUID);

/// Does the mounts, in order, each with the volume that it shows. Missing targets are made (0755, root). The process's file
/// mode mask must be 0.
///
/// # Errors
/// When one fails.
pub fn apply(mounts: &[(&Mount, Option<OwnedFd>)]) -> Result<(), MountError> {
    let mut read_only = Vec::new();
    for (planned, volume) in mounts {
        let (target, flags) = apply_one(planned, volume.as_ref())?;
        if planned.read_only {
            read_only.push((target, flags));
        }
    }
    // Last, for targets of other mounts were still to be made in it.
    for (target, flags) in read_only {
        // Of this mount alone: the file system behind it may be shown elsewhere too.
        let flags = flags | MountFlags::BIND | MountFlags::RDONLY;
        mount_remount(&target, flags, "").map_err(|source| MountError::Mount {
            kind: "read-only",
            target,
            source,
        })?;
    }
    Ok(())
}

/// Returns where the mount is, and its flags.
fn apply_one(
    planned: &Mount,
    volume: Option<&OwnedFd>,
) -> Result<(PathBuf, MountFlags), MountError> {
    let written = Path::new(planned.target.as_str());
    if !written.is_absolute() {
        return Err(MountError::Relative {
            target: planned.target.as_str().to_owned(),
        });
    }
    let is_file = matches!(
        planned.source,
        MountSource::Share { file: true, .. }
            | MountSource::Disk { node: true, .. }
            | MountSource::NameFile(_)
    );
    let target = make_target(written, is_file)?;
    let target = target.as_path();
    let flags = match planned.source {
        MountSource::Proc => plain("proc", target)?,
        MountSource::Sysfs => plain("sysfs", target)?,
        MountSource::Cgroup => own_cgroup(target)?,
        MountSource::Dev => device_directory(target)?,
        MountSource::Tmpfs { mode, size } => {
            let options = format!("mode={:o},size={size}", mode & 0o7777);
            let flags = MountFlags::NOSUID | MountFlags::NODEV;
            mount_one("tmpfs", target, flags, &options)?
        }
        MountSource::EmptyVolume { .. } => put_volume(volume, target)?,
        MountSource::Share { .. } => put_volume(volume, target)? | SHARE_FLAGS,
        MountSource::Disk { node: false, .. } => put_volume(volume, target)? | DISK_FLAGS,
        MountSource::Disk { node: true, .. } => put_volume(volume, target)? | MountFlags::NOSUID,
        MountSource::NameFile(_) => {
            put_volume(volume, target)? | DISK_FLAGS.union(MountFlags::NOEXEC)
        }
    };
    Ok((target.to_owned(), flags))
}

/// Puts a detached mount somewhere.
fn put_volume(volume: Option<&OwnedFd>, target: &Path) -> Result<MountFlags, MountError> {
    let target = || target.to_owned();
    let Some(volume) = volume else {
        return Err(MountError::NoVolume { target: target() });
    };
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    match move_mount(volume, "", CWD, target(), flags) {
        Ok(()) => Ok(MountFlags::empty()),
        Err(source) => Err(MountError::Volume {
            target: target(),
            source,
        }),
    }
}

/// Forbids writes through the mount at `target`, and through no other: the file system behind it may be shown elsewhere too.
fn close(target: &Path, flags: MountFlags) -> Result<(), MountError> {
    let flags = flags | MountFlags::BIND | MountFlags::RDONLY;
    mount_remount(target, flags, "").map_err(failed("read-only", target))
}

fn failed(kind: &'static str, target: &Path) -> impl FnOnce(Errno) -> MountError {
    let target = target.to_owned();
    move |source| MountError::Mount {
        kind,
        target,
        source,
    }
}

/// Puts something empty over what lies at `path`, if anything does.
///
/// # Errors
/// When the kernel refuses.
pub fn mask(path: &Path) -> Result<(), MountError> {
    let Ok(metadata) = symlink_metadata(path) else {
        return Ok(());
    };
    if metadata.is_dir() {
        let flags = MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV;
        mount_one("tmpfs", path, flags | MountFlags::NOEXEC, "mode=0")?;
        Ok(())
    } else {
        mount_bind("/dev/null", path).map_err(failed("nothing", path))
    }
}

/// Makes an empty file to mount another on, unless there is something.
fn make_file(path: &Path) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(parent)?;
    }
    let mut options = File::options();
    match options.write(true).create_new(true).mode(0o644).open(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// Makes what lies at `path` read-only, if anything does.
///
/// # Errors
/// When the kernel refuses.
pub fn make_read_only(path: &Path) -> Result<(), MountError> {
    if symlink_metadata(path).is_err() {
        return Ok(());
    }
    mount_bind(path, path).map_err(failed("itself", path))?;
    // The flags of /proc, where all such paths lie.
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    close(path, flags)
}

/// The group that this process is in becomes the root of all that it and its children see.
fn own_cgroup(target: &Path) -> Result<MountFlags, MountError> {
    unshare(CloneFlags::CLONE_NEWCGROUP).map_err(|errno| {
        failed("a cgroup namespace", target)(Errno::from_raw_os_error(errno as i32))
    })?;
    plain("cgroup2", target)
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
        make_target(&path, false)?;
        mount_one(kind, &path, flags, options)?;
    }
    Ok(flags)
}

/// Follows links to where the target is, and makes it.
fn make_target(target: &Path, is_file: bool) -> Result<PathBuf, MountError> {
    let make = || {
        let found = links::resolve(Path::new("/"), target)?;
        if is_file {
            make_file(&found)?;
        } else if !fs::symlink_metadata(&found).is_ok_and(|there| there.is_dir()) {
            DirBuilder::new()
                .recursive(true)
                .mode(0o755)
                .create(&found)?;
        }
        Ok(found)
    };
    make().map_err(|source| MountError::Target {
        target: target.to_owned(),
        source,
    })
}
