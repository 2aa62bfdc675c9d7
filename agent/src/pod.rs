//! The pod as it stands: what was planned, and how far each app's root has come.

use std::collections::BTreeSet;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use bulkhead_protocol::plan::{
    App, AppName, DiskVolume, EmptyVolume, Limits, MAX_VOLUME_DISKS, MountSource, Plan, ProcessId,
    VOLUME_PARTITION,
};
use rustix::process::Pid;

use crate::cgroup::{self, Cgroup, CgroupError};
use crate::disk::{Disk, PartitionError};
use crate::reason::Reason;
use crate::setup::Machine;

/// The group of all apps. No app's name has a dot.
const ALL_APPS: &str = "all.apps";

/// See the module docs.
#[derive(Debug)]
pub struct Pod {
    plan: Plan,
    images: Disk,
    scratch: Disk,
    volume_disks: [Disk; MAX_VOLUME_DISKS],
    apps: Vec<AppState>,
    /// Directory of the apps' control groups, once one was made.
    cgroup: Option<PathBuf>,
}

/// Of one app.
#[derive(Debug, Default)]
struct AppState {
    cgroup: Option<Cgroup>,
    root: RootState,
}

/// How far an app's root has come.
///
/// ```text
/// Missing ──▶ Preparing ──▶ Ready
///    ▲            │ └─────▶ Failed
///    └────────────┘ its maker was killed
/// ```
#[derive(Debug, Default)]
pub enum RootState {
    /// The next process makes it.
    #[default]
    Missing,
    /// A process makes it.
    Preparing {
        /// Which.
        by: ProcessId,
        /// Its mount namespace, unless it was gone too soon.
        namespace: Option<OwnedFd>,
    },
    /// It is there, and stays as long as this is held.
    Ready(OwnedFd),
    /// It cannot be made.
    Failed(Reason),
}

/// A plan that makes no sense.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum PlanError {
    /// Two apps have one name.
    #[error("two apps have the name {name}")]
    SameName {
        /// Of both.
        name: AppName,
    },
    /// An app has no image.
    #[error("app {app} has no layers")]
    NoLayers {
        /// Which.
        app: AppName,
    },
    /// An app has an image that is not there.
    #[error("app {app} has image {index} of {count}")]
    NoImage {
        /// Which.
        app: AppName,
        /// As planned.
        index: u16,
        /// Images of the plan.
        count: usize,
    },
    /// An app has a volume that is not there.
    #[error("app {app} has volume {index} of {count}")]
    NoVolume {
        /// Which.
        app: AppName,
        /// As planned.
        index: u16,
        /// Volumes of the plan.
        count: usize,
    },
    /// An app has a disk that is not there.
    #[error("app {app} has disk {index}, which the machine has not")]
    NoDisk {
        /// Which.
        app: AppName,
        /// As planned.
        index: u8,
    },
    /// A volume has nowhere to be, or nothing to be filled from.
    #[error("volume {index} has no disk")]
    NoVolumeDisk {
        /// Its place in the plan.
        index: usize,
    },
}

/// An app for which nothing can be started.
#[derive(Debug, thiserror::Error)]
#[error("cannot prepare app {app}")]
pub struct PrepareError {
    app: AppName,
    source: PrepareCause,
}

/// Why.
#[derive(Debug, thiserror::Error)]
pub enum PrepareCause {
    /// Its disks.
    #[error(transparent)]
    Partition(#[from] PartitionError),
    /// Its control group.
    #[error(transparent)]
    Cgroup(#[from] CgroupError),
}

/// The devices of an app's root.
#[derive(Debug)]
pub struct Devices {
    /// Images, the first on top, with their numbers in the plan.
    pub layers: Vec<(u16, PathBuf)>,
    /// The writable layer.
    pub scratch: PathBuf,
    /// Those of the volumes that the app shares with others, if any.
    pub volume_scratch: Option<PathBuf>,
    /// Images that its volumes are filled from, with their numbers.
    pub fills: Vec<(u16, PathBuf)>,
    /// Disks of the host among its volumes, with their numbers.
    pub disks: Vec<(u8, DiskVolume, PathBuf)>,
}

impl Pod {
    /// Checks the plan. Nothing is made yet.
    ///
    /// # Errors
    /// When it makes no sense.
    pub fn new(plan: Plan, machine: &Machine) -> Result<Self, PlanError> {
        let mut names = BTreeSet::new();
        for app in &plan.apps {
            if !names.insert(&app.name) {
                return Err(PlanError::SameName {
                    name: app.name.clone(),
                });
            }
            if app.layers.is_empty() {
                return Err(PlanError::NoLayers {
                    app: app.name.clone(),
                });
            }
            let count = plan.images.len();
            if let Some(&index) = app
                .layers
                .iter()
                .find(|&&index| usize::from(index) >= count)
            {
                return Err(PlanError::NoImage {
                    app: app.name.clone(),
                    index,
                    count,
                });
            }
            let count = plan.empty_volumes.len();
            let missing = volumes_of(app).find(|&index| usize::from(index) >= count);
            if let Some(index) = missing {
                return Err(PlanError::NoVolume {
                    app: app.name.clone(),
                    index,
                    count,
                });
            }
            let is_there = |volume: &DiskVolume| usize::from(volume.disk) < MAX_VOLUME_DISKS;
            let known = |index: u8| {
                plan.disk_volumes
                    .get(usize::from(index))
                    .is_some_and(is_there)
            };
            if let Some(index) = disks_of(app).find(|&index| !known(index)) {
                return Err(PlanError::NoDisk {
                    app: app.name.clone(),
                    index,
                });
            }
        }
        let has_disk = |volume: &EmptyVolume| {
            let layers = volume.fill.iter().flat_map(|fill| fill.layers.iter());
            let known = |&layer: &u16| usize::from(layer) < plan.images.len();
            (!volume.shared || plan.volume_scratch.is_some()) && layers.into_iter().all(known)
        };
        if let Some(index) = plan.empty_volumes.iter().position(|v| !has_disk(v)) {
            return Err(PlanError::NoVolumeDisk { index });
        }
        Ok(Self {
            images: Disk::new(&machine.image_disk),
            scratch: Disk::new(&machine.scratch_disk),
            volume_disks: [
                Disk::new(&machine.volume_disks[0]),
                Disk::new(&machine.volume_disks[1]),
            ],
            apps: plan.apps.iter().map(|_| AppState::default()).collect(),
            plan,
            cgroup: None,
        })
    }

    /// The index of an app, which names it here.
    pub fn find(&self, name: &AppName) -> Option<usize> {
        self.plan.apps.iter().position(|app| app.name == *name)
    }

    /// Limits of all apps together.
    pub fn limits(&self) -> Limits {
        self.plan.limits
    }

    /// As planned.
    pub fn app(&self, index: usize) -> &App {
        &self.plan.apps[index]
    }

    /// How far its root has come.
    pub fn root(&self, index: usize) -> &RootState {
        &self.apps[index].root
    }

    /// Makes what the agent itself makes of an app: its partitions and its control group.
    ///
    /// # Errors
    /// When that fails.
    pub fn prepare(&mut self, index: usize, machine: &Machine) -> Result<Devices, PrepareError> {
        self.try_prepare(index, machine)
            .map_err(|source| PrepareError {
                app: self.plan.apps[index].name.clone(),
                source,
            })
    }

    fn try_prepare(&mut self, index: usize, machine: &Machine) -> Result<Devices, PrepareCause> {
        let app = &self.plan.apps[index];
        let state = &mut self.apps[index];
        if state.cgroup.is_none() {
            let used = self.plan.disk_volumes.iter().map(|volume| volume.disk);
            let used = used.max().map_or(0, |last| usize::from(last) + 1);
            let mut disks = machine.image_disk.devices();
            disks.extend(machine.scratch_disk.devices());
            let volumes = machine.volume_disks.iter().take(used);
            disks.extend(volumes.flat_map(|storage| storage.devices()));
            let parent = match &mut self.cgroup {
                Some(parent) => parent,
                parent => parent.insert(parent_group(machine, self.plan.limits, &disks)?),
            };
            state.cgroup = Some(Cgroup::create(
                parent,
                app.name.as_str(),
                app.limits,
                &disks,
            )?);
        }
        let mut layers = Vec::new();
        for &layer in &app.layers {
            let range = self.plan.images[usize::from(layer)];
            layers.push((layer, self.images.partition(layer, range)?));
        }
        let number = u16::try_from(index).unwrap_or(u16::MAX);
        let scratch = self.scratch.partition(number, app.scratch)?;
        let mut devices = Devices {
            layers,
            scratch,
            volume_scratch: None,
            fills: Vec::new(),
            disks: Vec::new(),
        };
        for index in disks_of(app) {
            let volume = &self.plan.disk_volumes[usize::from(index)];
            let disk = &mut self.volume_disks[usize::from(volume.disk)];
            let device = disk.partition(index.into(), volume.partition)?;
            devices.disks.push((index, volume.clone(), device));
        }
        for index in volumes_of(app) {
            let volume = &self.plan.empty_volumes[usize::from(index)];
            if let (true, Some(range)) = (volume.shared, self.plan.volume_scratch) {
                let device = self.scratch.partition(VOLUME_PARTITION, range)?;
                devices.volume_scratch = Some(device);
            }
            for &layer in volume.fill.iter().flat_map(|fill| fill.layers.iter()) {
                let range = self.plan.images[usize::from(layer)];
                let device = self.images.partition(layer, range)?;
                devices.fills.push((layer, device));
            }
        }
        Ok(devices)
    }

    /// Of all apps.
    pub fn empty_volumes(&self) -> &[EmptyVolume] {
        &self.plan.empty_volumes
    }

    /// Its control group, once prepared.
    pub fn cgroup(&self, index: usize) -> Option<&Cgroup> {
        self.apps[index].cgroup.as_ref()
    }

    /// Whether a process of the app was killed for want of memory since the last call.
    pub fn take_out_of_memory(&mut self, index: usize) -> bool {
        self.apps[index]
            .cgroup
            .as_mut()
            .is_some_and(Cgroup::take_out_of_memory)
    }

    /// Process `by`, which runs as `pid`, makes the root.
    pub fn root_begun(&mut self, index: usize, by: ProcessId, pid: Pid) {
        let path = format!("/proc/{}/ns/mnt", pid.as_raw_nonzero());
        // It may be over already: then its namespace is gone, and the next process makes another.
        let namespace = File::open(path).ok().map(OwnedFd::from);
        self.apps[index].root = RootState::Preparing { by, namespace };
    }

    /// The root is there.
    pub fn root_ready(&mut self, index: usize) {
        let root = &mut self.apps[index].root;
        if let RootState::Preparing { namespace, .. } = root {
            *root = namespace
                .take()
                .map_or(RootState::Missing, RootState::Ready);
        }
    }

    /// The root cannot be made.
    pub fn root_failed(&mut self, index: usize, reason: Reason) {
        self.apps[index].root = RootState::Failed(reason);
    }

    /// Process `by` has ended. Returns whether it left a root unfinished.
    pub fn root_abandoned(&mut self, index: usize, by: ProcessId) -> bool {
        let root = &mut self.apps[index].root;
        let abandoned = matches!(root, RootState::Preparing { by: maker, .. } if *maker == by);
        if abandoned {
            *root = RootState::Missing;
        }
        abandoned
    }

    /// Kills every process of every app.
    pub fn kill(&self) {
        self.apps
            .iter()
            .filter_map(|app| app.cgroup.as_ref())
            .for_each(Cgroup::kill);
    }

    /// Lets go of the roots. Without processes that unmounts their file systems before it returns.
    pub fn release_roots(&mut self) {
        for app in &mut self.apps {
            app.root = RootState::Missing;
        }
    }
}

/// Numbers of the empty volumes that an app mounts.
fn volumes_of(app: &App) -> impl Iterator<Item = u16> {
    app.mounts.iter().filter_map(|mount| match mount.source {
        MountSource::EmptyVolume { index } => Some(index),
        _ => None,
    })
}

/// Numbers of the host's disks that an app mounts.
fn disks_of(app: &App) -> impl Iterator<Item = u8> {
    app.mounts.iter().filter_map(|mount| match mount.source {
        MountSource::Disk { index, .. } => Some(index),
        _ => None,
    })
}

/// Where the apps' groups are: in a group of their own when they have limits together.
fn parent_group(
    machine: &Machine,
    limits: Limits,
    disks: &[&Path],
) -> Result<PathBuf, CgroupError> {
    if limits == Limits::default() {
        return Ok(machine.cgroups.clone());
    }
    Cgroup::create(&machine.cgroups, ALL_APPS, limits, disks)?;
    let path = machine.cgroups.join(ALL_APPS);
    cgroup::delegate(&path)?;
    Ok(path)
}

#[cfg(test)]
#[path = "pod_test.rs"]
mod tests;
