//! stage1's `run` entrypoint: the supervisor of a pod.
//!
//! It is exec'd by stage0 in the pod's directory, with the directory's lock inherited (`RKT_LOCK_FD`): the pod lives as long
//! as this process. Helpers are started before anything else, so that their exec runs beside the planning.
//!
//! ```text
//! arguments ─ KVM? ─ spawn vmm, relay ─ plan ─ scratch ─ machine ──▶ vmm
//!                                                        plan ─────▶ relay        then wait
//! ```
//!
//! In the image of the flavor without a machine, a container takes the VMM's place.
//!
//! At the end the lock goes first, and then, when nothing is left of the machine's process, this one (`wait.rs`).
//!
//! Exit code: the pod's, from the relay; 254 for anything that is not an app's.

mod container;
mod control;
mod export;
mod files;
mod flavor;
mod helpers;
mod host_disks;
mod kvm;
mod logs;
mod loop_devices;
mod machine;
mod metadata;
mod mutable;
mod names;
mod planning;
mod pressure;
mod service;
mod shares;
mod sockets;
mod sources;
mod wait;

use std::ffi::OsString;
use std::fs::File;
use std::io::Write;
use std::os::fd::{OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;

use anyhow::{Context, Result};
use bulkhead_jail::inherited;
use bulkhead_protocol::bounded::{Blob, List};
use bulkhead_protocol::exit::CODE_RUNTIME_FAILED;
use bulkhead_protocol::metadata::MetadataSpec;
use bulkhead_protocol::relay::{MAX_TO_RELAY, RelaySpec, ToRelay};
use bulkhead_stage1::arguments::Arguments;
use bulkhead_stage1::plan::{self, Pod};
use bulkhead_stage1::trace;
use nix::sys::signalfd::SignalFd;

use files::PodFiles;
use flavor::{Flavor, Sources};
use helpers::{Helpers, Public};
use metadata::Secrets;
use mutable::{Calls, Mutable};
use planning::Planning;
use service::ServiceManager;
use sockets::Sockets;
use wait::Over;

/// The environment variable with the number of the descriptor that holds the pod's lock.
const LOCK_VARIABLE: &str = "RKT_LOCK_FD";

/// From the supervisor's start to the agent's hello. A machine takes a fraction of a second on hardware, and some seconds
/// where the hardware is itself emulated.
const READY_TIMEOUT_MS: u32 = 45_000;

fn main() -> ExitCode {
    let start_ns = trace::now_ns();
    match run(std::env::args_os().skip(1), start_ns) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("stage1: {error:#}");
            ExitCode::from(CODE_RUNTIME_FAILED)
        }
    }
}

fn run(arguments: impl Iterator<Item = OsString>, start_ns: u64) -> Result<u8> {
    let lock = take_lock()?;
    let sockets = Sockets::receive()?;
    let trace = open_trace()?;
    note(trace.as_ref(), "stage1-start", start_ns);
    let arguments = Arguments::parse(arguments)?;
    let signals = wait::block_signals()?;
    let over = match &arguments.export {
        Some(app) => export::export(app, &arguments, &signals),
        None => run_pod(&arguments, &sockets, &signals, trace.as_ref()),
    }?;
    // The pod has exited. This process stays to see the last of it go.
    drop(lock);
    Ok(over.code())
}

fn run_pod(
    arguments: &Arguments,
    received: &Sockets,
    signals: &SignalFd,
    trace: Option<&File>,
) -> Result<Over> {
    let flavor = Flavor::of_image(&arguments.uuid, false)?;
    let _modes = arguments.interactive.then(wait::TerminalModes::remember);

    let files = PodFiles::open()?;
    let (vmm_socket, vmm_end) = helpers::vmm_sockets()?;
    let vmm = flavor.spawn(vmm_end, arguments.debug)?;
    note(trace, "vmm-spawned", trace::now_ns());
    let control = control::Control::open()?;
    let calls = arguments.mutable.then(Calls::open).transpose()?;
    let manager = ServiceManager::find();
    let public = Public {
        status: files.status_directory(),
        control: control.listener(),
        logs: &logs::Logs::open()?,
        apps_run: manager.as_ref().map(ServiceManager::apps_run),
        listeners: flavor.passed_on(received)?,
    };
    let interactive = arguments.interactive;
    let (relay, mut commands) =
        helpers::start_relay(&vmm_socket, Some(public), trace, interactive)?;

    let images = files.images()?;
    let secrets = Secrets::draw(arguments.metadata_token.clone())?;
    let planning = Planning {
        files: &files,
        arguments,
        flavor: &flavor,
        sockets: &received.known,
        token: secrets.token.clone(),
    };
    let pod = planning.with(files.manifest(), &images, plan::resolve)?;
    announce(&pod, arguments.debug);
    let disks = host_disks::open(&pod.disks)?;
    let scratch = files.create_scratch(&pod.plan)?;
    let sources = Sources {
        scratch: &scratch,
        disks: &disks,
        sockets: received.files().collect(),
    };
    let shares = flavor.describe(&vmm_socket, &files, &pod, &sources, arguments.debug)?;
    drop(disks);
    let metadata = secrets.into_spec(&arguments.uuid, images)?;
    let (size, vmm_keeps) = (pod.size, flavor.keeps_from_others(&pod.disks));
    let spec = relay_spec(&files, pod, metadata, &flavor, arguments)?;
    helpers::send_to_relay(&mut commands, &ToRelay::Run(Box::new(spec)), MAX_TO_RELAY)?;
    files.write_pid()?;
    flavor.watch_host(&vmm_socket, arguments.debug);
    // Where nothing can be added, nobody here keeps the VMM's socket.
    let new = |calls| Mutable::new(calls, planning, size, vmm_socket, shares.waiting, &commands);
    let mut mutable = calls.map(new).transpose()?;
    // From here on the machine may have written to its disks: they stay for those who look at an exited pod.
    scratch.keep();

    let helpers = Helpers {
        vmm,
        vmm_keeps,
        relay,
        file_servers: shares.servers,
    };
    let over = wait::wait(helpers, signals, &mut commands, mutable.as_mut(), manager);
    drop(control);
    files.remove_readiness();
    Ok(over)
}

/// A phase of the start, where phases are measured.
fn note(trace: Option<&File>, phase: &str, ns: u64) {
    if let Some(trace) = trace {
        trace::phase(trace, phase, ns);
    }
}

/// Takes the pod's lock over, so that no helper inherits it. It is released by the end of this process.
fn take_lock() -> Result<Option<OwnedFd>> {
    let Some(number) = std::env::var_os(LOCK_VARIABLE) else {
        // A stage0 that keeps the lock itself.
        return Ok(None);
    };
    let number = number.to_string_lossy();
    let parsed: RawFd = number
        .parse()
        .with_context(|| format!("{LOCK_VARIABLE}={number:?} is no descriptor"))?;
    Ok(Some(inherited(parsed).context(LOCK_VARIABLE)?))
}

fn open_trace() -> Result<Option<File>> {
    let Some(path) = std::env::var_os(trace::VARIABLE) else {
        return Ok(None);
    };
    let file = File::options().append(true).create(true).open(&path);
    let context = || format!("open {} ({})", path.display(), trace::VARIABLE);
    file.map(Some).with_context(context)
}

fn announce(pod: &Pod, debug: bool) {
    for warning in &pod.warnings {
        eprintln!("stage1: warning: {warning}");
    }
    if debug {
        eprintln!("stage1: machine: {}", pod.size);
        eprintln!("stage1: plan: {:?}", pod.plan);
        eprintln!("stage1: processes: {:?}", pod.processes);
    }
}

fn relay_spec(
    files: &PodFiles,
    pod: Pod,
    metadata: MetadataSpec,
    flavor: &Flavor,
    arguments: &Arguments,
) -> Result<RelaySpec> {
    Ok(RelaySpec {
        label_output: pod.plan.apps.len() > 1 || arguments.mutable,
        plan: pod.plan,
        manifest: Blob::try_from(files.manifest_json()).context("the pod's manifest")?,
        metadata,
        outputs: List::try_from(pod.outputs).context("the outputs of the pod's apps")?,
        interactive: arguments.interactive,
        processes: List::try_from(pod.processes).context("the pod's processes")?,
        ready_timeout_ms: READY_TIMEOUT_MS,
        stop_grace_ms: wait::STOP_GRACE_MS,
        power_off_grace_ms: wait::POWER_OFF_GRACE_MS,
        confine_entered: flavor.confines_entered(),
        mutable: arguments.mutable,
        debug: arguments.debug,
    })
}

/// Writes one whole message; a relay that has died says so by its exit.
fn write_all(stream: &mut UnixStream, bytes: &[u8]) -> Result<()> {
    stream.write_all(bytes).context("write to the relay")
}
