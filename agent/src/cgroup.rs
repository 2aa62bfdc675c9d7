//! Control groups (version 2): one an app.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use bulkhead_protocol::plan::Limits;
use rustix::fs::{Mode, OFlags, major, minor, open};
use rustix::process::{Pid, Signal, kill_process};

/// Controllers that apps have.
const CONTROLLERS: &str = "+cpu +memory +pids +io";

/// Length of the period that CPU time is counted in, microseconds; the kernel's own default.
const CPU_PERIOD_US: u64 = 100_000;

/// Shortest CPU time in a period that the kernel takes, microseconds (`min_cfs_quota_period`, `kernel/sched/core.c`).
const CPU_QUOTA_MIN_US: u64 = 1000;

/// Groups that an app can have made in its own, as far as anybody looks.
const MAX_GROUPS: usize = 1024;

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
    /// Makes the group `name` below `root`. `disks` are whole disks, for whose partitions the limits hold too.
    ///
    /// # Errors
    /// When it cannot be made, or a limit be set.
    pub fn create(
        root: &Path,
        name: &str,
        limits: Limits,
        disks: &[&Path],
    ) -> Result<Self, CgroupError> {
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
        limit(&path, limits)?;
        if let Some(rates) = io_rates(limits) {
            for disk in disks {
                let number = fs::metadata(disk).map_err(failed)?.rdev();
                let (major, minor) = (major(number), minor(number));
                write(path.join("io.max"), format!("{major}:{minor}{rates}"))?;
            }
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

    /// Whether a process is in it, or in a group that the app has made in it. `root` is the group that is the root of all that the agent
    /// sees.
    pub fn holds(&self, root: &Path, pid: i32) -> bool {
        // One that has ended is nobody's once its parent knows.
        let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
        let (Some(path), Ok(own)) = (unified(&text), self.path.strip_prefix(root)) else {
            return false;
        };
        Path::new(path).starts_with(Path::new("/").join(own))
    }

    /// Removes the group and those that the app has made in it, which must have no processes.
    ///
    /// # Errors
    /// While one has some.
    pub fn remove(&self) -> io::Result<()> {
        for path in groups(&self.path).iter().rev() {
            match fs::remove_dir(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// Kills every process in it, one by one. Unlike [`Cgroup::kill`] it leaves a group in which others can be started: Linux 6.18
    /// kills at once whatever is cloned into a group that was killed before (`CLONE_INTO_CGROUP`; tests/native/apps.rs). One that has been sent SIGKILL forks no more, so that there is an end to them.
    pub fn kill_each(&self) {
        let mut killed = BTreeSet::new();
        loop {
            let groups = groups(&self.path);
            let listed = groups.iter().filter_map(|path| {
                // A group that is gone has none.
                fs::read_to_string(path.join("cgroup.procs")).ok()
            });
            let listed: Vec<i32> = listed
                .flat_map(|list| {
                    list.lines()
                        .filter_map(|line| line.parse().ok())
                        .collect::<Vec<_>>()
                })
                .collect();
            let mut found_new = false;
            for pid in listed.into_iter().filter_map(Pid::from_raw) {
                if killed.insert(pid.as_raw_nonzero()) {
                    found_new = true;
                    // One that has ended meanwhile is as good as killed.
                    let _ = kill_process(pid, Signal::KILL);
                }
            }
            if !found_new {
                return;
            }
        }
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

/// A group and those below it, each before what is in it.
fn groups(root: &Path) -> Vec<PathBuf> {
    let mut groups = vec![root.to_owned()];
    let mut next = 0;
    while let Some(group) = groups.get(next) {
        let entries = fs::read_dir(group).into_iter().flatten().flatten();
        let directories = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        let directories: Vec<PathBuf> = directories.map(|entry| entry.path()).collect();
        groups.extend(directories);
        next += 1;
        if groups.len() > MAX_GROUPS {
            break;
        }
    }
    groups
}

fn limit(group: &Path, limits: Limits) -> Result<(), CgroupError> {
    let files = [
        (
            "memory.max",
            limits.memory_bytes.map(|bytes| bytes.to_string()),
        ),
        ("cpu.max", limits.cpu_millis.map(cpu_max)),
        (
            "cpu.weight",
            limits.cpu_weight.map(|weight| weight.to_string()),
        ),
        ("pids.max", limits.processes.map(|count| count.to_string())),
    ];
    for (file, value) in files {
        if let Some(value) = value {
            write(group.join(file), value)?;
        }
    }
    Ok(())
}

/// What `io.max` takes behind the number of a disk; nothing without a limit.
fn io_rates(limits: Limits) -> Option<String> {
    let rate = |unit, rate: Option<u64>| {
        rate.map_or_else(String::new, |rate| {
            format!(" r{unit}={rate} w{unit}={rate}")
        })
    };
    let rates = rate("bps", limits.disk_bytes) + &rate("iops", limits.disk_requests);
    (!rates.is_empty()).then_some(rates)
}

/// Where a process is in the hierarchy of cgroup v2.
fn unified(text: &str) -> Option<&str> {
    text.lines().find_map(|line| line.strip_prefix("0::"))
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
    use bulkhead_protocol::plan::Limits;

    #[test]
    fn a_process_is_in_one_group_of_the_unified_hierarchy() {
        let text = "2:cpuset:/other\n0::/all.apps/web/own\n";
        assert_eq!(unified(text), Some("/all.apps/web/own"));
        assert_eq!(unified(""), None);
    }

    use super::{cpu_max, io_rates, out_of_memory_kills, unified};

    #[test]
    fn rates_hold_for_reading_and_for_writing() {
        let limits = Limits {
            disk_bytes: Some(1 << 20),
            disk_requests: Some(50),
            ..Limits::default()
        };
        let both = " rbps=1048576 wbps=1048576 riops=50 wiops=50";
        assert_eq!(io_rates(limits).as_deref(), Some(both));
        assert_eq!(io_rates(Limits::default()), None);
    }

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
