//! The control group (version 2) of a pod without a machine: `/sys/fs/cgroup/bulkhead/UUID`. It is made empty, given to the
//! container, and removed with all groups in it when the pod has ended.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

/// Where version 2 is mounted, if it is alone.
const ROOT: &str = "/sys/fs/cgroup";

/// All pods' groups, below it.
const ALL_PODS: &str = "bulkhead";

/// What apps have limits of.
const CONTROLLERS: &str = "+cpu +memory +pids +io";

/// Groups below a pod's: all apps, an app.
const MAX_DEPTH: usize = 4;

/// See the module docs.
pub(crate) struct Group {
    path: PathBuf,
    directory: File,
}

impl Group {
    pub(crate) fn make(uuid: &str) -> Result<Self> {
        let root = Path::new(ROOT);
        ensure!(
            root.join("cgroup.controllers").exists(),
            "--stage1=container needs control groups of version 2 at {ROOT}"
        );
        let pods = root.join(ALL_PODS);
        make_directory(&pods)?;
        for directory in [root, &pods] {
            let file = directory.join("cgroup.subtree_control");
            fs::write(&file, CONTROLLERS)
                .with_context(|| format!("write {CONTROLLERS:?} to {}", file.display()))?;
        }
        let path = pods.join(uuid);
        make_directory(&path)?;
        let open = || format!("open {}", path.display());
        let directory = File::open(&path).with_context(open)?;
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

fn make_directory(path: &Path) -> Result<()> {
    match fs::create_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made.with_context(|| format!("make the control group {}", path.display())),
    }
}
