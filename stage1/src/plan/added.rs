//! An app for a pod that runs: planned like the only app of a pod, and then given its place among those that were there before.

use bulkhead_pod::manifest::{App, ImageId, Isolator, PodContents, PodManifest};
use bulkhead_protocol::MAX_APPS;
use bulkhead_protocol::bounded::List;
use bulkhead_protocol::mutable::{AddedApp, EMPTY_DISK};
use bulkhead_protocol::plan::{
    DiskImage, Fill, ImageFiles, MAX_EMPTY_VOLUMES, MountSource, Process,
};
use bulkhead_protocol::relay::Outputs;

use super::{
    Image, Input, Plan, PlanError, Pod, Share, ShareKind, VmSize, bounded, limits, of_pod, resolve,
};

/// The files that tell of another app end so (rkt).
const RESERVED: [&str; 2] = ["-created", "-started"];

/// What a pod that began without apps has been given so far. Places are never given twice: a partition in the guest may outlive
/// its app.
#[derive(Debug)]
pub struct Grown {
    apps: u16,
    /// Shares of the machine that wait for apps, and how many of those came.
    waiting_shares: u8,
    shares: u8,
    images: Vec<ImageId>,
    images_end: u64,
    scratch_end: u64,
    empty_volumes: usize,
}

impl Grown {
    /// Nothing, of a pod whose machine has so many shares that wait for apps.
    #[must_use]
    pub fn new(waiting_shares: u8) -> Self {
        Self {
            apps: 0,
            waiting_shares,
            shares: 0,
            images: Vec::new(),
            images_end: EMPTY_DISK,
            scratch_end: EMPTY_DISK,
            empty_volumes: 0,
        }
    }
}

/// An app that can be added.
#[derive(Debug)]
pub struct Added {
    /// For the agent.
    pub app: AddedApp,
    /// Its program; the id is still to be given.
    pub process: Process,
    /// Where its outputs go.
    pub outputs: Outputs,
    /// The place of its image among all, if the pod does not have it yet.
    pub new_image: Option<u16>,
    /// What the user should know.
    pub warnings: Vec<String>,
    /// The directory of the host that is its root, if it has one.
    pub root: Option<Share>,
    image: ImageId,
}

impl Grown {
    /// Plans the app of this name. The input has the whole pod's manifest, and the image of this app alone; `size` is that of the
    /// machine, where there is one.
    ///
    /// # Errors
    /// When the app asks for what cannot be done, or cannot be done in a running pod.
    pub fn plan(
        &self,
        input: &Input<'_>,
        name: &str,
        size: Option<VmSize>,
    ) -> Result<Added, PlanError> {
        if usize::from(self.apps) >= MAX_APPS {
            return Err(PlanError::LifeIsOver);
        }
        if RESERVED.iter().any(|end| name.ends_with(end)) {
            return Err(PlanError::ReservedName {
                name: name.to_owned(),
            });
        }
        let manifest = alone(input.manifest, name)?;
        let pod = resolve(&Input {
            manifest: &manifest,
            mutable: false,
            ..*input
        })?;
        refuse_what_needs_a_start(&manifest, input.images, &pod, name)?;
        if size.is_some() && !pod.shares.is_empty() && self.shares >= self.waiting_shares {
            return Err(PlanError::NoShare {
                name: name.to_owned(),
                waiting: self.waiting_shares,
            });
        }
        if let Some(size) = size {
            let pod_limits = limits::of(of_pod(input.manifest), "the pod")?;
            let of_others = input
                .manifest
                .apps
                .iter()
                .filter(|app| app.name.as_str() != name);
            // Of others whose images say it all the manifest here says nothing: they were counted when they were added.
            let of_others = of_others.filter_map(|app| Some((app.app.as_ref()?, &app.name)));
            let of_others: Result<Vec<_>, _> = of_others
                .map(|(app, name)| limits::of_app(app, &format!("app {name}"), pod_limits))
                .collect();
            let own = pod.plan.apps.iter().map(|app| app.limits);
            size.admit(name, own.chain(of_others?))?;
        }
        self.place(pod, manifest.apps[0].image.id.clone(), size.is_some())
    }

    fn place(&self, pod: Pod, image: ImageId, has_machine: bool) -> Result<Added, PlanError> {
        let Plan {
            apps,
            images,
            empty_volumes,
            ..
        } = pod.plan;
        let (Some(mut app), Some(process), Some(outputs)) = (
            apps.into_vec().pop(),
            pod.processes.into_iter().next(),
            pod.outputs.into_iter().next(),
        ) else {
            return Err(PlanError::NoApps);
        };
        let known = self.images.iter().position(|known| *known == image);
        let layer = u16::try_from(known.unwrap_or(self.images.len())).unwrap_or(u16::MAX);
        let moved = |start: u64, length: u64, by: u64| {
            let moved = start.checked_add(by);
            let moved = moved.filter(|start| start.checked_add(length).is_some());
            let what = format!("app {}", app.name);
            moved.ok_or(super::DiskError::TooLong { what })
        };
        let mut new_images = Vec::new();
        let root = pod.shares.into_iter().next();
        let is_new = known.is_none() && root.is_none();
        if is_new {
            for image in &images {
                let start = moved(image.start, image.verity.length(), self.images_end)?;
                new_images.push(DiskImage { start, ..*image });
            }
        }
        app.scratch.start = moved(app.scratch.start, app.scratch.length, self.scratch_end)?;
        app.image = match &root {
            None => ImageFiles::Layers(bounded("layers", vec![layer])?),
            Some(_) if has_machine => ImageFiles::Share(self.shares),
            Some(_) => ImageFiles::Share(u8::try_from(self.apps).expect("below MAX_APPS")),
        };
        app.mounts = self.mounts(app.mounts.into_vec())?;
        let volumes = empty_volumes.into_vec().into_iter();
        let volumes = volumes.map(|mut volume| {
            if let Some(Fill { image, .. }) = &mut volume.fill {
                image.clone_from(&app.image);
            }
            volume
        });
        let volumes: Vec<_> = volumes.collect();
        if self.empty_volumes + volumes.len() > MAX_EMPTY_VOLUMES {
            return Err(PlanError::LifeIsOver);
        }
        Ok(Added {
            new_image: is_new.then_some(layer),
            app: AddedApp {
                number: self.apps,
                app,
                images: bounded("the app's images", new_images)?,
                empty_volumes: bounded("the app's empty volumes", volumes)?,
            },
            process,
            outputs,
            warnings: pod.warnings,
            root,
            image,
        })
    }

    /// Volumes are counted over all apps.
    fn mounts<const MAX: usize>(
        &self,
        mut mounts: Vec<bulkhead_protocol::plan::Mount>,
    ) -> Result<List<bulkhead_protocol::plan::Mount, MAX>, PlanError> {
        for mount in &mut mounts {
            if let MountSource::EmptyVolume { index } = &mut mount.source {
                let index_of_all = usize::from(*index) + self.empty_volumes;
                *index = u16::try_from(index_of_all).unwrap_or(u16::MAX);
            }
        }
        bounded("the app's mounts", mounts)
    }

    /// The app has its place.
    pub fn take(&mut self, added: &Added) {
        self.apps += 1;
        self.shares += u8::from(added.root.is_some());
        for image in &added.app.images {
            self.images.push(added.image.clone());
            self.images_end = image.start + image.verity.length();
        }
        let scratch = added.app.app.scratch;
        self.scratch_end = scratch.start + scratch.length;
        self.empty_volumes += added.app.empty_volumes.len();
    }
}

/// The pod as it would be with this app alone.
fn alone(manifest: &PodManifest, name: &str) -> Result<PodManifest, PlanError> {
    let app = manifest.app(name).cloned();
    let app = app.ok_or_else(|| PlanError::NoSuchApp {
        name: name.to_owned(),
    })?;
    let contents = PodContents {
        apps: vec![app],
        ..PodContents::clone(manifest)
    };
    Ok(PodManifest::new(contents)?)
}

/// What a machine gets when it is built, and its kernel before the first app.
fn refuse_what_needs_a_start(
    manifest: &PodManifest,
    images: &[Image],
    pod: &Pod,
    name: &str,
) -> Result<(), PlanError> {
    let refuse = |what: String| {
        let name = name.to_owned();
        Err(PlanError::NeedsStart { name, what })
    };
    if let Some(share) = pod
        .shares
        .iter()
        .find(|share| share.kind != ShareKind::Root)
    {
        return refuse(format!("{} of the host", share.whose));
    }
    if let Some(disk) = pod.disks.first() {
        return refuse(format!("volume {}, a disk of the host", disk.volume));
    }
    if pod.plan.volume_scratch.is_some() {
        return refuse("a volume that it shares with other apps".to_owned());
    }
    let own = manifest.apps.iter().filter_map(|app| app.app.as_ref());
    let of_image = images
        .iter()
        .filter_map(|image| image.manifest.app.as_ref());
    let mut apps: Vec<&App> = own.collect();
    if apps.is_empty() {
        apps.extend(of_image);
    }
    let mut isolators = apps.iter().flat_map(|app| &app.isolators);
    if isolators.any(|isolator| matches!(isolator, Isolator::Sysctl(_))) {
        return refuse("isolator os/unix/sysctl".to_owned());
    }
    Ok(())
}

#[cfg(test)]
#[path = "added_test.rs"]
mod tests;
