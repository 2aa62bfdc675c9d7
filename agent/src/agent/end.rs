//! Ends: of processes, and of the pod.

use bulkhead_protocol::agent::{FromAgent, MAX_PROCESSES};
use bulkhead_protocol::exit::{CODE_EXEC_FAILED, Exit};
use bulkhead_protocol::plan::ProcessId;
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, kill_process, wait};

use super::Agent;
use crate::clock::monotonic_ns;
use crate::handlers::{After, PodIs};
use crate::process::{Entry, State};
use crate::reason::Reason;
use crate::setup::Kernel;
use crate::sys;

/// Longest wait for processes that were killed to be gone, before file systems are let go anyway: only a disk that stands still keeps
/// a killed process.
const KILL_WAIT_NS: u64 = 5_000_000_000;

/// Longest wait for the host to hang up after our last message.
const HANG_UP_WAIT_NS: u64 = 1_000_000_000;

const MILLISECOND_NS: u64 = 1_000_000;

/// How far the pod's end has come.
///
/// ```text
/// No ──Stop──▶ Grace ──time is up──▶ Killed
///  └──────────────┴──Shutdown──┴──▶ Emptying ──all gone──▶ HangingUp ──host is gone──▶ Over
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// It runs.
    No,
    /// Processes were asked to end.
    Grace {
        /// When they are killed.
        until_ns: u64,
    },
    /// Processes were killed; the host says what comes next.
    Killed,
    /// Everything was killed on the way to the machine's reset.
    Emptying {
        /// When we go on anyway.
        until_ns: u64,
    },
    /// File systems are safe, and the host was told.
    HangingUp {
        /// When we go on anyway.
        until_ns: u64,
        /// Whether our side is closed.
        is_finished: bool,
    },
    /// The machine may be reset.
    Over,
}

impl Ending {
    pub(super) fn deadline_ns(self) -> Option<u64> {
        match self {
            Self::Grace { until_ns }
            | Self::Emptying { until_ns }
            | Self::HangingUp { until_ns, .. } => Some(until_ns),
            Self::No | Self::Killed | Self::Over => None,
        }
    }
}

impl Agent {
    pub(super) fn is_over(&self) -> bool {
        self.ending == Ending::Over
    }

    pub(super) fn is_ending(&self) -> bool {
        self.ending != Ending::No
    }

    /// Takes every child that ended: the processes of the pod, and what they left behind. Returns whether none is left.
    pub(super) fn reap(&mut self) -> bool {
        // One signal may stand for many children.
        while let Ok(Some(_)) = self.children.read_signal() {}
        loop {
            match wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) => self.reaped(pid, status),
                Ok(None) => return false,
                Err(errno) => return errno == Errno::CHILD,
            }
        }
    }

    fn reaped(&mut self, pid: Pid, status: WaitStatus) {
        let of_pid = self
            .processes
            .iter()
            .find(|(_, entry)| entry.pid() == Some(pid));
        let Some((&id, _)) = of_pid else { return };
        // What it said before its end.
        self.take_reports(id);
        let Some(entry) = self.processes.get(&id) else {
            return;
        };
        let app = entry.app;
        let mut failure = None;
        if let State::Starting {
            failure: noted,
            reports,
            ..
        } = &entry.state
        {
            failure.clone_from(noted);
            let is_first = !entry.is_started;
            self.poller.remove(reports);
            if is_first {
                self.end_outputs(id);
            }
        }
        let ran = failure.is_none();
        let (exit, reason) = match failure {
            Some(reason) => (Exit::Code(CODE_EXEC_FAILED), Some(reason)),
            None => {
                let exit = exit_of(status);
                (exit, self.why(app, exit))
            }
        };
        self.program_ended(id, exit, reason, ran);
        let abandoned = match (&mut self.pod, app) {
            (Some(pod), Some(app)) => pod.root_abandoned(app, id),
            _ => false,
        };
        if abandoned && !self.is_ending() {
            self.begin_waiting(app);
        }
    }

    /// A program of a process has ended: the process too, unless its handlers have more to run.
    fn program_ended(&mut self, id: ProcessId, exit: Exit, reason: Option<Reason>, ran: bool) {
        let pod = match self.ending {
            Ending::No => PodIs::Running,
            Ending::Grace { .. } => PodIs::Stopping,
            _ => PodIs::Over,
        };
        let entry = self.processes.get_mut(&id);
        let Some(handlers) = entry.and_then(|entry| entry.handlers.as_mut()) else {
            return self.ended_as(id, exit, reason);
        };
        match handlers.ended(exit, reason, ran, pod) {
            After::End(exit, reason) => self.ended_as(id, exit, reason),
            After::Next => {
                let next = handlers.program();
                if let Some(entry) = self.processes.get_mut(&id) {
                    entry.state = State::Waiting(Box::new(next));
                }
                self.begin_if_possible(id);
            }
        }
    }

    /// Why a process was killed, if nobody asked for it.
    fn why(&mut self, app: Option<usize>, exit: Exit) -> Option<Reason> {
        let (pod, app) = (self.pod.as_mut()?, app?);
        if exit != Exit::Signal(9) || !pod.take_out_of_memory(app) {
            return None;
        }
        let (app, all) = (pod.app(app), pod.limits().memory_bytes);
        Some(Reason::truncated(&match (app.limits.memory_bytes, all) {
            (None, Some(bytes)) => format!(
                "out of memory in app {}: the pod is limited to {bytes} bytes",
                app.name
            ),
            (Some(bytes), _) => format!(
                "out of memory: app {} is limited to {bytes} bytes",
                app.name
            ),
            (None, None) => format!(
                "out of memory: the machine has no more for app {}",
                app.name
            ),
        }))
    }

    pub(super) fn ended_as(&mut self, id: ProcessId, exit: Exit, reason: Option<Reason>) {
        self.stop_hearing(id);
        let Some(entry) = self.processes.get_mut(&id) else {
            return;
        };
        let (exit, reason) = match entry.handlers.take() {
            Some(handlers) => handlers.final_end(exit, reason),
            None => (exit, reason),
        };
        entry.state = State::Ended {
            exit,
            reason: reason.clone(),
        };
        let listeners = std::mem::take(&mut entry.listeners);
        self.ended.push_back(id);
        self.send(&FromAgent::Exited {
            process: id,
            exit,
            reason,
        });
        self.close_listeners(&listeners);
    }

    /// Ended processes are kept for a host that lost the connection; no more of them than may run.
    pub(super) fn forget_ended(&mut self) {
        while self.ended.len() > MAX_PROCESSES {
            if let Some(id) = self.ended.pop_front() {
                self.end_outputs(id);
                self.processes.remove(&id);
            }
        }
    }

    /// Sends a signal to a process; to one that is no more, none.
    pub(super) fn signal(&mut self, id: ProcessId, signal: u8) {
        if let Some(pid) = self.processes.get(&id).and_then(Entry::pid) {
            // One that ended just now needs no signal, and a number that is none goes nowhere.
            let _ = sys::kill(pid, signal);
        }
    }

    /// Asks all processes to end, the last first, and kills what is left after the grace. Handlers behind a program are part of its
    /// end: they have until then.
    pub(super) fn stop(&mut self, grace_ms: u32) {
        let until_ns = monotonic_ns() + u64::from(grace_ms) * MILLISECOND_NS;
        match &mut self.ending {
            Ending::No => self.ending = Ending::Grace { until_ns },
            Ending::Grace { until_ns: earlier } => *earlier = until_ns.min(*earlier),
            _ => return,
        }
        self.cancel_waiting();
        let asked = self.processes.values().rev();
        let asked = asked.filter(|entry| !entry.is_past_its_program());
        for pid in asked.filter_map(Entry::pid) {
            // One that ended just now is as good as asked.
            let _ = kill_process(pid, Signal::TERM);
        }
    }

    /// What has not begun never will.
    fn cancel_waiting(&mut self) {
        let is_waiting = |state: &State| matches!(state, State::Waiting(_));
        let entries = self.processes.iter();
        let waiting: Vec<ProcessId> = entries
            .filter(|(_, entry)| is_waiting(&entry.state))
            .map(|(id, _)| *id)
            .collect();
        for id in waiting {
            let reason = Reason::truncated("the pod was stopped before it was started");
            if self
                .processes
                .get(&id)
                .is_some_and(|entry| !entry.is_started)
            {
                self.end_outputs(id);
            }
            self.ended_as(id, Exit::Signal(15), Some(reason));
        }
    }

    fn kill_all(&self) {
        if let Some(pod) = &self.pod {
            pod.kill();
        }
    }

    /// Ends everything and then the machine.
    pub(super) fn shut_down(&mut self) {
        if matches!(
            self.ending,
            Ending::Emptying { .. } | Ending::HangingUp { .. } | Ending::Over
        ) {
            return;
        }
        self.ending = Ending::Emptying {
            until_ns: monotonic_ns() + KILL_WAIT_NS,
        };
        self.cancel_waiting();
        self.kill_all();
    }

    /// The time of the current phase is up.
    pub(super) fn ending_is_due(&mut self) {
        match self.ending {
            Ending::Grace { .. } => {
                self.ending = Ending::Killed;
                self.kill_all();
            }
            Ending::Emptying { .. } => self.let_go(),
            Ending::HangingUp { .. } => self.ending = Ending::Over,
            Ending::No | Ending::Killed | Ending::Over => {}
        }
    }

    /// Goes on as soon as what was waited for is there.
    pub(super) fn advance_ending(&mut self) {
        let is_emptying = matches!(self.ending, Ending::Emptying { .. });
        if is_emptying && self.reap() {
            self.let_go();
        }
        if let Ending::HangingUp { is_finished, .. } = &mut self.ending
            && let Some(connection) = self.link.connection()
            && connection.is_flushed()
            && !*is_finished
        {
            *is_finished = true;
            connection.finish();
        }
    }

    /// Nothing runs: file systems can go, and then we.
    fn let_go(&mut self) {
        if let Some(pod) = &mut self.pod {
            pod.release_roots();
        }
        if self.machine.kernel == Kernel::Own {
            rustix::fs::sync();
        }
        self.ending = match self.link.connection() {
            Some(connection) => {
                connection.send(&FromAgent::Down);
                Ending::HangingUp {
                    until_ns: monotonic_ns() + HANG_UP_WAIT_NS,
                    is_finished: false,
                }
            }
            None => Ending::Over,
        };
    }

    /// The connection is lost.
    pub(super) fn host_is_gone(&mut self) {
        if matches!(self.ending, Ending::HangingUp { .. }) {
            self.ending = Ending::Over;
        }
    }
}

fn exit_of(status: WaitStatus) -> Exit {
    let byte = |number: i32| u8::try_from(number).unwrap_or(u8::MAX);
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => Exit::Code(byte(code)),
        (None, signal) => Exit::Signal(byte(signal.unwrap_or(0))),
    }
}
