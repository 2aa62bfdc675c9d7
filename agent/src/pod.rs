//! The pod as it stands: what was planned, and how far each app's root has come.

mod check;
mod damage;

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use bulkhead_protocol::mutable::AddedApp;
use bulkhead_protocol::plan::{
    App, AppName, DiskVolume, EmptyVolume, Limits, Listener, MAX_VOLUME_DISKS, Partition, Plan,
    Process, ProcessId, VOLUME_PARTITION,
};
use rustix::process::Pid;

use self::check::{disks_of, volumes_of};
use crate::cgroup::{self, Cgroup, CgroupError};
use crate::disk::{Arrived, Disk, PartitionError};
use crate::images::{ImageError, Images};
use crate::reason::Reason;
use crate::setup::Machine;

/// The group of all apps. No app's name has a dot.
const ALL_APPS: &str = "all.apps";

/// See the module docs.
#[derive(Debug)]
pub struct Pod {
    scratch_disk: Disk,
    volume_disks: [Disk; MAX_VOLUME_DISKS],
    images: Images,
    empty_volumes: Vec<EmptyVolume>,
    limits: Limits,
    volume_scratch: Option<Partition>,
    disk_volumes: Vec<DiskVolume>,
    listeners: Vec<Listener>,
    /// All that there ever were: their places are their numbers.
    apps: Vec<AppState>,
    /// Directory of the apps' control groups, once one was made.
    cgroup: Option<PathBuf>,
}

/// Of one app.
#[derive(Debug)]
struct AppState {
    plan: App,
    cgroup: Option<Cgroup>,
    root: RootState,
    is_removed: bool,
}

impl AppState {
    fn of(plan: App) -> Self {
        Self {
            plan,
            cgroup: None,
            root: RootState::Missing,
            is_removed: false,
        }
    }
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
    /// An app is not the one that comes next.
    #[error("the pod's app {number} comes when it has had {count}")]
    Number {
        /// As planned.
        number: u16,
        /// Apps that there ever were.
        count: usize,
    },
    /// A volume has nowhere to be, or nothing to be filled from.
    #[error("volume {index} has no disk")]
    NoVolumeDisk {
        /// Its place in the plan.
        index: usize,
    },
}

/// An app that cannot be removed, or not yet.
#[derive(Debug, thiserror::Error)]
pub enum RemoveError {
    /// Its control group, which has processes as long as they are ending.
    #[error("remove its control group")]
    Cgroup(#[source] io::Error),
    /// Its writable layer's partition, which somebody has mounted.
    #[error("give up its partition")]
    Partition(#[source] io::Error),
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
    /// Its images.
    #[error(transparent)]
    Image(#[from] ImageError),
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
        let mut pod = Self {
            scratch_disk: Disk::new(&machine.scratch_disk),
            volume_disks: [
                Disk::new(&machine.volume_disks[0]),
                Disk::new(&machine.volume_disks[1]),
            ],
            images: Images::new(
                &machine.image_disk,
                machine.mapper.as_deref(),
                plan.images.into_vec(),
            ),
            empty_volumes: plan.empty_volumes.to_vec(),
            limits: plan.limits,
            volume_scratch: plan.volume_scratch,
            disk_volumes: plan.disk_volumes.into_vec(),
            listeners: plan.listeners.into_vec(),
            apps: Vec::new(),
            cgroup: None,
        };
        for app in plan.apps.into_vec() {
            check::app(&pod, &app)?;
            pod.apps.push(AppState::of(app));
        }
        check::volumes(&pod)?;
        Ok(pod)
    }

    /// One more app. Nothing is made of it yet.
    ///
    /// # Errors
    /// When it makes no sense, or is not the next one.
    pub fn add(&mut self, added: AddedApp) -> Result<(), PlanError> {
        if usize::from(added.number) != self.apps.len() {
            return Err(PlanError::Number {
                number: added.number,
                count: self.apps.len(),
            });
        }
        self.images.extend(&added.images);
        self.empty_volumes.extend(added.empty_volumes.into_vec());
        check::app(self, &added.app)?;
        check::volumes(self)?;
        self.apps.push(AppState::of(added.app));
        Ok(())
    }

    /// The devices of an app that comes.
    pub fn provide(&mut self, arrived: Arrived) {
        if let Some((number, part)) = arrived.image {
            self.images.provide(number, part);
        }
        let (number, part) = arrived.scratch;
        self.scratch_disk.insert(number, part);
    }

    /// Whether the disks have come to where an app lies on them.
    pub fn has_disks(&self, index: usize) -> bool {
        let app = &self.apps[index].plan;
        let mut layers = app.image.layers().iter();
        let number = u16::try_from(index).unwrap_or(u16::MAX);
        layers.all(|layer| self.images.has(*layer))
            && self.scratch_disk.reaches(number, app.scratch)
    }

    /// The number of apps that there ever were.
    pub fn count(&self) -> usize {
        self.apps.len()
    }

    /// Whether the app is gone.
    pub fn is_removed(&self, index: usize) -> bool {
        self.apps[index].is_removed
    }

    /// Takes an app away that never was of use: nothing was made of it, or what was made can stay.
    pub fn give_up(&mut self, index: usize) {
        self.apps[index].is_removed = true;
    }

    /// Gives up what the agent has made of an app, whose processes were killed. To be tried again while some are still ending.
    ///
    /// # Errors
    /// What the kernel says of the step that cannot be done yet.
    pub fn remove(&mut self, index: usize) -> Result<(), RemoveError> {
        let state = &mut self.apps[index];
        if let Some(cgroup) = &state.cgroup {
            cgroup.remove().map_err(RemoveError::Cgroup)?;
        }
        state.cgroup = None;
        // The last hold on its file systems: they are unmounted before this returns.
        state.root = RootState::Missing;
        let number = u16::try_from(index).unwrap_or(u16::MAX);
        self.scratch_disk
            .drop_partition(number)
            .map_err(RemoveError::Partition)?;
        state.is_removed = true;
        Ok(())
    }

    /// Kills every process of an app.
    pub fn kill_app(&self, index: usize) {
        if let Some(cgroup) = &self.apps[index].cgroup {
            cgroup.kill_each();
        }
    }

    /// The index of an app, which names it here.
    pub fn find(&self, name: &AppName) -> Option<usize> {
        let is_it = |app: &AppState| app.plan.name == *name && !app.is_removed;
        self.apps.iter().position(is_it)
    }

    /// The names of the sockets of a program, in its order.
    pub fn names_of(&self, process: &Process) -> Vec<&str> {
        let places = process.listeners.iter();
        let listeners = places.filter_map(|place| self.listeners.get(usize::from(*place)));
        listeners.map(|listener| listener.name.as_str()).collect()
    }

    /// Limits of all apps together.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// As planned.
    pub fn app(&self, index: usize) -> &App {
        &self.apps[index].plan
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
                app: self.apps[index].plan.name.clone(),
                source,
            })
    }

    fn try_prepare(&mut self, index: usize, machine: &Machine) -> Result<Devices, PrepareCause> {
        let state = &mut self.apps[index];
        let app = &state.plan;
        if state.cgroup.is_none() {
            let used = self.disk_volumes.iter().map(|volume| volume.disk);
            let used = used.max().map_or(0, |last| usize::from(last) + 1);
            let mut disks = machine.image_disk.devices();
            disks.extend(machine.scratch_disk.devices());
            let volumes = machine.volume_disks.iter().take(used);
            disks.extend(volumes.flat_map(|storage| storage.devices()));
            let parent = match &mut self.cgroup {
                Some(parent) => parent,
                parent => parent.insert(parent_group(machine, self.limits, &disks)?),
            };
            state.cgroup = Some(Cgroup::create(
                parent,
                app.name.as_str(),
                app.limits,
                &disks,
            )?);
        }
        let mut layers = Vec::new();
        for &layer in app.image.layers() {
            layers.push((layer, self.images.device(layer)?));
        }
        let number = u16::try_from(index).unwrap_or(u16::MAX);
        let scratch = self.scratch_disk.partition(number, app.scratch)?;
        let mut devices = Devices {
            layers,
            scratch,
            volume_scratch: None,
            fills: Vec::new(),
            disks: Vec::new(),
        };
        for index in disks_of(app) {
            let volume = &self.disk_volumes[usize::from(index)];
            let disk = &mut self.volume_disks[usize::from(volume.disk)];
            let device = disk.partition(index.into(), volume.partition)?;
            devices.disks.push((index, volume.clone(), device));
        }
        for index in volumes_of(app) {
            let volume = &self.empty_volumes[usize::from(index)];
            if let (true, Some(range)) = (volume.shared, self.volume_scratch) {
                let device = self.scratch_disk.partition(VOLUME_PARTITION, range)?;
                devices.volume_scratch = Some(device);
            }
            for &layer in volume.fill.iter().flat_map(|fill| fill.image.layers()) {
                devices.fills.push((layer, self.images.device(layer)?));
            }
        }
        Ok(devices)
    }

    /// Of all apps.
    pub fn empty_volumes(&self) -> &[EmptyVolume] {
        &self.empty_volumes
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
