//! What the pod's conversation is about: a state machine that knows no descriptor, thread or clock.
//!
//! ```text
//! Booting ──Hello──▶ Running ──all ended, all output passed on──▶ PoweringOff ──Down──▶ Ending ──VMM exited──▶ Finished
//!    │                  │                                              │                  ▲
//!    └──── stop, failure, time ────────────────────────────────────────┴──────────────────┘
//! ```
//!
//! Whoever drives it calls a method for each thing that happened, then does the [`Action`]s, and sends what
//! [`Session::next_message`] gives for as long as there is room. It is asked again at [`Session::deadline`].
//!
//! Every message of the agent is an allegation. What a working agent would never say ends the pod with a reason.

mod failure;
mod input;
mod output;
mod process;

use std::collections::VecDeque;
use std::time::Duration;

use bulkhead_protocol::agent::{FromAgent, MAX_MANIFEST, Session as SessionId, Stream, ToAgent};
use bulkhead_protocol::bounded::Blob;
use bulkhead_protocol::exit::{CODE_RUNTIME_FAILED, Exit};
use bulkhead_protocol::plan::{AppName, Plan, Process, ProcessId, Stdio, WindowSize};
use bulkhead_protocol::relay::RelaySpec;
use bulkhead_protocol::vmm::ExitReason;

use failure::Failure;
use input::Input;
use process::Processes;

pub use failure::Violation;

/// What the guest gets beyond the grace period to report that its apps are dead.
const STOP_MARGIN: Duration = Duration::from_secs(1);

/// Silence that ends the wait for the rest of the output, once all apps have ended: something holds a stream open that
/// will never write again.
const DRAIN_LIMIT: Duration = Duration::from_secs(2);

/// Between asking the VMM to stop and its last word.
const VMM_END_LIMIT: Duration = Duration::from_secs(2);

/// SIGTERM: how a pod ends that was stopped before its apps ran.
const SIGTERM: u8 = 15;

/// Something to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Pass bytes on; call [`Session::written`] when it is done.
    Output {
        /// Whose.
        process: ProcessId,
        /// Standard output or error.
        stream: Stream,
        /// What; never empty.
        bytes: Vec<u8>,
    },
    /// A stream has ended.
    OutputEnd {
        /// Whose.
        process: ProcessId,
        /// Standard output or error.
        stream: Stream,
    },
    /// An app ended with this exit code.
    Status {
        /// Which.
        app: AppName,
        /// Its code.
        code: u8,
    },
    /// The agent is there.
    Ready,
    /// A phase of the start or end, this long ago.
    Phase {
        /// Its name in the trace.
        name: &'static str,
        /// Nanoseconds since.
        ago_ns: u64,
    },
    /// The app on the terminal runs: from here on its keys are the app's.
    RawTerminal,
    /// End the agent's connection.
    Disconnect,
    /// Ask the VMM to power off at once.
    StopVmm,
    /// Tell the user; any text, to be made readable.
    Say(String),
    /// Show the tail of the console; any bytes, to be made readable.
    ShowConsole(Vec<u8>),
    /// The end, with the pod's exit code. Nothing comes after.
    Finish(u8),
}

/// Something to send to the agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outgoing {
    /// The answer to a hello; entropy and time are for the sender to add.
    Welcome(SessionId),
    /// A message as it is.
    Message(ToAgent),
}

/// Where the pod is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Booting,
    Running,
    PoweringOff,
    Ending,
    Finished,
}

/// Where the agent's connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Link {
    Down,
    /// Connected, no hello yet.
    Silent,
    Up,
}

/// The conversation about one pod.
#[derive(Debug)]
pub struct Session {
    // Fixed configuration.
    id: SessionId,
    ready_timeout: Duration,
    stop_grace_ms: u32,
    power_off_grace: Duration,
    debug: bool,

    // Volatile state.
    phase: Phase,
    /// When the phase, or the wait in it, has lasted too long.
    until: Option<Duration>,
    link: Link,
    /// Until when a lost agent may come back.
    redial_until: Option<Duration>,
    /// To send once: the plan and the processes.
    pod: Option<(Plan, Blob<MAX_MANIFEST>, Vec<Process>)>,
    /// Messages to send before anything else. Bounded: each kind is there at most once, but for the starts.
    control: VecDeque<Outgoing>,
    processes: Processes,
    input: Option<Input>,
    resize: Option<WindowSize>,
    stopping: bool,
    stopped_early: bool,
    failure: Option<Failure>,
    actions: Vec<Action>,
}

impl Session {
    /// A session that waits for its agent from `now` on. All times are those of one clock, from any origin.
    pub fn new(spec: RelaySpec, id: SessionId, now: Duration) -> Self {
        let milliseconds = |ms: u32| Duration::from_millis(u64::from(ms));
        let ready_timeout = milliseconds(spec.ready_timeout_ms);
        let processes = spec.processes.into_vec();
        let takes_input = |p: &Process| p.stdio != Stdio::Pipes { stdin: false };
        let input = processes.first().filter(|p| takes_input(p));
        Self {
            id,
            ready_timeout,
            stop_grace_ms: spec.stop_grace_ms,
            power_off_grace: milliseconds(spec.power_off_grace_ms),
            debug: spec.debug,
            phase: Phase::Booting,
            until: Some(now + ready_timeout),
            link: Link::Down,
            redial_until: None,
            control: VecDeque::new(),
            input: input.map(|process| Input::new(process.id, process.stdio)),
            processes: Processes::new(&processes),
            pod: Some((spec.plan, spec.manifest, processes)),
            resize: None,
            stopping: false,
            stopped_early: false,
            failure: None,
            actions: Vec::new(),
        }
    }

    /// What there is to do, in order.
    pub fn take_actions(&mut self) -> Vec<Action> {
        std::mem::take(&mut self.actions)
    }

    /// When to call [`Session::tick`].
    pub fn deadline(&self) -> Option<Duration> {
        match (self.until, self.redial_until) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// The next message for the agent, if its connection has room for one.
    pub fn next_message(&mut self) -> Option<Outgoing> {
        if self.link != Link::Up {
            return None;
        }
        if let Some(message) = self.control.pop_front() {
            return Some(message);
        }
        if let Some(ack) = self.processes.next_ack() {
            return Some(Outgoing::Message(ToAgent::Ack(ack)));
        }
        let input = self.input.as_mut()?;
        let process = input.process();
        if !self.processes.is_running(process) {
            return None;
        }
        if let Some(size) = self.resize.take() {
            return Some(Outgoing::Message(ToAgent::Resize { process, size }));
        }
        let chunk = input.next_chunk()?;
        Some(Outgoing::Message(ToAgent::Data(chunk)))
    }

    /// Bytes of standard input that can be taken now. `None`: nobody wants any more.
    pub fn input_room(&self) -> Option<usize> {
        let input = self.input.as_ref()?;
        let wanted = matches!(self.phase, Phase::Booting | Phase::Running)
            && !self.processes.has_ended(input.process());
        if wanted { input.room() } else { None }
    }

    /// The agent dialled. An older connection is gone.
    pub fn agent_connected(&mut self, now: Duration) {
        if self.link != Link::Down {
            self.agent_lost(now);
        }
        self.link = Link::Silent;
    }

    /// The agent's connection ended.
    pub fn agent_lost(&mut self, now: Duration) {
        self.link = Link::Down;
        if matches!(self.phase, Phase::Running | Phase::PoweringOff) {
            self.redial_until.get_or_insert(now + self.ready_timeout);
        }
    }

    /// The agent's bytes make no sense.
    pub fn agent_is_wrong(&mut self, now: Duration, violation: &Violation) {
        self.fail(now, Failure::violation(violation));
    }

    /// The agent said something.
    pub fn agent_message(&mut self, now: Duration, message: FromAgent) {
        if matches!(self.phase, Phase::Ending | Phase::Finished) {
            return;
        }
        if let Err(violation) = self.follow(now, message) {
            self.agent_is_wrong(now, &violation);
        }
    }

    fn follow(&mut self, now: Duration, message: FromAgent) -> Result<(), Violation> {
        if let FromAgent::Hello {
            version,
            resume,
            first_instruction_ns,
            sent_ns,
        } = message
        {
            let own_ns = sent_ns.saturating_sub(first_instruction_ns);
            return self.hello(version, resume, own_ns);
        }
        if self.link != Link::Up {
            return Err(Violation::NoHello);
        }
        match message {
            FromAgent::Hello { .. } => {}
            FromAgent::Started {
                process,
                exec_ns,
                sent_ns,
            } => {
                self.processes.started(process)?;
                let ago_ns = sent_ns.saturating_sub(exec_ns);
                self.actions.push(Action::Phase {
                    name: "app-exec",
                    ago_ns,
                });
                if self.input.as_ref().is_some_and(|i| i.is_terminal(process)) {
                    self.actions.push(Action::RawTerminal);
                }
            }
            FromAgent::Exited {
                process,
                exit,
                reason,
            } => {
                self.exited(now, process, exit, reason.as_ref().map(|r| r.as_str()))?;
            }
            FromAgent::Data(chunk) => {
                let (process, stream) = (chunk.process, chunk.stream);
                let taken = self.processes.data(chunk)?;
                if let Some(bytes) = taken.bytes {
                    self.actions.push(Action::Output {
                        process,
                        stream,
                        bytes,
                    });
                }
                if taken.ended {
                    self.actions.push(Action::OutputEnd { process, stream });
                }
                self.look_for_the_end(now);
            }
            FromAgent::Ack(ack) => match &mut self.input {
                Some(input) => input.acknowledged(ack)?,
                None => return Err(Violation::Ack),
            },
            FromAgent::Failed { reason } => {
                self.fail(now, Failure::guest(format!("the guest: {reason}")));
            }
            FromAgent::Down if self.phase == Phase::PoweringOff => self.end(now),
            FromAgent::Down => return Err(Violation::Down),
        }
        Ok(())
    }

    fn hello(
        &mut self,
        version: u32,
        resume: Option<SessionId>,
        own_ns: u64,
    ) -> Result<(), Violation> {
        if version != bulkhead_protocol::VERSION {
            return Err(Violation::Version(version));
        }
        if self.link == Link::Up {
            return Err(Violation::SecondHello);
        }
        let expected = (self.phase != Phase::Booting).then_some(self.id);
        if resume != expected {
            return Err(Violation::Session);
        }
        self.link = Link::Up;
        self.redial_until = None;
        self.control.push_front(Outgoing::Welcome(self.id));
        if self.phase != Phase::Booting {
            self.resume();
            return Ok(());
        }
        let phase = |name, ago_ns| Action::Phase { name, ago_ns };
        self.actions.push(phase("agent-first-instruction", own_ns));
        self.actions.push(phase("agent-ready", 0));
        self.actions.push(Action::Ready);
        self.debug("the agent is ready");
        self.phase = Phase::Running;
        self.until = None;
        if let Some((plan, manifest, processes)) = self.pod.take() {
            let mut send = |message| self.control.push_back(Outgoing::Message(message));
            send(ToAgent::Pod { plan, manifest });
            processes.into_iter().map(ToAgent::Start).for_each(send);
        }
        Ok(())
    }

    /// The agent is back: it hears again what it may have missed.
    fn resume(&mut self) {
        self.processes.resume();
        if let Some(input) = &mut self.input {
            input.resume();
        }
        if self.phase == Phase::PoweringOff {
            self.control.push_back(Outgoing::Message(ToAgent::Shutdown));
        } else if self.stopping {
            let grace_ms = self.stop_grace_ms;
            self.control
                .push_back(Outgoing::Message(ToAgent::Stop { grace_ms }));
        }
    }

    fn exited(
        &mut self,
        now: Duration,
        process: ProcessId,
        exit: Exit,
        reason: Option<&str>,
    ) -> Result<(), Violation> {
        let Some(app) = self.processes.exited(process, exit)? else {
            return Ok(());
        };
        if let Some(reason) = reason {
            let name = format!("app {app}");
            let text = if reason.contains(&name) {
                reason.to_owned()
            } else {
                format!("{name}: {reason}")
            };
            self.actions.push(Action::Say(text));
        }
        self.debug(&format!("app {app} ended with {}", exit.code()));
        self.actions.push(Action::Phase {
            name: "app-exit",
            ago_ns: 0,
        });
        self.actions.push(Action::Status {
            app,
            code: exit.code(),
        });
        if !exit.is_success() && !self.processes.all_ended() {
            self.stop_apps(now);
        }
        self.look_for_the_end(now);
        Ok(())
    }

    /// Stop in order: the supervisor's word, or its end.
    pub fn stop(&mut self, now: Duration) {
        match self.phase {
            Phase::Booting => {
                self.stopped_early = true;
                self.end(now);
            }
            Phase::Running => self.stop_apps(now),
            Phase::PoweringOff | Phase::Ending | Phase::Finished => {}
        }
    }

    fn stop_apps(&mut self, now: Duration) {
        if self.stopping || self.processes.all_ended() {
            return;
        }
        self.stopping = true;
        let grace_ms = self.stop_grace_ms;
        let grace = Duration::from_millis(u64::from(grace_ms));
        self.until = Some(now + grace + STOP_MARGIN);
        self.control
            .push_back(Outgoing::Message(ToAgent::Stop { grace_ms }));
    }

    /// Standard input brought bytes; none at all: it ended.
    pub fn input(&mut self, bytes: &[u8]) {
        if let Some(input) = &mut self.input {
            input.push(bytes);
        }
    }

    /// The terminal has another size.
    pub fn resized(&mut self, size: WindowSize) {
        self.resize = Some(size);
    }

    /// Bytes of an [`Action::Output`] were passed on.
    pub fn written(&mut self, now: Duration, process: ProcessId, stream: Stream, count: u64) {
        self.processes.written(process, stream, count);
        self.look_for_the_end(now);
    }

    /// Nobody reads standard output (or error) any more.
    pub fn output_closed(&mut self, now: Duration, stream: Stream) {
        self.processes.close_outputs(stream);
        self.look_for_the_end(now);
    }

    /// When all apps have ended: power off, at once if all output is passed on, or after a silence.
    fn look_for_the_end(&mut self, now: Duration) {
        if self.phase != Phase::Running || !self.processes.all_ended() {
            return;
        }
        if self.processes.all_passed_on() {
            self.power_off(now);
        } else if self.processes.awaits_reader() {
            // However long the reader of our output takes: that is between it and whoever started it.
            self.until = None;
        } else {
            self.until = Some(now + DRAIN_LIMIT);
        }
    }

    fn power_off(&mut self, now: Duration) {
        self.phase = Phase::PoweringOff;
        self.until = Some(now + self.power_off_grace);
        self.control.push_back(Outgoing::Message(ToAgent::Shutdown));
    }

    /// The guest has nothing left to do.
    fn end(&mut self, now: Duration) {
        self.phase = Phase::Ending;
        self.until = Some(now + VMM_END_LIMIT);
        self.redial_until = None;
        self.link = Link::Down;
        self.actions.push(Action::StopVmm);
        self.actions.push(Action::Disconnect);
    }

    fn fail(&mut self, now: Duration, failure: Failure) {
        if !matches!(self.phase, Phase::Ending | Phase::Finished) {
            self.failure = Some(failure);
            self.end(now);
        }
    }

    /// Time has passed.
    pub fn tick(&mut self, now: Duration) {
        if self.redial_until.is_some_and(|until| now >= until) {
            self.fail(
                now,
                Failure::machine("the guest's agent was lost".to_owned()),
            );
            return;
        }
        if self.until.is_none_or(|until| now < until) {
            return;
        }
        match self.phase {
            Phase::Booting => {
                let seconds = self.ready_timeout.as_secs();
                let text = format!("the machine was not ready after {seconds} s");
                self.fail(now, Failure::machine(text));
            }
            Phase::Running => self.power_off(now),
            Phase::PoweringOff => {
                let seconds = self.power_off_grace.as_secs();
                let text = format!("the guest did not power off within {seconds} s");
                self.actions.push(Action::Say(text));
                self.end(now);
            }
            Phase::Ending => self.finish(None, &[]),
            Phase::Finished => {}
        }
    }

    /// The VMM's last word.
    pub fn vmm_exited(&mut self, reason: &ExitReason, console: &[u8]) {
        self.debug(&format!("the VMM ended: {reason}"));
        let text = match self.phase {
            Phase::Booting => Some(format!("the machine ended before it was ready: {reason}")),
            Phase::Running if !self.processes.all_ended() => Some(format!(
                "the machine ended while its apps were running: {reason}"
            )),
            _ => None,
        };
        self.finish(text, console);
    }

    /// The VMM ended without a word.
    pub fn vmm_lost(&mut self) {
        if self.phase != Phase::Ending {
            let text = "the VMM ended without giving a reason".to_owned();
            self.finish(Some(text), &[]);
        } else {
            self.finish(None, &[]);
        }
    }

    fn finish(&mut self, text: Option<String>, console: &[u8]) {
        if self.phase == Phase::Finished {
            return;
        }
        self.phase = Phase::Finished;
        self.until = None;
        self.redial_until = None;
        let failure = self.failure.take().or(text.map(Failure::machine));
        let code = match failure {
            Some(failure) => {
                self.actions.push(Action::Say(failure.text));
                if failure.console && !console.is_empty() {
                    self.actions.push(Action::ShowConsole(console.to_vec()));
                }
                CODE_RUNTIME_FAILED
            }
            None if self.stopped_early => Exit::Signal(SIGTERM).code(),
            None => self.processes.code(),
        };
        self.actions.push(Action::Phase {
            name: "pod-done",
            ago_ns: 0,
        });
        self.actions.push(Action::Finish(code));
    }

    fn debug(&mut self, text: &str) {
        if self.debug {
            self.actions.push(Action::Say(text.to_owned()));
        }
    }
}

#[cfg(test)]
#[path = "session_test.rs"]
mod tests;
