//! stage1's `stop` entrypoint: ends a running pod, in order or by force.
//!
//! It is called in the pod's directory as `stop [--force] UUID`, and returns when the pod has exited, by force also when none of its processes
//! is left, or when that takes too long. A pod that has ended already is what was asked for.
//!
//! **Whom it signals.** A number in a file may be anybody's by now. So the process is opened first, and then asked whether it
//! holds the pod's lock, exclusively and on this very directory, which the pod's supervisor alone does for longer than a move. A signal
//! to the open process reaches that one or nobody.

mod supervisor;

use std::ffi::OsString;
use std::fs::File;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::Signal;

use supervisor::Supervisor;

/// As from any entrypoint of ours: an error that is not an app's.
const EXIT_ERROR: u8 = 254;

/// The supervisor gives a pod 15 s to stop, eight times that on an overloaded host, and then kills it: past that and some, nobody will.
const STOP_LIMIT: Duration = Duration::from_secs(125);

/// From SIGKILL to the end: what the kernel takes to free a large machine's memory on a busy host.
const KILL_LIMIT: Duration = Duration::from_secs(15);

/// Asks the supervisor to stop in order. Unlike SIGTERM it may come twice.
const STOP_SIGNAL: Signal = Signal::USR1;

fn main() -> ExitCode {
    match stop(std::env::args_os().skip(1)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("stage1: {error:#}");
            ExitCode::from(EXIT_ERROR)
        }
    }
}

fn stop(arguments: impl Iterator<Item = OsString>) -> Result<()> {
    let force = parse(arguments)?;
    let pod = File::open(".").context("open the pod's directory")?;
    let limit = if force { KILL_LIMIT } else { STOP_LIMIT };
    let deadline = Instant::now() + limit;
    let Some(supervisor) = Supervisor::find(&pod, deadline)? else {
        return Ok(());
    };
    let ended = match force {
        true => kill(&supervisor, deadline)?,
        false => ask(&supervisor, deadline)?,
    };
    if !ended {
        bail!("the pod did not end within {} s", limit.as_secs());
    }
    Ok(())
}

/// The supervisor sees to the end of all that it has started, and lets go of the lock.
fn ask(supervisor: &Supervisor, deadline: Instant) -> Result<bool> {
    supervisor.signal(STOP_SIGNAL).context("signal the pod")?;
    supervisor::lets_go(deadline).context("wait for the pod's lock")
}

/// Killed, it cannot wait for its helpers, which the kernel kills in its place.
fn kill(supervisor: &Supervisor, deadline: Instant) -> Result<bool> {
    let helpers = supervisor.children();
    supervisor.signal(Signal::KILL).context("signal the pod")?;
    for process in std::iter::once(supervisor.process()).chain(&helpers) {
        if !supervisor::ends(process, deadline)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether it is to be done by force. The UUID is said for the sake of those who look at processes: the directory is the pod.
fn parse(arguments: impl Iterator<Item = OsString>) -> Result<bool> {
    let mut force = false;
    let mut uuids = 0;
    for argument in arguments {
        match argument.to_str() {
            Some("--force" | "--force=true") => force = true,
            Some("--force=false") => force = false,
            Some(word) if !word.starts_with('-') => uuids += 1,
            _ => bail!("unknown argument {argument:?}"),
        }
    }
    match uuids {
        1 => Ok(force),
        _ => bail!("expected one pod UUID, found {uuids}"),
    }
}
