//! From the start to the end: signals in, commands and kills out.
//!
//! * The first SIGTERM, SIGINT or SIGHUP stops the pod in order: the relay passes it on to the guest, and all must have
//!   ended within [`STOP_LIMIT`], which begins anew up to [`PATIENCE`] times on a host that has more to do than it can.
//! * The second one kills both helpers at once.
//! * SIGUSR1 stops it in order too, however often it comes: two callers of the `stop` entrypoint do not know of each other.
//! * The relay's end is the pod's end, and its exit code the pod's.
//! * A service manager hears when the apps run, and of the first signal.
//! * A VMM that has ended leaves the relay [`RELAY_END_LIMIT`] to say so.
//!
//! The pod is over when nothing of it runs and nothing that others may want is held. A killed VMM is then still in the kernel for some grace periods
//! of its RCU, until KVM has taken the machine apart: they are [`Over::code`]'s to wait for, without the pod's lock.

use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use bulkhead_jail::{Child, Ended};
use bulkhead_protocol::exit::{CODE_RUNTIME_FAILED, Exit};
use bulkhead_protocol::relay::{MAX_TO_RELAY, ToRelay};
use bulkhead_stage1::load;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};

use crate::helpers::{Helpers, send_to_relay};
use crate::mutable::Mutable;
use crate::service::ServiceManager;
use crate::shares::FileServer;

/// What apps get between SIGTERM and SIGKILL: as long as most service managers give.
pub(crate) const STOP_GRACE_MS: u32 = 10_000;

/// What the guest gets to write everything back, after its last app.
pub(crate) const POWER_OFF_GRACE_MS: u32 = 3_000;

/// From the first signal to the end, whatever the guest does. 15 s is what rkt's own tests give a pod to stop.
const STOP_LIMIT: Duration = Duration::from_secs(15);

/// How often at most.
const PATIENCE: u32 = 7;

/// What the relay gets after the VMM's end: it has output to pass on and a reason to tell.
const RELAY_END_LIMIT: Duration = Duration::from_secs(5);

/// Asks for the pod's stop, and for no more when it comes again.
const STOP_SIGNAL: Signal = Signal::SIGUSR1;

/// Blocks the signals that stop a pod, to be read one by one; and SIGTTOU, so that the terminal can be restored whoever is
/// in its foreground.
pub(crate) fn block_signals() -> Result<SignalFd> {
    let mut stops = SigSet::empty();
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, STOP_SIGNAL] {
        stops.add(signal);
    }
    let mut blocked = stops;
    blocked.add(Signal::SIGTTOU);
    blocked.thread_block().context("block signals")?;
    SignalFd::with_flags(&stops, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
        .context("make a signal descriptor")
}

/// A pod that is over.
pub(crate) struct Over {
    code: u8,
    /// Killed, and perhaps not yet gone.
    vmm: Option<Child>,
}

impl Over {
    /// Waits until the kernel has let go of all processes, and gives the pod's exit code.
    pub(crate) fn code(self) -> u8 {
        drop(self.vmm);
        self.code
    }
}

/// Waits for the pod's end.
pub(crate) fn wait(
    helpers: Helpers,
    signals: &SignalFd,
    commands: &mut UnixStream,
    mut mutable: Option<&mut Mutable<'_>>,
    manager: Option<ServiceManager>,
) -> Over {
    let mut pod = Running {
        vmm: Some(helpers.vmm),
        vmm_keeps: helpers.vmm_keeps,
        relay: helpers.relay,
        file_servers: helpers.file_servers,
        manager,
        stopping: false,
        deadline: None,
        patience: PATIENCE,
    };
    let end = loop {
        if let Some(end) = pod.step(signals, commands, mutable.as_deref_mut()) {
            break end;
        }
    };
    pod.end(end)
}

/// The terminal on standard input as it was found, if it is one. Restored at the end, for the relay leaves it as the app
/// wanted it.
pub(crate) struct TerminalModes(Option<Termios>);

impl TerminalModes {
    pub(crate) fn remember() -> Self {
        Self(tcgetattr(rustix::stdio::stdin()).ok())
    }
}

impl Drop for TerminalModes {
    fn drop(&mut self) {
        if let Some(modes) = &self.0 {
            // A terminal that went away needs no restoring.
            let _ = tcsetattr(rustix::stdio::stdin(), OptionalActions::Now, modes);
        }
    }
}

struct Running {
    vmm: Option<Child>,
    vmm_keeps: bool,
    relay: Child,
    file_servers: Vec<FileServer>,
    manager: Option<ServiceManager>,
    stopping: bool,
    deadline: Option<Instant>,
    patience: u32,
}

/// How the wait ended.
enum End {
    /// The relay ended.
    Relay,
    /// By a second signal.
    Killed,
    /// Something did not end in time.
    Late,
}

impl Running {
    fn step(
        &mut self,
        signals: &SignalFd,
        commands: &mut UnixStream,
        mutable: Option<&mut Mutable<'_>>,
    ) -> Option<End> {
        let relay = self.relay.pidfd();
        let mut wanted = vec![
            PollFd::from_borrowed_fd(relay, PollFlags::IN),
            PollFd::new(signals, PollFlags::IN),
        ];
        for server in &self.file_servers {
            let pidfd = server.child.pidfd();
            wanted.push(PollFd::from_borrowed_fd(pidfd, PollFlags::IN));
        }
        if let Some(vmm) = &self.vmm {
            wanted.push(PollFd::from_borrowed_fd(vmm.pidfd(), PollFlags::IN));
        }
        let of_helpers = wanted.len();
        let of_callers = mutable.as_ref().map(|mutable| mutable.descriptors());
        let of_callers = of_callers.into_iter().flatten();
        wanted.extend(of_callers.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
        let of_all_but_apps = wanted.len();
        let awaited = self.manager.as_ref().and_then(ServiceManager::awaited);
        wanted.extend(awaited.map(|fd| PollFd::new(fd, PollFlags::IN)));
        let left = self
            .deadline
            .map(|at| at.saturating_duration_since(Instant::now()));
        let left = left.and_then(|left| Timespec::try_from(left).ok());
        match poll(&mut wanted, left.as_ref()) {
            Ok(0) => return self.late(),
            Ok(_) => {}
            // Interrupted: look again.
            Err(_) => return None,
        }
        let ready: Vec<bool> = wanted.iter().map(|w| !w.revents().is_empty()).collect();
        // Before the relay's end: apps may have run shortly.
        if let (Some(true), Some(manager)) = (ready.get(of_all_but_apps), &mut self.manager) {
            manager.ready();
        }
        if ready[0] {
            return Some(End::Relay);
        }
        if ready[1]
            && let Ok(Some(signal)) = signals.read_signal()
        {
            let asks = u32::try_from(STOP_SIGNAL as i32) == Ok(signal.ssi_signo);
            return self.signal(commands, asks);
        }
        if let Some(mutable) = mutable {
            mutable.hear(&ready[of_helpers..of_all_but_apps], commands);
        }
        let vmm = 2 + self.file_servers.len();
        if vmm < of_helpers && ready[vmm] {
            self.vmm_ended();
        }
        if let Some(ended) = ready[2..vmm].iter().position(|ready| *ready) {
            file_server_ended(self.file_servers.swap_remove(ended));
        }
        None
    }

    fn signal(&mut self, commands: &mut UnixStream, asks: bool) -> Option<End> {
        if self.stopping {
            return (!asks).then_some(End::Killed);
        }
        self.stopping = true;
        self.manager.iter_mut().for_each(ServiceManager::stopping);
        self.limit(STOP_LIMIT);
        // A relay that cannot be written to is about to end.
        let _ = send_to_relay(commands, &ToRelay::Stop, MAX_TO_RELAY);
        None
    }

    fn vmm_ended(&mut self) {
        if let Some(vmm) = self.vmm.take() {
            report("VMM", vmm);
        }
        self.limit(RELAY_END_LIMIT);
    }

    /// Nothing ended in time. On an overloaded host it may not have had its turn.
    fn late(&mut self) -> Option<End> {
        if self.patience == 0 || !load::is_high() {
            return Some(End::Late);
        }
        self.patience -= 1;
        self.deadline = Some(Instant::now() + STOP_LIMIT);
        None
    }

    fn limit(&mut self, within: Duration) {
        let at = Instant::now() + within;
        self.deadline = Some(self.deadline.map_or(at, |earlier| earlier.min(at)));
    }

    /// Kills what is left, and turns the end into an exit code.
    fn end(self, end: End) -> Over {
        if !matches!(end, End::Relay) {
            self.relay.kill();
        }
        // A VMM whose relay is gone has nobody to say anything to. No instruction of it runs any more.
        let vmm = self.vmm.inspect(Child::kill);
        let vmm = vmm.filter(|_| !self.vmm_keeps);
        drop(self.file_servers);
        let code = exit_code(self.relay, &end);
        Over { code, vmm }
    }
}

fn exit_code(relay: Child, end: &End) -> u8 {
    let ended = relay.wait();
    match end {
        End::Relay => match ended {
            Ok(Ended::Code(code)) => code,
            Ok(Ended::Signal(signal)) => {
                eprintln!("stage1: signal {signal} killed the relay");
                CODE_RUNTIME_FAILED
            }
            Err(error) => {
                eprintln!("stage1: relay: {:#}", anyhow::Error::from(error));
                CODE_RUNTIME_FAILED
            }
        },
        End::Killed => Exit::Signal(9).code(),
        End::Late => {
            eprintln!("stage1: the pod did not end in time and was killed");
            CODE_RUNTIME_FAILED
        }
    }
}

/// Its apps wait for answers for ever. All are killed at the pod's end: one that ends before has failed, or failed the machine.
fn file_server_ended(server: FileServer) {
    let whose = server.whose;
    let how = match server.child.wait() {
        Ok(Ended::Code(0)) => {
            "the machine has hung up on it, which answered wrongly or too late".to_owned()
        }
        Ok(Ended::Code(code)) => format!("it exited with {code}"),
        Ok(Ended::Signal(signal)) => format!("signal {signal} killed it"),
        Err(error) => format!("{:#}", anyhow::Error::from(error)),
    };
    eprintln!("stage1: {whose} is not served any more: {how}");
}

/// Says what the relay cannot know of a helper's end. An end with an exit code speaks for itself elsewhere.
fn report(name: &str, child: Child) {
    match child.wait() {
        Ok(Ended::Code(_)) => {}
        Ok(Ended::Signal(signal)) => eprintln!("stage1: signal {signal} killed the {name}"),
        Err(error) => eprintln!("stage1: {name}: {:#}", anyhow::Error::from(error)),
    }
}
