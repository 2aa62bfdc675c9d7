//! Control groups (version 2): one an app.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use bulkhead_protocol::plan::Limits;
use rustix::fs::{Mode, OFlags, open};

/// Controllers that apps have.
const CONTROLLERS: &str = "+cpu +memory +pids +io";

/// Length of the period that CPU time is counted in, microseconds; the kernel's own default.
const CPU_PERIOD_US: u64 = 100_000;

/// Shortest CPU time in a period that the kernel takes, microseconds (`min_cfs_quota_period`, `kernel/sched/core.c`).
const CPU_QUOTA_MIN_US: u64 = 1000;

/// A group that could not be made or limited.
#[derive(Debug, thiserror::Error)]
#[error("write {value:?} to the cgroup file {path:?}")]
pub struct CgroupError {
    path: PathBuf,
    value: String,
    source: io::Error,
}

/// The group of an app.
#[derive(Debug)]
pub struct Cgroup {
    path: PathBuf,
    directory: OwnedFd,
    /// Kills for want of memory that were reported.
    kills_known: u64,
}

/// Gives the groups below `root` their controllers.
///
/// # Errors
/// When the kernel lacks one.
pub fn delegate(root: &Path) -> Result<(), CgroupError> {
    write(root.join("cgroup.subtree_control"), CONTROLLERS.to_owned())
}

impl Cgroup {
    /// Makes the group `name` below `root`.
    ///
    /// # Errors
    /// When it cannot be made, or a limit be set.
    pub fn create(root: &Path, name: &str, limits: Limits) -> Result<Self, CgroupError> {
        let path = root.join(name);
        let failed = |source| CgroupError {
            path: path.clone(),
            value: String::new(),
            source,
        };
        match fs::create_dir(&path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(failed(error));
            }
            _ => {}
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = open(&path, flags, Mode::empty()).map_err(|errno| failed(errno.into()))?;
        if let Some(bytes) = limits.memory_bytes {
            write(path.join("memory.max"), bytes.to_string())?;
        }
        if let Some(millis) = limits.cpu_millis {
            write(path.join("cpu.max"), cpu_max(millis))?;
        }
        Ok(Self {
            path,
            directory,
            kills_known: 0,
        })
    }

    /// For [`crate::sys::spawn`].
    pub fn directory(&self) -> &OwnedFd {
        &self.directory
    }

    /// Kills every process in it.
    pub fn kill(&self) {
        // Nothing is left to kill when the group is gone.
        let _ = fs::write(self.path.join("cgroup.kill"), "1");
    }

    /// Whether a process of it was killed for want of memory since the last call.
    pub fn take_out_of_memory(&mut self) -> bool {
        let events = fs::read_to_string(self.path.join("memory.events")).unwrap_or_default();
        let kills = out_of_memory_kills(&events);
        std::mem::replace(&mut self.kills_known, kills) < kills
    }
}

fn write(path: PathBuf, value: String) -> Result<(), CgroupError> {
    fs::write(&path, &value).map_err(|source| CgroupError {
        path,
        value,
        source,
    })
}

fn cpu_max(millis: u32) -> String {
    let quota = u64::from(millis) * CPU_PERIOD_US / 1000;
    format!("{} {CPU_PERIOD_US}", quota.max(CPU_QUOTA_MIN_US))
}

fn out_of_memory_kills(events: &str) -> u64 {
    let count = events
        .lines()
        .find_map(|line| line.strip_prefix("oom_kill "));
    count.and_then(|count| count.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::{cpu_max, out_of_memory_kills};

    #[test]
    fn cpu_time_is_a_share_of_the_period() {
        assert_eq!(cpu_max(500), "50000 100000");
        assert_eq!(cpu_max(2500), "250000 100000");
        assert_eq!(cpu_max(1), "1000 100000");
    }

    #[test]
    fn kills_are_counted_from_the_kernels_events() {
        assert_eq!(
            out_of_memory_kills("low 0\nhigh 0\nmax 12\noom 3\noom_kill 2\noom_group_kill 0\n"),
            2
        );
        assert_eq!(out_of_memory_kills(""), 0);
    }
}
