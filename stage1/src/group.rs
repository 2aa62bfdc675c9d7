//! The control group (version 2) of a pod without a machine: `/sys/fs/cgroup/bulkhead/UUID`, and `UUID.export-PID` of an export of
//! it. It is made empty, given to the container, and removed with all groups in it when the pod has ended, or when a killed pod is collected.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Where version 2 is mounted, if it is alone.
const ROOT: &str = "/sys/fs/cgroup";

/// All pods' groups, below it.
const ALL_PODS: &str = "bulkhead";

/// What apps have limits of.
const CONTROLLERS: &str = "+cpu +memory +pids +io";

/// Groups below a pod's: all apps, an app.
const MAX_DEPTH: usize = 4;

/// From the kill of what is left in a group to its end.
const KILL_LIMIT: Duration = Duration::from_secs(10);

/// Between two attempts to remove a group whose processes are ending.
const PAUSE: Duration = Duration::from_millis(10);

/// A group that cannot be had or removed.
#[derive(Debug, thiserror::Error)]
pub enum GroupError {
    /// No version 2, or beside version 1.
    #[error("--stage1=container needs control groups of version 2 at {ROOT}")]
    Version,
    /// The kernel refuses.
    #[error("{action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}

/// See the module docs.
#[derive(Debug)]
pub struct Group {
    path: PathBuf,
    directory: File,
}

impl Group {
    /// Makes that of a pod. `uuid` is a valid one.
    ///
    /// # Errors
    /// Without control groups of version 2, or the right to use them.
    pub fn make(uuid: &str) -> Result<Self, GroupError> {
        Self::named(uuid)
    }

    /// Makes that of an export of a pod by this process: what a killed pod left in its own is not touched.
    ///
    /// # Errors
    /// As [`Group::make`].
    pub fn of_export(uuid: &str) -> Result<Self, GroupError> {
        Self::named(&format!("{uuid}.export-{}", std::process::id()))
    }

    fn named(name: &str) -> Result<Self, GroupError> {
        let root = Path::new(ROOT);
        if !root.join("cgroup.controllers").exists() {
            return Err(GroupError::Version);
        }
        let pods = root.join(ALL_PODS);
        make_directory(&pods)?;
        for directory in [root, &pods] {
            let file = directory.join("cgroup.subtree_control");
            fs::write(&file, CONTROLLERS).map_err(failed("ask for controllers in", &file))?;
        }
        let path = path(name);
        make_directory(&path)?;
        let directory = File::open(&path).map_err(failed("open", &path))?;
        Ok(Self { path, directory })
    }
}

impl AsFd for Group {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Its processes have ended with the container; what cannot be removed is found by gc.
        let _ = remove(&self.path, MAX_DEPTH);
    }
}

/// Removes the groups of a pod that is over and of its exports, if they are still there, and kills what is left in them.
///
/// # Errors
/// When their processes do not end, or the kernel refuses.
pub fn collect(uuid: &str) -> Result<(), GroupError> {
    let pods = Path::new(ROOT).join(ALL_PODS);
    let groups = match fs::read_dir(&pods) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        groups => groups.map_err(failed("list", &pods))?,
    };
    for group in groups {
        let group = group.map_err(failed("list", &pods))?;
        let name = group.file_name();
        let rest = name.to_str().and_then(|name| name.strip_prefix(uuid));
        if rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.')) {
            collect_one(&group.path())?;
        }
    }
    Ok(())
}

fn collect_one(path: &Path) -> Result<(), GroupError> {
    match fs::write(path.join("cgroup.kill"), "1") {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        killed => killed.map_err(failed("kill the processes in", path))?,
    }
    let deadline = Instant::now() + KILL_LIMIT;
    loop {
        match remove(path, MAX_DEPTH) {
            Err(error)
                if error.kind() == io::ErrorKind::ResourceBusy && Instant::now() < deadline =>
            {
                std::thread::sleep(PAUSE);
            }
            removed => return removed.map_err(failed("remove", path)),
        }
    }
}

fn path(name: &str) -> PathBuf {
    Path::new(ROOT).join(ALL_PODS).join(name)
}

fn remove(group: &Path, depth: usize) -> io::Result<()> {
    if depth > 0 {
        for entry in fs::read_dir(group)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                remove(&entry.path(), depth - 1)?;
            }
        }
    }
    fs::remove_dir(group)
}

fn make_directory(path: &Path) -> Result<(), GroupError> {
    match fs::create_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made.map_err(failed("make", path)),
    }
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> GroupError {
    let path = path.to_owned();
    move |source| GroupError::Io {
        action,
        path,
        source,
    }
}
