//! What a call must not leave behind: processes, mounts, files.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::bulkhead::dist;

/// Time for the kernel to end processes whose parent was killed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Mounts of the machine, which a call must leave as they were.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Mounts(String);

impl Mounts {
    /// Takes the state.
    pub(crate) fn now() -> Self {
        Self(fs::read_to_string("/proc/self/mountinfo").expect("/proc/self/mountinfo"))
    }

    /// Expects the same mounts, and no process of ours to run.
    #[track_caller]
    pub(crate) fn are_all_that_is_left(&self) {
        assert_eq!(no_processes(), Vec::<String>::new(), "processes are left");
        assert_eq!(*self, Self::now(), "mounts are left");
    }
}

/// Everything in a directory, with its subdirectories.
pub(crate) fn files(directory: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    let mut directories = vec![directory.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                directories.push(entry.path());
            }
            found.insert(entry.path());
        }
    }
    found
}

/// Waits until no process of ours runs, and returns those that do not go.
#[track_caller]
pub(crate) fn no_processes() -> Vec<String> {
    let limit = Instant::now() + PATIENCE;
    loop {
        let left = processes();
        if left.is_empty() || Instant::now() > limit {
            return left;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// `PID PROGRAM` of each process whose program came from the tree under test or a pod of it.
pub(crate) fn processes() -> Vec<String> {
    let names = [
        "vmm",
        "container",
        "run",
        "enter",
        "stop",
        "relay",
        "bulkhead",
        "virtiofsd",
    ];
    let tree = dist();
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").expect("/proc").flatten() {
        // Processes may end at any time, and kernel threads have no program.
        let Ok(program) = fs::read_link(entry.path().join("exe")) else {
            continue;
        };
        let ours = program.starts_with(&tree) || program.to_string_lossy().contains("/pods/");
        if ours
            && program
                .file_name()
                .is_some_and(|name| names.iter().any(|n| name.to_string_lossy().starts_with(n)))
        {
            found.push(format!(
                "{} {}",
                entry.file_name().display(),
                program.display()
            ));
        }
    }
    found
}
