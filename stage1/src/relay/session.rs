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
mod ending;
mod failure;
mod input;
mod output;
mod process;

use std::collections::VecDeque;
use std::time::Duration;

use bulkhead_protocol::agent::{FromAgent, Session as SessionId, Stream, ToAgent};
use bulkhead_protocol::exit::Exit;
use bulkhead_protocol::metadata::{MAX_REQUESTS, Request};
use bulkhead_protocol::plan::{Plan, Process, ProcessId, Stdio, WindowSize};
use bulkhead_protocol::relay::RelaySpec;

use super::metadata::Service;
use failure::Failure;
use input::Input;
use process::Processes;

pub use action::{Action, Outgoing};
pub use failure::Violation;

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
    pod: Option<(Plan, Vec<Process>)>,
    /// Messages to send before anything else. Bounded: each kind is there at most once, but for the starts.
    control: VecDeque<Outgoing>,
    processes: Processes,
    input: Option<Input>,
    metadata: Service,
    /// What apps have asked the metadata service, at most [`MAX_REQUESTS`].
    requests: VecDeque<Request>,
    resize: Option<WindowSize>,
    stopping: bool,
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
            pod: Some((spec.plan, processes)),
            metadata,
            requests: VecDeque::new(),
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
        if let Some(request) = self.requests.pop_front() {
            return Some(Outgoing::Message(ToAgent::Metadata {
                request: request.id,
                answer: Box::new(self.metadata.answer(&request)),
            }));
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
            FromAgent::Metadata(request) => self.metadata_request(*request)?,
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

    fn metadata_request(&mut self, request: Request) -> Result<(), Violation> {
        if self.requests.len() == MAX_REQUESTS {
            return Err(Violation::Requests);
        }
        self.requests.push_back(request);
        Ok(())
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
