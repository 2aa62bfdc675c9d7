//! Which volume each app sees where.
//!
//! A mount of the pod's manifest names a volume and a path. A mount point of the app has such a mount, or else a volume of the
//! pod with its name, or else an empty volume that nobody declared: that one is made, with a warning (rkt's rule).

use std::collections::BTreeMap;

use bulkhead_pod::manifest::{
    AbsolutePath, AcName, App, FsType, MountPoint, RuntimeApp, Volume, VolumeKind,
};
use bulkhead_protocol::bounded::Text;
use bulkhead_protocol::plan::{
    AppName, DiskVolume, EmptyVolume, Fill, ImageFiles, Mount, MountSource,
};

use super::disk_volumes::HostDisks;
use super::shares::Shares;
use super::{HostDisk, Input, PlanError, Share, ShareKind, Source, bound};

/// The volumes of a pod.
#[derive(Debug, Default)]
pub(super) struct Volumes {
    pub(super) empty: Vec<EmptyVolume>,
    /// Whether an empty one is mounted by several apps.
    pub(super) shared: bool,
    /// Of each app, in order: a mount below another comes after it.
    pub(super) mounts: Vec<Vec<Mount>>,
    /// Of the host.
    pub(super) shares: Vec<Share>,
    /// Disks of the host, as the agent and as the host see them.
    pub(super) disks: (Vec<DiskVolume>, Vec<HostDisk>),
    pub(super) warnings: Vec<String>,
}

/// What tells volumes apart: a name of the pod, or of one app (by its place).
pub(super) type Key = (Option<usize>, String);

/// What of the host the machine has, so far.
struct OfHost {
    shares: Shares<Key>,
    disks: HostDisks<Key>,
}

/// A volume at a place of an app.
struct Place<'a> {
    target: String,
    /// Where the manifest says so.
    field: String,
    key: Key,
    kind: &'a VolumeKind,
    read_only: bool,
    /// Whether the app's image expects a volume there.
    declared: bool,
}

/// Of an empty volume that nobody declared.
const IMPLICIT: VolumeKind = VolumeKind::Empty {
    mode: None,
    uid: None,
    gid: None,
};

pub(super) fn resolve(
    input: &Input<'_>,
    apps: &[(&App, AppName)],
    roots: &[ImageFiles],
    shares: Shares<Key>,
) -> Result<Volumes, PlanError> {
    let mut volumes = Volumes::default();
    let mut places = Vec::new();
    for (index, (app, name)) in apps.iter().enumerate() {
        let mut of_app = explicit(input, index, app);
        implied(input, index, app, name, &mut of_app, &mut volumes.warnings);
        check(&of_app, name)?;
        of_app.sort_by_key(|place| place.target.matches('/').count());
        places.push(of_app);
    }
    let mut known = BTreeMap::new();
    let mut of_host = OfHost {
        shares,
        disks: HostDisks::default(),
    };
    for (index, (of_app, (_, name))) in places.iter().zip(apps).enumerate() {
        for place in of_app {
            let image = input.images[index]
                .manifest
                .is_converted()
                .then_some(&roots[index]);
            if matches!(place.kind, VolumeKind::Empty { .. }) {
                volumes.note(place, index, image, name, &mut known)?;
            }
        }
    }
    volumes.shared = volumes.empty.iter().any(|volume| volume.shared);
    for (of_app, (_, name)) in places.iter().zip(apps) {
        let mounts: Result<_, _> = of_app
            .iter()
            .map(|place| {
                let source = match place.kind {
                    VolumeKind::Empty { .. } => place.empty_volume(&known),
                    VolumeKind::Host { source, recursive } => {
                        place.of_host(source, *recursive, input, name, &mut of_host)?
                    }
                    VolumeKind::Disk { source, fs_type } => {
                        place.disk(source, *fs_type, input, name, &mut of_host.disks)?
                    }
                };
                place.mount(name, source)
            })
            .collect();
        volumes.mounts.push(mounts?);
    }
    volumes.shares = of_host.shares.all;
    volumes.disks = of_host.disks.lay_out()?;
    Ok(volumes)
}

/// The mounts that the pod's manifest names.
fn explicit<'a>(input: &Input<'a>, index: usize, app: &App) -> Vec<Place<'a>> {
    let runtime: &'a RuntimeApp = &input.manifest.apps[index];
    let mut places = Vec::new();
    for (number, mount) in runtime.mounts.iter().enumerate() {
        let (owner, volume) = match &mount.app_volume {
            Some(volume) => (Some(index), Some(volume)),
            None => (None, volume_of(input, &mount.volume)),
        };
        // A manifest with a dangling mount is not valid.
        let Some(volume) = volume else { continue };
        let target = plain(mount.path.as_str());
        let point = app.mount_points.iter().find(|p| p.name == mount.volume);
        let at_path = |p: &MountPoint| plain(p.path.as_str()) == target;
        places.push(Place {
            field: format!("mounts[{number}].path"),
            key: (owner, volume.name.to_string()),
            kind: &volume.kind,
            read_only: volume
                .read_only
                .unwrap_or_else(|| point.is_some_and(|p| p.read_only)),
            declared: app.mount_points.iter().any(at_path),
            target,
        });
    }
    places
}

/// The mount points of the app that no mount is for.
fn implied<'a>(
    input: &Input<'a>,
    index: usize,
    app: &App,
    name: &AppName,
    places: &mut Vec<Place<'a>>,
    warnings: &mut Vec<String>,
) {
    for (number, point) in app.mount_points.iter().enumerate() {
        let target = plain(point.path.as_str());
        if places.iter().any(|place| place.target == target) {
            continue;
        }
        let field = format!("app.mountPoints[{number}].path");
        let (key, kind, read_only) = if let Some(volume) = volume_of(input, &point.name) {
            let key = (None, volume.name.to_string());
            (key, &volume.kind, volume.read_only)
        } else {
            let volume = format!("{name}-{}", point.name);
            warnings.push(format!(
                "app {name}: no volume for mount point {} at {target}: the empty volume {volume} is made for it, and goes with the pod",
                point.name
            ));
            ((Some(index), volume), &IMPLICIT, None)
        };
        places.push(Place {
            target,
            field,
            key,
            kind,
            read_only: read_only.unwrap_or(point.read_only),
            declared: true,
        });
    }
}

fn check(places: &[Place<'_>], app: &AppName) -> Result<(), PlanError> {
    for (index, place) in places.iter().enumerate() {
        let refuse = |problem: String| {
            Err(PlanError::Volume {
                app: app.clone(),
                field: place.field.clone(),
                problem,
            })
        };
        let volume = &place.key.1;
        let target = &place.target;
        if target == "/" {
            return refuse(format!("volume {volume} cannot take the place of the root"));
        }
        if is_below(target, "/proc") {
            return refuse(format!(
                "volume {volume} cannot be mounted at {target}: programs rely on what the kernel shows there"
            ));
        }
        if let Some(other) = places[..index].iter().find(|p| p.target == *target) {
            let other = &other.key.1;
            return refuse(format!(
                "volume {volume} cannot be mounted at {target}, where volume {other} is"
            ));
        }
    }
    Ok(())
}

impl Volumes {
    /// Enters the empty volume of a place. `image` is that of an app whose volumes are filled from it.
    fn note(
        &mut self,
        place: &Place<'_>,
        app: usize,
        image: Option<&ImageFiles>,
        name: &AppName,
        known: &mut BTreeMap<Key, (u16, usize)>,
    ) -> Result<(), PlanError> {
        let VolumeKind::Empty { mode, uid, gid } = place.kind else {
            return Ok(());
        };
        let next = u16::try_from(self.empty.len()).unwrap_or(u16::MAX);
        let (index, first) = *known.entry(place.key.clone()).or_insert((next, app));
        if index == next {
            self.empty.push(EmptyVolume {
                shared: false,
                mode: mode.map(|mode| mode.bits()),
                uid: *uid,
                gid: *gid,
                fill: None,
            });
        }
        let volume = &mut self.empty[usize::from(index)];
        volume.shared |= first != app;
        if let (Some(image), true, None) = (image, place.declared, &volume.fill) {
            let whose = |what: &str| format!("app {name}: {what} of {}", place.target);
            volume.fill = Some(Fill {
                image: image.clone(),
                path: Text::try_from(place.target.as_str()).map_err(bound(whose("the path")))?,
            });
        }
        Ok(())
    }
}

impl Place<'_> {
    fn empty_volume(&self, known: &BTreeMap<Key, (u16, usize)>) -> MountSource {
        let (index, _) = known[&self.key];
        MountSource::EmptyVolume { index }
    }

    /// A host volume: a share, or a disk where the source is a block device.
    fn of_host(
        &self,
        source: &AbsolutePath,
        recursive: Option<bool>,
        input: &Input<'_>,
        app: &AppName,
        of_host: &mut OfHost,
    ) -> Result<MountSource, PlanError> {
        let kind = match self.look_at(source, input, app)? {
            Source::Raw(raw) if raw.device => {
                return self.disk(source, None, input, app, &mut of_host.disks);
            }
            Source::Raw(_) => ShareKind::File,
            Source::Directory => ShareKind::Directory,
        };
        let share = Share {
            whose: format!("volume {}", self.key.1),
            source: source.to_string(),
            kind,
            read_only: self.read_only,
            recursive: recursive.unwrap_or(true),
        };
        let index = of_host.shares.index(self.key.clone(), share);
        Ok(MountSource::Share {
            index: index.map_err(|problem| self.refuse(app, problem))?,
            file: kind == ShareKind::File,
        })
    }

    fn disk(
        &self,
        source: &AbsolutePath,
        fs_type: Option<FsType>,
        input: &Input<'_>,
        app: &AppName,
        disks: &mut HostDisks<Key>,
    ) -> Result<MountSource, PlanError> {
        let volume = self.key.1.clone();
        let Source::Raw(raw) = self.look_at(source, input, app)? else {
            let problem = format!("volume {volume}: {source}: is a directory, and no disk");
            return Err(self.refuse(app, problem));
        };
        let disk = HostDisk {
            volume,
            source: source.to_string(),
            raw,
            read_only: self.read_only,
        };
        let index = disks.index(self.key.clone(), disk, fs_type);
        let (index, node) = index.map_err(|problem| self.refuse(app, problem))?;
        Ok(MountSource::Disk { index, node })
    }

    fn look_at(
        &self,
        source: &AbsolutePath,
        input: &Input<'_>,
        app: &AppName,
    ) -> Result<Source, PlanError> {
        let problem = match input.sources.get(source.as_str()) {
            Some(Ok(found)) => return Ok(*found),
            Some(Err(problem)) => problem,
            None => "was not looked at",
        };
        let volume = &self.key.1;
        Err(self.refuse(app, format!("volume {volume}: {source}: {problem}")))
    }

    fn refuse(&self, app: &AppName, problem: String) -> PlanError {
        PlanError::Volume {
            app: app.clone(),
            field: self.field.clone(),
            problem,
        }
    }

    fn mount(&self, app: &AppName, source: MountSource) -> Result<Mount, PlanError> {
        let target = Text::try_from(self.target.as_str());
        Ok(Mount {
            target: target.map_err(bound(format!("app {app}: {}", self.field)))?,
            source,
            read_only: self.read_only,
        })
    }
}

fn volume_of<'a>(input: &Input<'a>, name: &AcName) -> Option<&'a Volume> {
    input.manifest.volumes.iter().find(|v| v.name == *name)
}

/// The path without what means nothing in it: `/a//b/./` is `/a/b`. A manifest's path has no `..`.
fn plain(path: &str) -> String {
    let parts = path.split('/').filter(|part| !matches!(*part, "" | "."));
    let mut plain: String = parts.flat_map(|part| ["/", part]).collect();
    if plain.is_empty() {
        plain.push('/');
    }
    plain
}

/// Whether `path`, which is plain, is `directory` or in it.
pub(super) fn is_below(path: &str, directory: &str) -> bool {
    path.strip_prefix(directory)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
#[path = "volumes_test.rs"]
mod tests;
