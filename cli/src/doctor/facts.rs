//! What the host says of itself, read once and not judged.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use bulkhead_kvm::probe::{Verdict, probe};
use bulkhead_pod::stage1_image::Stage1Image;
use rustix::fs::{Access, access, statvfs};

use super::stage1_files::{self, Defect};
use crate::arguments::GlobalOptions;
use crate::{programs, stage1};

/// Everything that the checks need.
#[derive(Debug)]
pub(super) struct Facts {
    pub(super) kvm_device: Device,
    /// None: there is no device to ask.
    pub(super) kvm: Option<Verdict>,
    /// The processor's flags of `/proc/cpuinfo`.
    pub(super) cpu_flags: Vec<String>,
    pub(super) tun_device: Device,
    /// Contents of `/sys/fs/cgroup/cgroup.controllers`; none: not a cgroup v2 mount.
    pub(super) cgroup_controllers: Option<String>,
    pub(super) data: DataDirectory,
    /// `MemAvailable` of `/proc/meminfo`, in KiB.
    pub(super) memory_available_kib: Option<u64>,
    pub(super) stage1: Stage1Facts,
    /// What reads images, and what is wrong with it, if something is.
    pub(super) importer: (PathBuf, Option<String>),
    pub(super) advice: AdviceFacts,
}

/// What opening a device for reading and writing gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Device {
    Opens,
    Missing,
    Denied,
    Fails(String),
}

/// The directory of `--dir`, or its nearest parent that exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DataDirectory {
    pub(super) path: PathBuf,
    pub(super) writable: bool,
    /// Bytes that this user can still write there.
    pub(super) free: Option<u64>,
}

/// The image that `--stage1=kvm` means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Stage1Facts {
    /// There is none, or its manifest is wrong; the reasons from the outside in.
    Unusable(Vec<String>),
    Opened {
        directory: PathBuf,
        defects: Vec<Defect>,
    },
}

/// Files that the advice of [`super::host_advice`] reads; none: the file is not there or is not for
/// this user.
#[derive(Debug, Default)]
pub(super) struct AdviceFacts {
    pub(super) smt_active: Option<String>,
    pub(super) ksm_run: Option<String>,
    pub(super) swaps: Option<String>,
    pub(super) memory_pressure: Option<String>,
    pub(super) nx_huge_pages: Option<String>,
    pub(super) min_timer_period_us: Option<String>,
    pub(super) nested: Option<String>,
    pub(super) transparent_huge_pages: Option<String>,
    pub(super) mounts: Option<String>,
    /// Name and text of each file in `/sys/devices/system/cpu/vulnerabilities`.
    pub(super) vulnerabilities: Vec<(String, String)>,
}

impl Facts {
    /// Reads the host; what cannot be read is a fact too.
    pub(super) fn read(global: &GlobalOptions) -> Self {
        let kvm_device = device("/dev/kvm");
        let kvm = (kvm_device == Device::Opens).then(probe);
        Self {
            kvm,
            kvm_device,
            cpu_flags: cpu_flags(&text("/proc/cpuinfo").unwrap_or_default()),
            tun_device: device("/dev/net/tun"),
            cgroup_controllers: text("/sys/fs/cgroup/cgroup.controllers"),
            data: data_directory(&global.dir),
            memory_available_kib: text("/proc/meminfo").and_then(|text| memory_available(&text)),
            stage1: stage1_facts(global),
            importer: importer_facts(),
            advice: AdviceFacts::read(),
        }
    }
}

fn importer_facts() -> (PathBuf, Option<String>) {
    let path = programs::importer();
    let problem = stage1_files::examine_program(&path);
    (path, problem)
}

impl AdviceFacts {
    fn read() -> Self {
        let nested = ["kvm_intel", "kvm_amd"]
            .iter()
            .find_map(|module| text(&format!("/sys/module/{module}/parameters/nested")));
        Self {
            smt_active: text("/sys/devices/system/cpu/smt/active"),
            ksm_run: text("/sys/kernel/mm/ksm/run"),
            swaps: text("/proc/swaps"),
            memory_pressure: text("/proc/pressure/memory"),
            nx_huge_pages: text("/sys/module/kvm/parameters/nx_huge_pages"),
            min_timer_period_us: text("/sys/module/kvm/parameters/min_timer_period_us"),
            nested,
            transparent_huge_pages: text("/sys/kernel/mm/transparent_hugepage/enabled"),
            mounts: text("/proc/mounts"),
            vulnerabilities: vulnerabilities("/sys/devices/system/cpu/vulnerabilities"),
        }
    }
}

fn text(path: &str) -> Option<String> {
    fs::read_to_string(path)
        .ok()
        .map(|text| text.trim_end().to_owned())
}

fn device(path: &str) -> Device {
    match OpenOptions::new().read(true).write(true).open(path) {
        Ok(File { .. }) => Device::Opens,
        Err(error) => match error.kind() {
            io::ErrorKind::NotFound => Device::Missing,
            io::ErrorKind::PermissionDenied => Device::Denied,
            _ => Device::Fails(error.to_string()),
        },
    }
}

fn cpu_flags(cpuinfo: &str) -> Vec<String> {
    let line = cpuinfo.lines().find(|line| line.starts_with("flags"));
    let flags = line
        .and_then(|line| line.split_once(':'))
        .map_or("", |(_, flags)| flags);
    flags.split_whitespace().map(str::to_owned).collect()
}

fn memory_available(meminfo: &str) -> Option<u64> {
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.split_whitespace().next()?.parse().ok()
}

fn vulnerabilities(directory: &str) -> Vec<(String, String)> {
    let Ok(entries) = fs::read_dir(directory) else {
        return Vec::new();
    };
    let mut list: Vec<(String, String)> = entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let name = entry.file_name().into_string().ok()?;
            Some((
                name,
                fs::read_to_string(entry.path()).ok()?.trim_end().to_owned(),
            ))
        })
        .collect();
    list.sort();
    list
}

fn data_directory(path: &Path) -> DataDirectory {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let existing = absolute
        .ancestors()
        .find(|path| path.exists())
        .unwrap_or(Path::new("/"));
    let writable = access(existing, Access::WRITE_OK | Access::EXEC_OK).is_ok();
    let free = statvfs(existing)
        .ok()
        .map(|fs| fs.f_bavail.saturating_mul(fs.f_frsize));
    DataDirectory {
        path: existing.to_owned(),
        writable,
        free,
    }
}

fn stage1_facts(global: &GlobalOptions) -> Stage1Facts {
    match stage1::open_installed(global, "kvm") {
        Ok(image) => Stage1Facts::Opened {
            directory: image.directory().to_owned(),
            defects: defects(&image),
        },
        Err(error) => {
            let error = anyhow::Error::new(error);
            Stage1Facts::Unusable(error.chain().map(ToString::to_string).collect())
        }
    }
}

fn defects(image: &Stage1Image) -> Vec<Defect> {
    stage1_files::examine(&image.rootfs())
}

#[cfg(test)]
#[path = "facts_test.rs"]
mod tests;
