//! From images and flags to the pod manifest.

use bulkhead_image::Accounts;
use bulkhead_pod::manifest::{
    APPC_VERSION, AcName, Annotation, App, CapabilitySet, ImageId, ImageManifest, Isolator,
    ManifestError, Mount, PodContents, PodKind, PodManifest, Principal, Resource, RuntimeApp,
    RuntimeImage, Text, TextMap, ValueError, set_annotation,
};
use bulkhead_pod::streams::{STDERR, STDIN, STDOUT};
use thiserror::Error;

use super::environment::{self, EnvironmentError, PodEnvironment};
use super::identity;
use super::options::{AppOptions, AppRequest, PodRequest};
use super::values::Pair;
use super::volumes;

/// An image of the store, with the app that the user asked for.
#[derive(Debug)]
pub(crate) struct ImageForApp<'a> {
    /// The image's id in the store.
    pub(crate) id: ImageId,
    /// The image's manifest.
    pub(crate) manifest: ImageManifest,
    /// The image's users and groups.
    pub(crate) accounts: &'a Accounts,
    /// What the user asked for.
    pub(crate) request: &'a AppRequest,
}

/// Images and flags do not make a pod.
#[derive(Debug, Error)]
pub(crate) enum PodManifestError {
    #[error("image \"{image}\" says no program to run: give one with --exec")]
    NoProgram { image: String },
    #[error("image \"{image}\" has a name without letters or digits: give one with --name")]
    NoName { image: String },
    #[error("image \"{image}\" is for {found}, not for {SYSTEMS}")]
    OtherSystem { image: String, found: String },
    #[error("two apps are called \"{name}\": give one of them another name with --name")]
    NameTwice { name: AcName },
    #[error("app \"{name}\"")]
    Environment {
        name: AcName,
        source: EnvironmentError,
    },
    #[error("app \"{name}\": {flag}")]
    Flag {
        name: AcName,
        flag: &'static str,
        source: ValueError,
    },
    #[error("the pod is not valid")]
    Manifest(#[from] ManifestError),
}

/// What the guest's kernel can run, for messages.
const SYSTEMS: &str = "linux on amd64 or i386";
/// The same, as values of the labels `os` and `arch`.
const OS: &str = "linux";
const ARCHITECTURES: [&str; 2] = ["amd64", "i386"];

/// Makes the pod's manifest.
pub(crate) fn pod_manifest(
    images: &[ImageForApp<'_>],
    request: &PodRequest,
    environment: &PodEnvironment,
) -> Result<PodManifest, PodManifestError> {
    let mut apps: Vec<RuntimeApp> = Vec::new();
    for image in images {
        let app = runtime_app(image, &request.mounts, environment)?;
        if apps.iter().any(|other| other.name == app.name) {
            return Err(PodManifestError::NameTwice { name: app.name });
        }
        apps.push(app);
    }
    let contents = PodContents {
        ac_version: APPC_VERSION.parse().expect("a version of three numbers"),
        ac_kind: PodKind::PodManifest,
        apps,
        volumes: request.options.volume.clone(),
        isolators: Vec::new(),
        annotations: Vec::new(),
        ports: Vec::new(),
        user_annotations: TextMap::new(),
        user_labels: TextMap::new(),
    };
    Ok(PodManifest::new(contents)?)
}

/// One app of a pod.
pub(crate) fn runtime_app(
    image: &ImageForApp<'_>,
    mounts: &[Mount],
    environment: &PodEnvironment,
) -> Result<RuntimeApp, PodManifestError> {
    let request = image.request;
    let options = &request.options;
    check_system(&image.manifest, &request.image)?;
    let name = app_name(image)?;
    let mut app = image.manifest.app.clone().unwrap_or_else(caller);
    if let Some(program) = &options.exec {
        app.exec = vec![program.clone()];
    }
    if app.exec.is_empty() {
        return Err(PodManifestError::NoProgram {
            image: request.image.clone(),
        });
    }
    app.exec.extend(request.arguments.iter().cloned());
    app.environment = environment::distinct("--environment", &options.environment)
        .and_then(|()| environment::merge(&app.environment, environment, &options.environment))
        .map_err(|source| PodManifestError::Environment {
            name: name.clone(),
            source,
        })?;
    apply_identity(&mut app, options);
    identity::complete(&mut app, &image.manifest, options, image.accounts);
    apply_isolators(&mut app, options).map_err(|(flag, source)| PodManifestError::Flag {
        name: name.clone(),
        flag,
        source,
    })?;
    let mut annotations: Vec<Annotation> = Vec::new();
    for Pair { name, value } in &options.annotation {
        set_annotation(&mut annotations, name.clone(), value.clone());
    }
    for (name, mode) in [
        (STDIN, options.stdin.map(|mode| mode.to_string())),
        (STDOUT, options.stdout.map(|mode| mode.to_string())),
        (STDERR, options.stderr.map(|mode| mode.to_string())),
    ] {
        if let Some(mode) = mode {
            let name = name.parse().expect("the name of an annotation");
            let mode = Text::try_from(mode).expect("a short word");
            set_annotation(&mut annotations, name, mode);
        }
    }
    Ok(RuntimeApp {
        name,
        image: RuntimeImage {
            id: image.id.clone(),
            name: Some(image.manifest.name.clone()),
            labels: image.manifest.labels.clone(),
        },
        app: Some(app),
        read_only_root_fs: options.readonly_rootfs,
        mounts: volumes::merge(mounts, &options.mount),
        annotations,
    })
}

/// The labels `os` and `arch` are mandatory: without them nobody knows whether the programs run.
pub(crate) fn check_system(manifest: &ImageManifest, image: &str) -> Result<(), PodManifestError> {
    let label = |name| manifest.label(name);
    match (label("os"), label("arch")) {
        (Some(OS), Some(arch)) if ARCHITECTURES.contains(&arch) => Ok(()),
        (os, arch) => Err(PodManifestError::OtherSystem {
            image: image.to_owned(),
            found: format!(
                "{} on {}",
                os.unwrap_or("unknown"),
                arch.unwrap_or("unknown")
            ),
        }),
    }
}

fn app_name(image: &ImageForApp<'_>) -> Result<AcName, PodManifestError> {
    if let Some(name) = &image.request.options.name {
        return Ok(name.clone());
    }
    let last = image
        .manifest
        .name
        .as_str()
        .rsplit('/')
        .next()
        .unwrap_or_default();
    AcName::sanitized(last).ok_or_else(|| PodManifestError::NoName {
        image: image.request.image.clone(),
    })
}

/// An app for an image that has none runs as whoever asks for it.
fn caller() -> App {
    let (user, group) = (rustix::process::getuid(), rustix::process::getgid());
    App::of(Principal::id(user.as_raw()), Principal::id(group.as_raw()))
}

fn apply_identity(app: &mut App, options: &AppOptions) {
    if let Some(user) = &options.user {
        app.user = user.clone();
    }
    if let Some(group) = &options.group {
        app.group = group.clone();
    }
    if let Some(groups) = &options.supplementary_gids {
        app.supplementary_gids.clone_from(groups);
    }
    if let Some(directory) = &options.working_dir {
        app.working_directory = Some(directory.clone());
    }
    extend(&mut app.user_annotations, &options.user_annotation);
    extend(&mut app.user_labels, &options.user_label);
}

fn extend(map: &mut TextMap, pairs: &[Pair<Text>]) {
    map.extend(
        pairs
            .iter()
            .map(|pair| (pair.name.clone(), pair.value.clone())),
    );
}

/// A flag's isolator takes the place of the image's of the same kind.
fn apply_isolators(app: &mut App, options: &AppOptions) -> Result<(), (&'static str, ValueError)> {
    let isolators = &mut app.isolators;
    if let Some(memory) = &options.memory {
        let resource = Resource::limited(memory.0.clone()).map_err(|e| ("--memory", e))?;
        replace(isolators, Isolator::Memory(resource));
    }
    if let Some(cpu) = &options.cpu {
        let resource = Resource::limited(cpu.clone()).map_err(|e| ("--cpu", e))?;
        replace(isolators, Isolator::Cpu(resource));
    }
    if let Some(shares) = options.cpu_shares {
        replace(isolators, Isolator::CpuShares(shares));
    }
    if let Some(set) = &options.caps_retain {
        let set = CapabilitySet::new(set.clone()).map_err(|e| ("--caps-retain", e))?;
        replace(isolators, Isolator::CapabilitiesRetain(set));
    }
    if let Some(set) = &options.caps_remove {
        let set = CapabilitySet::new(set.clone()).map_err(|e| ("--caps-remove", e))?;
        replace(isolators, Isolator::CapabilitiesRemove(set));
    }
    if let Some(seccomp) = &options.seccomp {
        let filter = seccomp.filter.clone();
        let isolator = match seccomp.retain {
            true => Isolator::SeccompRetain(filter),
            false => Isolator::SeccompRemove(filter),
        };
        replace(isolators, isolator);
    }
    if let Some(score) = options.oom_score_adj {
        replace(isolators, Isolator::OomScoreAdjust(score));
    }
    Ok(())
}

/// Retain and remove sets exclude each other: one takes the other's place too.
fn replace(isolators: &mut Vec<Isolator>, isolator: Isolator) {
    let kind = |name: &'static str| {
        name.strip_suffix("-retain-set")
            .or(name.strip_suffix("-remove-set"))
            .unwrap_or(name)
    };
    isolators.retain(|other| kind(other.name()) != kind(isolator.name()));
    isolators.push(isolator);
}

#[cfg(test)]
#[path = "manifest_test.rs"]
mod tests;
