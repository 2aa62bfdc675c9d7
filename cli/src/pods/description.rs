//! What there is to say of a pod, and its JSON form: rkt's, whose pods have times in seconds and whose apps in nanoseconds.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use bulkhead_pod::Uuid;
use bulkhead_pod::found::FoundPod;
use bulkhead_pod::lifecycle::PodError;
use bulkhead_pod::manifest::{Label, Mount, PodManifest, RuntimeApp, TextMap, VolumeKind};
use bulkhead_pod::mutable::MUTABLE;
use bulkhead_pod::record::{AppExit, AppTimes, PodProcess, RecordError};
use bulkhead_pod::state::State;
use serde::Serialize;

/// Everything that a pod's directory tells.
#[derive(Debug)]
pub(crate) struct Description {
    pub(crate) uuid: Uuid,
    pub(crate) state: State,
    /// None while it is being prepared or deleted.
    pub(crate) manifest: Option<PodManifest>,
    pub(crate) created: Option<SystemTime>,
    /// Since it has started.
    pub(crate) process: Option<PodProcess>,
    /// In the order of the manifest's apps: how each ended, if it has.
    pub(crate) exits: Vec<Option<AppExit>>,
    /// Of a mutable pod, by the names of its apps.
    times: BTreeMap<String, AppTimes>,
    /// In the order of the manifest's apps the names of their images; only where they are wanted and can be read.
    pub(crate) image_names: Vec<Option<String>>,
    /// What should be there and is not, or is something else.
    pub(crate) damage: Vec<RecordError>,
}

impl Description {
    /// Reads a pod, with the names of its images or without; none when it is deleted meanwhile.
    pub(crate) fn of(
        data: &Path,
        pod: FoundPod,
        with_images: bool,
    ) -> Result<Option<Self>, PodError> {
        let mut described = Self::read(&pod, with_images);
        // What is missing in a pod that moved on meanwhile is no damage. It moves a few times in its life at most.
        while !described.damage.is_empty() {
            let Some(now) = FoundPod::look_up(data, described.uuid)? else {
                return Ok(None);
            };
            if now.state() == described.state {
                break;
            }
            described = Self::read(&now, with_images);
        }
        Ok(Some(described))
    }

    fn read(pod: &FoundPod, with_images: bool) -> Self {
        let mut damage = Damage::default();
        let manifest = damage.sort(pod.manifest());
        let apps = manifest.iter().flat_map(|manifest| &manifest.apps);
        let exits = apps
            .clone()
            .map(|app| damage.sort(pod.app_exit(&app.name)))
            .collect();
        let come_and_go = manifest.as_ref().is_some_and(is_mutable);
        let times = apps.clone().filter(|_| come_and_go);
        let times = times
            .map(|app| (app.name.as_str().to_owned(), pod.app_times(&app.name)))
            .collect();
        let images = apps.filter(|_| with_images);
        let image_names = images
            .map(|app| damage.sort(image_name(pod, app).map(Some)))
            .collect();
        let complete = !matches!(
            pod.state(),
            State::Embryo | State::Preparing | State::AbortedPrepare
        );
        if manifest.is_none() && complete && damage.0.is_empty() {
            let file = "pod".to_owned();
            damage.0.push(RecordError::Missing { file });
        }
        let created = damage.sort(pod.created());
        let process = damage.sort(pod.process());
        // Of one that is being deleted nothing is missed.
        if matches!(pod.state(), State::ExitedDeleting | State::Deleting) {
            damage.0.clear();
        }
        Self {
            manifest,
            created,
            process,
            exits,
            times,
            image_names,
            damage: damage.0,
            uuid: pod.uuid(),
            state: pod.state(),
        }
    }

    /// The pod's apps, and how each ended.
    pub(crate) fn apps(&self) -> impl Iterator<Item = (&RuntimeApp, Option<AppExit>)> {
        let apps = self.manifest.iter().flat_map(|manifest| &manifest.apps);
        apps.zip(self.exits.iter().copied())
    }

    /// When it started, if it has.
    pub(crate) fn started(&self) -> Option<SystemTime> {
        self.process.map(|process| process.started)
    }

    /// Whether its manifest should be there and cannot be read.
    pub(crate) fn is_damaged(&self) -> bool {
        let without = [
            State::Preparing,
            State::AbortedPrepare,
            State::ExitedDeleting,
        ];
        self.manifest.is_none() && !without.contains(&self.state)
    }

    /// The form that programs read.
    pub(crate) fn json(&self) -> PodJson<'_> {
        let apps: Vec<_> = self.apps().map(|(app, exit)| self.app(app, exit)).collect();
        let map = |of: fn(&PodManifest) -> &TextMap| self.manifest.as_ref().map(of).map(texts);
        PodJson {
            name: self.uuid.to_string(),
            state: self.state.as_str(),
            app_names: apps.iter().map(|app| app.name).collect(),
            apps,
            created_at: self.created.map(seconds),
            started_at: self.started().map(seconds),
            user_annotations: map(|manifest| &manifest.user_annotations).unwrap_or_default(),
            user_labels: map(|manifest| &manifest.user_labels).unwrap_or_default(),
        }
    }

    /// The form of one app.
    pub(crate) fn app<'a>(&'a self, app: &'a RuntimeApp, exit: Option<AppExit>) -> AppJson<'a> {
        let times = self.times.get(app.name.as_str());
        let times = times.copied().unwrap_or_default();
        let (created, started) = match self.is_mutable() {
            true => (times.created, times.started),
            false => (self.created, self.started()),
        };
        let state = match (exit, self.state) {
            (Some(_), _) => "exited",
            (None, state) if state.is_finished() && state != State::AbortedPrepare => "exited",
            (None, State::Running) if self.is_mutable() => of_running(times),
            (None, State::Running) => "running",
            (None, State::Prepared) => "created",
            (None, _) => "unknown",
        };
        let own = app.app.as_ref();
        AppJson {
            name: app.name.as_str(),
            state,
            created_at: created.map(nanoseconds),
            started_at: started.map(nanoseconds),
            finished_at: exit.map(|exit| nanoseconds(exit.time)),
            exit_code: exit.map(|exit| exit.code),
            image_id: app.image.id.as_str(),
            mounts: app.mounts.iter().map(|mount| self.mount(mount)).collect(),
            user_annotations: own
                .map(|app| texts(&app.user_annotations))
                .unwrap_or_default(),
            user_labels: own.map(|app| texts(&app.user_labels)).unwrap_or_default(),
        }
    }

    /// Whether its apps come and go.
    pub(crate) fn is_mutable(&self) -> bool {
        self.manifest.as_ref().is_some_and(is_mutable)
    }

    fn mount<'a>(&'a self, mount: &'a Mount) -> MountJson<'a> {
        let of_pod = self.manifest.iter().flat_map(|manifest| &manifest.volumes);
        let volume = mount.app_volume.as_ref();
        let volume = volume.or_else(|| of_pod.clone().find(|volume| volume.name == mount.volume));
        let source = volume.map_or("", |volume| match &volume.kind {
            VolumeKind::Host { source, .. } | VolumeKind::Disk { source, .. } => source.as_str(),
            VolumeKind::Empty { .. } => "",
        });
        MountJson {
            name: mount.volume.as_str(),
            container_path: mount.path.as_str(),
            host_path: source,
            read_only: volume.and_then(|volume| volume.read_only).unwrap_or(false),
        }
    }
}

/// Whether the apps of a pod come and go.
pub(crate) fn is_mutable(manifest: &PodManifest) -> bool {
    let (name, value) = MUTABLE;
    let mut annotations = manifest.annotations.iter();
    annotations.any(|a| a.name.as_str() == name && a.value.as_str() == value)
}

/// The state of an app that has not ended, in a mutable pod that runs.
fn of_running(times: AppTimes) -> &'static str {
    match (times.started, times.created) {
        (Some(_), _) => "running",
        (None, Some(_)) => "created",
        (None, None) => "unknown",
    }
}

/// With its version, where it has one.
/// As the pod's manifest has it. One that was written by hand need not, and then the image's own is read.
fn image_name(pod: &FoundPod, app: &RuntimeApp) -> Result<String, RecordError> {
    let version = |labels: &[Label]| {
        let version = labels.iter().find(|label| label.name.as_str() == "version");
        version.map(|version| version.value.clone())
    };
    let (name, version) = match &app.image.name {
        Some(name) => (name.to_string(), version(&app.image.labels)),
        None => {
            let image = pod.image_manifest(&app.name)?;
            (image.name.to_string(), version(&image.labels))
        }
    };
    Ok(match version {
        Some(version) => format!("{name}:{version}"),
        None => name,
    })
}

/// What could not be read.
#[derive(Default)]
struct Damage(Vec<RecordError>);

impl Damage {
    fn sort<T>(&mut self, read: Result<Option<T>, RecordError>) -> Option<T> {
        read.unwrap_or_else(|error| {
            self.0.push(error);
            None
        })
    }
}

fn texts(map: &TextMap) -> BTreeMap<&str, &str> {
    map.iter()
        .map(|(key, value)| (key.as_str(), value.as_str()))
        .collect()
}

fn seconds(time: SystemTime) -> i64 {
    nanoseconds(time).div_euclid(1_000_000_000)
}

/// Since 1970. A time that 64 bits cannot hold is none that a pod has.
fn nanoseconds(time: SystemTime) -> i64 {
    let (distance, sign) = match time.duration_since(UNIX_EPOCH) {
        Ok(since) => (since, 1),
        Err(before) => (before.duration(), -1),
    };
    i64::try_from(distance.as_nanos()).map_or(0, |nanoseconds| sign * nanoseconds)
}

/// A pod, as rkt's `list` and `status` write it.
#[derive(Debug, Serialize)]
pub(crate) struct PodJson<'a> {
    name: String,
    state: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    app_names: Vec<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    apps: Vec<AppJson<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_at: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    started_at: Option<i64>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    user_annotations: BTreeMap<&'a str, &'a str>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    user_labels: BTreeMap<&'a str, &'a str>,
}

#[derive(Debug, Serialize)]
pub(crate) struct AppJson<'a> {
    pub(crate) name: &'a str,
    pub(crate) state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) created_at: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) started_at: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) finished_at: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) exit_code: Option<i32>,
    pub(crate) image_id: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) mounts: Vec<MountJson<'a>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) user_annotations: BTreeMap<&'a str, &'a str>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) user_labels: BTreeMap<&'a str, &'a str>,
}

#[derive(Debug, Serialize)]
pub(crate) struct MountJson<'a> {
    pub(crate) name: &'a str,
    pub(crate) container_path: &'a str,
    pub(crate) host_path: &'a str,
    pub(crate) read_only: bool,
}
