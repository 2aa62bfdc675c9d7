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

mod action;
mod apps;
mod attach;
mod damage;
mod ending;
mod enter;
mod entered;
mod failure;
mod input;
mod inputs;
mod mutable;
mod output;
mod passed_on;
mod process;
mod readiness;
mod time_limit;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bulkhead_protocol::agent::{Chunk, FromAgent, Session as SessionId, Stream, ToAgent};
use bulkhead_protocol::exit::Exit;
use bulkhead_protocol::metadata::{MAX_REQUESTS, Request};
use bulkhead_protocol::plan::{Plan, Process, ProcessId, WindowSize};
use bulkhead_protocol::relay::{Outputs, RelaySpec};

use super::metadata::Service;
use apps::Apps;
use entered::Entered;
use failure::Failure;
use input::Input;
use inputs::Inputs;
use mutable::{FIRST_ENTERED, Mutable};
use time_limit::TimeLimit;

pub use action::{Action, Answer, AppChange, News, Outgoing};
pub use attach::Offer;
pub use enter::Refusal;
pub use failure::Violation;
pub use mutable::Asker;

/// The process that has the relay's standard input, where one has it: only a pod of one app is interactive.
pub const INTERACTIVE: ProcessId = ProcessId(0);

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
    until: Option<TimeLimit>,
    link: Link,
    /// Until when a lost agent may come back.
    redial_until: Option<Duration>,
    /// To send once: the plan and the processes.
    pod: Option<(Plan, Vec<Process>)>,
    /// Messages to send before anything else. Bounded: each kind is there at most once, but for the apps' starts, and last
    /// words to a program that was entered and whose start was sent.
    control: VecDeque<Outgoing>,
    apps: Apps,
    /// Of a pod whose apps come and go.
    mutable: Option<Mutable>,
    /// Where the apps' outputs go.
    outputs: BTreeMap<ProcessId, Outputs>,
    entered: Entered,
    inputs: Inputs,
    metadata: Service,
    /// What apps have asked the metadata service, at most [`MAX_REQUESTS`].
    requests: VecDeque<Request>,
    stopping: bool,
    /// Only connections to the apps are waited for yet.
    lingers: bool,
    stopped_early: bool,
    failure: Option<Failure>,
    actions: Vec<Action>,
}

impl Session {
    /// A session that waits for its agent from `now` on. All times are those of one clock, from any origin.
    pub fn new(spec: RelaySpec, metadata: Service, id: SessionId, now: Duration) -> Self {
        let milliseconds = |ms: u32| Duration::from_millis(u64::from(ms));
        let ready_timeout = milliseconds(spec.ready_timeout_ms);
        let processes = spec.processes.into_vec();
        let count = u32::try_from(processes.len()).unwrap_or(u32::MAX);
        let first = if spec.mutable { FIRST_ENTERED } else { count };
        let mut inputs = Inputs::new();
        processes.iter().for_each(|p| inputs.add(p.id, p.stdio));
        Self {
            id,
            ready_timeout,
            stop_grace_ms: spec.stop_grace_ms,
            power_off_grace: milliseconds(spec.power_off_grace_ms),
            debug: spec.debug,
            phase: Phase::Booting,
            until: Some(TimeLimit::after(now, ready_timeout)),
            link: Link::Down,
            redial_until: None,
            control: VecDeque::new(),
            apps: Apps::new(&processes),
            mutable: spec.mutable.then(Mutable::default),
            entered: Entered::new(&processes, first, spec.confine_entered),
            outputs: (0..).map(ProcessId).zip(spec.outputs.into_vec()).collect(),
            inputs,
            pod: Some((spec.plan, processes)),
            metadata,
            requests: VecDeque::new(),
            stopping: false,
            lingers: false,
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
        let of_apps = self.mutable.as_ref().and_then(Mutable::deadline);
        let of_entered = self.entered.deadline();
        let of_phase = self.until.map(|until| until.at());
        let all = [of_phase, self.redial_until, of_entered, of_apps];
        all.into_iter().flatten().min()
    }

    /// The next message for the agent, if its connection has room for one.
    pub fn next_message(&mut self) -> Option<Outgoing> {
        if self.link != Link::Up {
            return None;
        }
        if let Some(message) = self.control.pop_front() {
            return Some(message);
        }
        // Before its streams' end: a program that reads that first may be gone when its SIGHUP comes.
        if let Some(signal) = self.entered.next_signal() {
            return Some(Outgoing::Message(signal));
        }
        let ack = self.apps.next_ack();
        if let Some(ack) = ack.or_else(|| self.entered.next_ack()) {
            return Some(Outgoing::Message(ToAgent::Ack(ack)));
        }
        if let Some(request) = self.requests.pop_front() {
            return Some(Outgoing::Message(ToAgent::Metadata {
                request: request.id,
                answer: Box::new(self.metadata.answer(&request)),
            }));
        }
        let message = self.mutable.as_mut().and_then(Mutable::next_message);
        let message = message.or_else(|| self.entered.next_start());
        let message = message.or_else(|| {
            let (apps, entered) = (&self.apps, &self.entered);
            let process = |id| apps.get(id).or_else(|| entered.get(id));
            self.inputs
                .next_message(|id| process(id).is_some_and(|p| p.is_running()))
        });
        message.map(Outgoing::Message)
    }

    /// Bytes of a process's input that can be taken now. `None`: nobody wants any more.
    pub fn input_room(&self, process: ProcessId) -> Option<usize> {
        let input = self.inputs.get(process)?;
        let of = self.apps.get(process).or_else(|| self.entered.get(process));
        let ended = of.is_none_or(|process| process.has_ended());
        let wanted = matches!(self.phase, Phase::Booting | Phase::Running) && !ended;
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
        self.requests.clear();
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
            FromAgent::Started { process, .. } if self.entered.owns(process) => {
                self.entered_started(process)?;
            }
            FromAgent::Started {
                process,
                exec_ns,
                sent_ns,
            } => self.started(process, sent_ns.saturating_sub(exec_ns))?,
            FromAgent::Ready { process } => self.app_is_ready(process)?,
            FromAgent::Exited {
                process,
                exit,
                reason,
            } => {
                let reason = reason.map(|reason| reason.as_str().to_owned());
                if self.entered.owns(process) {
                    self.entered_exited(now, process, exit, reason)?;
                } else {
                    self.exited(now, process, exit, reason)?;
                }
            }
            FromAgent::Data(chunk) if self.entered.owns(chunk.process) => {
                self.entered_data(now, chunk)?;
            }
            FromAgent::Data(chunk) => self.data(now, chunk)?,
            FromAgent::Ack(ack) => self.input_acknowledged(ack)?,
            FromAgent::ImageDamaged { app } => self.image_is_damaged(app)?,
            FromAgent::Metadata(request) => self.metadata_request(*request)?,
            FromAgent::Failed { reason } => {
                self.fail(now, Failure::guest(format!("the guest: {reason}")));
            }
            FromAgent::AppAdded { app, failure } => {
                self.app_added(app, failure.map(|text| text.to_string()))?;
            }
            FromAgent::AppRemoved { app, failure } => {
                self.app_removed(app, failure.map(|text| text.to_string()))?;
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
        if let Some((plan, processes)) = self.pod.take() {
            let mut send = |message| self.control.push_back(Outgoing::Message(message));
            send(ToAgent::Pod {
                plan: Box::new(plan),
            });
            processes
                .into_iter()
                .map(Box::new)
                .map(ToAgent::Start)
                .for_each(send);
        }
        self.look_whether_apps_run();
        Ok(())
    }

    /// The agent is back: it hears again what it may have missed.
    fn resume(&mut self) {
        self.apps.resume();
        self.mutable.iter_mut().for_each(Mutable::resume);
        self.entered.resume();
        self.inputs.resume();
        if self.phase == Phase::PoweringOff {
            self.control.push_back(Outgoing::Message(ToAgent::Shutdown));
        } else if self.stopping {
            let grace_ms = self.stop_grace_ms;
            self.control
                .push_back(Outgoing::Message(ToAgent::Stop { grace_ms }));
        }
    }

    fn metadata_request(&mut self, request: Request) -> Result<(), Violation> {
        if self.requests.len() == MAX_REQUESTS {
            return Err(Violation::Requests);
        }
        self.requests.push_back(request);
        Ok(())
    }

    fn started(&mut self, process: ProcessId, ago_ns: u64) -> Result<(), Violation> {
        if self.apps.had(process) {
            return Ok(());
        }
        let app = self.apps.get_mut(process);
        let news = app.ok_or(Violation::Process(process))?.started()?;
        self.app_started(process);
        if news {
            self.look_whether_apps_run();
        }
        self.actions.push(Action::Phase {
            name: "app-exec",
            ago_ns,
        });
        if self.inputs.get(process).is_some_and(Input::is_terminal) {
            self.actions.push(Action::RawTerminal);
        }
        Ok(())
    }

    fn data(&mut self, now: Duration, chunk: Chunk) -> Result<(), Violation> {
        let (process, stream) = (chunk.process, chunk.stream);
        if self.apps.had(process) {
            return Ok(());
        }
        let app = self.apps.get_mut(process);
        let taken = app.ok_or(Violation::Process(process))?.data(chunk)?;
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
        Ok(())
    }

    fn exited(
        &mut self,
        now: Duration,
        process: ProcessId,
        exit: Exit,
        reason: Option<String>,
    ) -> Result<(), Violation> {
        if self.apps.had(process) {
            return Ok(());
        }
        let ended = self.apps.get_mut(process);
        if !ended.ok_or(Violation::Process(process))?.exited(exit)? {
            return Ok(());
        }
        let Some(app) = self.apps.note_end(process, exit) else {
            return Ok(());
        };
        if let Some(reason) = &reason {
            let name = format!("app {app}");
            let text = match reason.contains(&name) {
                true => reason.clone(),
                false => format!("{name}: {reason}"),
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
        // Who waits for the end may read the status at once.
        self.app_exited(process, exit, reason.as_deref());
        if self.mutable.is_none() && !exit.is_success() && !self.apps.all_ended() {
            self.stop_apps(now);
        }
        self.look_for_the_end(now);
        Ok(())
    }

    /// A process's input brought bytes; none at all: it ended.
    pub fn input(&mut self, process: ProcessId, bytes: &[u8]) {
        if let Some(input) = self.inputs.get_mut(process) {
            input.push(bytes);
        }
    }

    /// A process's terminal has another size.
    pub fn resized(&mut self, process: ProcessId, size: WindowSize) {
        if let Some(input) = self.inputs.get_mut(process) {
            input.resized(size);
        }
    }

    /// Bytes of a stream were passed on.
    pub fn written(&mut self, now: Duration, process: ProcessId, stream: Stream, count: u64) {
        if self.entered.owns(process) {
            self.entered_written(now, process, stream, count);
        } else if let Some(app) = self.apps.get_mut(process) {
            app.written(stream, count);
            self.look_for_the_end(now);
        }
    }

    /// Nobody reads standard output (or error) any more.
    pub fn output_closed(&mut self, now: Duration, stream: Stream) {
        self.apps.close_outputs(stream);
        self.look_for_the_end(now);
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

#[cfg(test)]
#[path = "session_property_test.rs"]
mod property_tests;
