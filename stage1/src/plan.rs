//! What the agent runs and what the machine has: a pure function of the manifests.
//!
//! Manifests arrive here valid ([`bulkhead_pod::manifest`]). What is left to refuse is what this stage1 cannot do yet
//! ([`unsupported`]): a pod never runs with less isolation, or with fewer limits, than its manifest asks for.

mod added;
mod capabilities;
mod disk_volumes;
mod disks;
mod environment;
mod export;
mod limits;
mod mounts;
mod process;
mod readiness;
mod resource_limits;
mod roots;
mod seccomp;
mod settings;
mod shares;
mod size;
mod sockets;
mod streams;
mod unsupported;
mod volumes;

use std::collections::BTreeMap;

use bulkhead_pod::manifest::{
    App as ManifestApp, ImageManifest, Isolator, ManifestError, PodIsolator, PodManifest,
    RuntimeApp,
};
use bulkhead_protocol::MAX_APPS;
use bulkhead_protocol::bounded::{BoundError, List, Text};
use bulkhead_protocol::plan::{
    App, AppName, AppNameError, Limits, MAX_EMPTY_VOLUMES, NameFiles, Plan, Process, ProcessId,
    Stdio,
};
use bulkhead_protocol::relay::Outputs;
use bulkhead_protocol::verity::Verity;
use bulkhead_protocol::vmm::MAX_SHARES;

use crate::arguments::Insecure;
use shares::Shares;

pub use added::{Added, Grown};
pub use disk_volumes::{HostDisk, Raw};
pub use disks::DiskError;
pub use export::export;
pub use shares::{Share, ShareKind};
pub use size::VmSize;
pub use sockets::{Address, HostSocket, SocketKind};

/// All that the plan depends on.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    /// The pod's host name.
    pub hostname: &'a str,
    /// Its own files of names.
    pub name_files: &'a NameFiles,
    /// The pod.
    pub manifest: &'a PodManifest,
    /// Of each app, in the manifest's order.
    pub images: &'a [Image],
    /// Bytes of one scratch disk.
    pub scratch_length: u64,
    /// Where the standard streams of the apps go.
    pub stdio: Stdio,
    /// The caller's `TERM`, for apps on a terminal.
    pub terminal: Option<&'a str>,
    /// What the host has at each source of a volume, or why it is of no use.
    pub sources: &'a BTreeMap<String, Result<Source, String>>,
    /// What the path of every request to the metadata service begins with.
    pub metadata_token: &'a str,
    /// CPUs of the host.
    pub host_cpus: u32,
    /// Restrictions that are left out.
    pub insecure: Insecure,
    /// Whether the pod runs on the host's kernel: what tells or changes it is then closed further.
    pub shares_kernel: bool,
    /// Whether apps come later: a pod may then start without any.
    pub mutable: bool,
    /// Whether stage0 hands the roots of all apps over as block images, as our own does.
    pub block_images: bool,
    /// Sockets that the pod was started with.
    pub sockets: &'a [HostSocket],
}

/// What lies at a volume's source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// A directory.
    Directory,
    /// A regular file or a block device.
    Raw(Raw),
}

/// What is known of an app's image.
#[derive(Debug)]
pub struct Image {
    /// Its manifest.
    pub manifest: ImageManifest,
    /// The manifest as it was stored.
    pub json: Vec<u8>,
    /// Its files.
    pub root: Root,
}

/// How stage0 hands the files of an app's image over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Root {
    /// As an EROFS file.
    Image {
        /// What its bytes have to be.
        verity: Verity,
    },
    /// As a directory that is the app's own, to be its root as it is.
    Directory {
        /// Where.
        path: String,
    },
}

/// The pod as it will run.
#[derive(Debug)]
pub struct Pod {
    /// For the agent.
    pub plan: Plan,
    /// The apps' programs, ids 0, 1, … in the order of the plan.
    pub processes: Vec<Process>,
    /// Where their outputs go.
    pub outputs: Vec<Outputs>,
    /// For each image of the plan, the app (by its place in the manifest) whose file it is.
    pub image_apps: Vec<usize>,
    /// What the machine has.
    pub size: VmSize,
    /// Directories and files of the host that the machine has, in the order of their indexes.
    pub shares: Vec<Share>,
    /// Disks of the host that it has, each for a disk volume of the plan.
    pub disks: Vec<HostDisk>,
    /// What the user should know.
    pub warnings: Vec<String>,
}

/// A pod that cannot be planned.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// Nothing to run.
    #[error("the pod has no apps")]
    NoApps,
    /// None of this name.
    #[error("the pod has no app {0:?}")]
    NoApp(String),
    /// A limit of one conversation.
    #[error("{what}")]
    Bound {
        /// Whose list or text.
        what: String,
        /// How long it is.
        source: BoundError,
    },
    /// A name that is no app's.
    #[error("the pod's manifest")]
    Name(#[from] AppNameError),
    /// Neither image nor pod say what to run.
    #[error("app {app}: the image does not say what to run, and nothing else does (--exec)")]
    NothingToRun {
        /// Which.
        app: AppName,
    },
    /// Asked for, and not there yet.
    #[error("{whose}{what} is not supported yet")]
    Unsupported {
        /// `app NAME: `, or nothing for the pod.
        whose: String,
        /// What was asked for, by its name in the manifest.
        what: String,
    },
    /// An isolator whose value makes no sense here.
    #[error("{whose}: isolator {isolator}: {problem}")]
    Isolator {
        /// `app NAME`, or the pod.
        whose: String,
        /// Its name in the manifest.
        isolator: &'static str,
        /// What is wrong.
        problem: String,
    },
    /// A volume that cannot be, or cannot be mounted there.
    #[error("app {app}: {field}: {problem}")]
    Volume {
        /// Which.
        app: AppName,
        /// The place in the manifest.
        field: String,
        /// What is wrong.
        problem: String,
    },
    /// A limit that no machine can have.
    #[error("{whose}: {what} of {value} is more than {bound}")]
    Limit {
        /// `app NAME`, or the pod.
        whose: String,
        /// What is limited.
        what: &'static str,
        /// The limit, as written.
        value: String,
        /// The largest one.
        bound: String,
    },
    /// A limit with which nothing can run.
    #[error("{whose}: {what} of {value} is less than {bound}")]
    TooLittle {
        /// `app NAME`, or the pod.
        whose: String,
        /// What is limited.
        what: &'static str,
        /// The limit, as written.
        value: String,
        /// The least one.
        bound: &'static str,
    },
    /// The apps' limits together.
    #[error("the pod's memory limits and overhead are {mib} MiB, more than {bound} MiB")]
    Memory {
        /// Together.
        mib: u64,
        /// The largest machine.
        bound: u32,
    },
    /// More directories and files of the host than a pod can have.
    #[error("{0}")]
    Shares(String),
    /// An app whose root is no image.
    #[error("app {app}: its root is a directory, which has all that the app wrote: {path}")]
    Directory {
        /// Which.
        app: AppName,
        /// Where.
        path: String,
    },
    /// A disk that cannot be.
    #[error("lay out the pod's disks")]
    Disk(#[from] DiskError),
    /// A mutable pod begins empty.
    #[error("a mutable pod starts without apps (--mutable), and this one has some")]
    AppsTooEarly,
    /// An app that is to be added is not in the manifest.
    #[error("the pod's manifest has no app {name}")]
    NoSuchApp {
        /// Its name.
        name: String,
    },
    /// A name that would be mistaken.
    #[error("app {name}: a name that ends so is that of a file which tells of another app")]
    ReservedName {
        /// As asked for.
        name: String,
    },
    /// The manifest with one app alone.
    #[error("plan the app")]
    Manifest(#[from] ManifestError),
    /// Places are given once.
    #[error(
        "the pod has had {MAX_APPS} apps or {MAX_EMPTY_VOLUMES} volumes, and no pod has more over its life"
    )]
    LifeIsOver,
    /// What only a pod that starts can have.
    #[error(
        "app {name}: {what} is for pods that start with it: it cannot be added to a running one"
    )]
    NeedsStart {
        /// Whose.
        name: String,
        /// What was asked for.
        what: String,
    },
    /// A machine that is too small.
    #[error("app {name}: {what} {wanted}, and the pod's machine has {there}")]
    NoRoom {
        /// Whose.
        name: String,
        /// Of what there is not enough.
        what: &'static str,
        /// How much is wanted.
        wanted: String,
        /// How much there is.
        there: String,
    },
    /// A machine has no more places for directories of the host.
    #[error(
        "app {name}: its root is a directory, and the pod's machine has had {waiting} of those, as many as it has places for"
    )]
    NoShare {
        /// Whose.
        name: String,
        /// Places that there were.
        waiting: u8,
    },
    /// Modes of streams that make no sense.
    #[error("app {app}: its streams: {problem}")]
    Streams {
        /// Which.
        app: AppName,
        /// What is wrong.
        problem: String,
    },
    /// An annotation that is neither yes nor no.
    #[error("app {app}: annotation {name}: {value:?} is neither true nor false")]
    Annotation {
        /// Whose.
        app: AppName,
        /// Its name.
        name: &'static str,
        /// Its value.
        value: String,
    },
    /// A socket that nobody can have.
    #[error("{socket} (LISTEN_FDS): {problem}")]
    Socket {
        /// Which.
        socket: String,
        /// Why not.
        problem: String,
    },
    /// A port that gets its socket from whoever starts the pod, who has none for it.
    #[error(
        "app {app}: port {port} is socketActivated, and no socket for it was handed over (LISTEN_FDS)"
    )]
    NoSocket {
        /// Which.
        app: AppName,
        /// Its name.
        port: String,
    },
    /// An interactive pod with several apps.
    #[error("an interactive pod has one app, and this one has {0}")]
    Interactive(usize),
}

/// Computes the plan.
///
/// # Errors
/// When the pod asks for what cannot be done.
pub fn resolve(input: &Input<'_>) -> Result<Pod, PlanError> {
    let apps = &input.manifest.apps;
    check_count(apps.len(), input)?;
    unsupported::refuse_pod(input.manifest)?;
    let programs = programs(input)?;
    let sockets = sockets::resolve(input, &programs)?;
    let mut shares = Shares::default();
    let roots = roots::resolve(input.manifest, input.images, &mut shares)?;
    let volumes = volumes::resolve(input, &programs, &roots.of_app, shares)?;
    let mut scratch = disks::scratch(apps.len(), volumes.shared, input.scratch_length)?;
    let closes = !input.insecure.paths;
    let limits = limits::of(of_pod(input.manifest), "the pod")?;
    let settings = named_isolators(input.manifest, &programs);
    let settings = settings::of(settings, input.shares_kernel)?;
    let mut planned = Vec::new();
    let (mut processes, mut outputs) = (Vec::new(), Vec::new());
    let volume_scratch = if volumes.shared { scratch.pop() } else { None };
    for (index, ((app, name), volumes)) in programs.into_iter().zip(volumes.mounts).enumerate() {
        let runtime = &apps[index];
        let (stdio, leads_to) = streams::of(runtime, &name, input.stdio)?;
        outputs.push(leads_to);
        let id = ProcessId(u32::try_from(index).unwrap_or(u32::MAX));
        processes.push(Process {
            says_ready: readiness::is_said(runtime, &input.images[index].manifest, &name)?,
            listeners: bounded("listening sockets", sockets.of_app(index))?,
            ..process::process(id, &name, app, input, stdio)?
        });
        let masked = mounts::masked(&volumes, closes, input.shares_kernel);
        let read_only = mounts::read_only(&volumes, closes, input.shares_kernel);
        let mounts = mounts::of_app(volumes, input.name_files, closes);
        planned.push(App {
            image: roots.of_app[index].clone(),
            scratch: scratch[index],
            read_only_root: runtime.read_only_root_fs,
            mounts: bounded(format!("app {name}: mounts"), mounts)?,
            masked_paths: bounded("masked paths", masked)?,
            read_only_paths: bounded("read-only paths", read_only)?,
            limits: limits::of_app(app, &format!("app {name}"), limits)?,
            exported: false,
            name,
        });
    }
    // An empty pod has room for an app that says nothing.
    let of_none = planned.is_empty().then(Limits::default);
    let of_apps = planned.iter().map(|app| app.limits).chain(of_none);
    let size = VmSize::of(of_apps, limits, input.host_cpus)?;
    let plan = Plan {
        waiting_shares: waiting_shares(input),
        hostname: Text::try_from(input.hostname).map_err(bound("the pod's host name"))?,
        name_files: input.name_files.clone(),
        images: bounded("the pod's images", roots.images)?,
        settings,
        limits,
        apps: bounded::<_, MAX_APPS>("the pod's apps", planned)?,
        empty_volumes: bounded("the pod's empty volumes", volumes.empty)?,
        volume_scratch,
        disk_volumes: bounded("the pod's disks", volumes.disks.0)?,
        listeners: sockets.listeners,
    };
    Ok(Pod {
        plan,
        processes,
        outputs,
        image_apps: roots.apps,
        size,
        shares: volumes.shares,
        disks: volumes.disks.1,
        warnings: volumes.warnings,
    })
}

/// A machine of another stage0 is ready for the roots of apps that come later.
fn waiting_shares(input: &Input<'_>) -> u8 {
    let wait = input.mutable && !input.block_images && !input.shares_kernel;
    let shares = if wait { MAX_SHARES } else { 0 };
    u8::try_from(shares).expect("interrupt lines are few")
}

fn check_count(apps: usize, input: &Input<'_>) -> Result<(), PlanError> {
    let interactive = input.stdio != Stdio::Pipes { stdin: false };
    match apps {
        0 if !input.mutable => Err(PlanError::NoApps),
        1.. if input.mutable => Err(PlanError::AppsTooEarly),
        2.. if interactive => Err(PlanError::Interactive(apps)),
        _ => Ok(()),
    }
}

/// The isolators of the pod that appc knows.
fn of_pod(manifest: &PodManifest) -> impl Iterator<Item = &Isolator> {
    manifest
        .isolators
        .iter()
        .filter_map(|isolator| match isolator {
            PodIsolator::Known(isolator) => Some(isolator),
            PodIsolator::Unknown(_) => None,
        })
}

/// All isolators, each with the name of whose it is.
fn named_isolators<'a>(
    manifest: &'a PodManifest,
    apps: &'a [(&ManifestApp, AppName)],
) -> impl Iterator<Item = (String, &'a Isolator)> {
    let of_apps = apps.iter().flat_map(|(app, name)| {
        let isolators = app.isolators.iter();
        isolators.map(move |isolator| (format!("app {name}"), isolator))
    });
    let of_pod = of_pod(manifest).map(|isolator| ("the pod".to_owned(), isolator));
    of_pod.chain(of_apps)
}

/// What each app runs, with the app's name.
fn programs<'a>(input: &Input<'a>) -> Result<Vec<(&'a ManifestApp, AppName)>, PlanError> {
    let apps = input.manifest.apps.iter().zip(input.images);
    apps.map(|(runtime, image)| {
        let name = AppName::try_from(runtime.name.as_str().to_owned())?;
        Ok((program_of(runtime, image, &name)?, name))
    })
    .collect()
}

/// What the pod says about an app, or else what its image says.
fn program_of<'a>(
    runtime: &'a RuntimeApp,
    image: &'a Image,
    name: &AppName,
) -> Result<&'a ManifestApp, PlanError> {
    let app = runtime.app.as_ref().or(image.manifest.app.as_ref());
    app.filter(|app| !app.exec.is_empty())
        .ok_or_else(|| PlanError::NothingToRun { app: name.clone() })
}

fn bound(what: impl Into<String>) -> impl FnOnce(BoundError) -> PlanError {
    |source| PlanError::Bound {
        what: what.into(),
        source,
    }
}

fn bounded<T, const MAX: usize>(
    what: impl Into<String>,
    elements: Vec<T>,
) -> Result<List<T, MAX>, PlanError> {
    List::try_from(elements).map_err(bound(what))
}

#[cfg(test)]
#[path = "plan_test.rs"]
mod tests;
