//! The relay's loop: waits for everybody at once, and does what the session says.
//!
//! `poll`, not `epoll`: there are a handful of descriptors, and one of them may be a file. Nothing here blocks: sockets
//! are read and written without waiting, and the standard streams have threads of their own.

mod acceptor;
mod agent_link;
mod client;
mod clients;
mod commands;
mod outputs;
mod passed_on;
mod pipes;
mod streams;

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use bulkhead_protocol::AGENT_PORT;
use bulkhead_protocol::agent::Session as SessionId;
use bulkhead_protocol::exit::CODE_RUNTIME_FAILED;
use bulkhead_protocol::relay::RelaySpec;
use bulkhead_protocol::vmm::{FromVmm, StartTimes};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::rand::{GetRandomFlags, getrandom};

use super::descriptors::Descriptors;
use super::kernel;
use super::log::Log;
use super::metadata::{MetadataError, Service};
use super::outlet::Report;
use super::readable;
use super::session::{Action, INTERACTIVE, Session};
use super::status::StatusDirectory;
use super::vmm_link::{Received, VmmLink};
use crate::{load, trace};
use agent_link::AgentLink;
use clients::{Awaited, Clients};
use commands::{Command, Commands};
use outputs::{AppOutputs, log_of};
use passed_on::PassedOn;
use streams::Streams;

/// What the last output gets to be written, when the pod is over.
const FLUSH_LIMIT: Duration = Duration::from_secs(2);

/// The same of the apps' logs, before it.
const LOG_LIMIT: Duration = Duration::from_secs(1);

/// A relay that cannot work.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    /// The supervisor's first message.
    #[error("read what to run from the supervisor")]
    Spec(#[source] io::Error),
    /// A descriptor, thread or the like that cannot be had.
    #[error("{what}")]
    Setup {
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// What apps may ask for.
    #[error("prepare the metadata service")]
    Metadata(#[from] MetadataError),
    /// The wait itself.
    #[error("wait for events")]
    Wait(#[source] io::Error),
}

/// Runs the pod to its end, and gives its exit code.
///
/// # Errors
/// When the relay cannot do its work; the guest's faults are the pod's, not errors.
pub fn run(descriptors: Descriptors) -> Result<u8, RelayError> {
    let setup = |what| move |source| RelayError::Setup { what, source };
    let (commands, spec) = Commands::receive_spec(descriptors.commands)?;
    let mut id = [0; 16];
    getrandom(&mut id, GetRandomFlags::empty())
        .map_err(io::Error::from)
        .map_err(setup("choose the session's name"))?;
    let streams = Streams::start(&spec).map_err(setup("attend to the standard streams"))?;
    let metadata = Service::new(&spec.metadata, &spec.manifest)?;
    let log = log_of(&spec, descriptors.logs, streams.reporter());
    let outputs = AppOutputs::new(&spec.outputs);
    let start = Instant::now();
    let mut relay = Relay {
        session: Session::new(spec, metadata, SessionId(id), Duration::ZERO),
        start,
        commands,
        vmm: Some(VmmLink::new(descriptors.vmm)),
        agent: None,
        status: StatusDirectory::new(descriptors.rkt),
        streams,
        log,
        outputs,
        clients: Clients::new(descriptors.control),
        passed_on: PassedOn::new(descriptors.listeners),
        apps_run: descriptors.apps_run,
        trace: descriptors.trace,
        kernel: descriptors.kernel,
        code: None,
    };
    let result = relay.run();
    relay.status.clear_ready();
    relay.log.finish(LOG_LIMIT);
    relay.hear_streams();
    relay.streams.flush(FLUSH_LIMIT);
    result
}

/// Who may have something to say.
#[derive(Debug, Clone, Copy)]
enum Source {
    Streams,
    Commands,
    Agent,
    Vmm,
    Resizes,
    Clients(Awaited),
    PassedOn(passed_on::Awaited),
}

struct Relay {
    session: Session,
    /// The origin of the session's clock.
    start: Instant,
    commands: Commands,
    vmm: Option<VmmLink>,
    agent: Option<AgentLink>,
    status: StatusDirectory,
    streams: Streams,
    log: Log,
    outputs: AppOutputs,
    clients: Clients,
    passed_on: PassedOn,
    apps_run: Option<OwnedFd>,
    trace: Option<File>,
    kernel: Option<File>,
    /// The pod's exit code, when it has ended.
    code: Option<u8>,
}

impl Relay {
    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    fn run(&mut self) -> Result<u8, RelayError> {
        self.hear_commands();
        loop {
            self.act();
            if let Some(code) = self.code {
                return Ok(code);
            }
            self.feed_agent();
            self.streams
                .ask_for_input(self.session.input_room(INTERACTIVE));
            self.clients.drop_unwanted_inputs(&self.session);
            self.passed_on.drop_unwanted_inputs(&self.session);
            self.wait()?;
            let now = self.now();
            if self.session.is_late(now) && load::is_high() {
                self.session.wait_longer(now);
            }
            self.session.tick(now);
        }
    }

    fn act(&mut self) {
        // Doing one may bring others.
        loop {
            self.pass_on();
            let actions = self.session.take_actions();
            if actions.is_empty() {
                return;
            }
            for action in actions {
                self.do_action(action);
            }
        }
    }

    fn do_action(&mut self, action: Action) {
        match action {
            Action::Output {
                process,
                stream,
                bytes,
            } => self.output((process, stream), bytes),
            Action::OutputEnd { process, stream } => {
                self.log.output_end(process, stream);
                self.streams.output_end(process, stream);
                self.clients.output_end((process, stream));
            }
            Action::Client { process, news } => {
                let now = self.now();
                if self.passed_on.owns(process) {
                    self.passed_on.tell(process, news, &mut self.session, now);
                    return;
                }
                self.clients.tell(process, news, &mut self.session, now);
            }
            Action::Status { app, code } => {
                if let Err(error) = self.status.write_code(&app, code) {
                    self.say(&format!("write the status of app {app}: {error}"));
                }
            }
            Action::App { app, change } => {
                if let Err(error) = self.status.note(&app, change) {
                    self.say(&format!("write down what becomes of app {app}: {error}"));
                }
            }
            Action::Label {
                process,
                app,
                outputs,
            } => {
                self.begin(process, app, outputs);
            }
            Action::Forget { process } => self.forget(process),
            Action::Answer { asker, answer } => self.clients.answer(asker, answer),
            Action::Ready => {
                // What the machine has counted by now is part of a trace.
                if let (Some(vmm), Some(_)) = (&self.vmm, &self.trace) {
                    vmm.ask_stats();
                }
            }
            Action::AppsRun => self.tell_that_apps_run(),
            Action::Phase { name, ago_ns } => {
                self.phase(name, trace::now_ns().saturating_sub(ago_ns))
            }
            Action::RawTerminal => self.streams.make_terminal_raw(),
            Action::Disconnect => self.agent = None,
            Action::StopVmm => {
                if let Some(vmm) = &self.vmm {
                    vmm.stop();
                }
            }
            Action::Say(text) => self.say(&text),
            Action::LookAtKernel => self.look_at_kernel(),
            Action::ShowConsole(bytes) => {
                self.say("the last lines of the guest's console:");
                for line in readable::console(&bytes) {
                    self.streams.message(&format!("  {line}\n"));
                }
            }
            Action::Finish(code) => self.code = Some(code),
        }
    }

    fn tell_that_apps_run(&self) {
        if let Err(error) = self.status.set_ready() {
            self.say(&format!("say that the pod is ready: {error}"));
        }
        let Some(counter) = &self.apps_run else {
            return;
        };
        if let Err(error) = rustix::io::write(counter, &1_u64.to_ne_bytes()) {
            self.say(&format!("say that the apps run: {error}"));
        }
    }

    fn look_at_kernel(&self) {
        let Some(file) = &self.kernel else { return };
        match kernel::suspicion(file) {
            Ok(None) => {}
            Ok(Some(suspicion)) => self.say(&suspicion.to_string()),
            Err(error) => self.say(&format!("look at the guest kernel: {error}")),
        }
    }

    fn say(&self, text: &str) {
        self.streams
            .message(&format!("stage1: {}\n", readable::line(text)));
    }

    fn phase(&self, name: &str, at_ns: u64) {
        if let Some(trace) = &self.trace {
            trace::phase(trace, name, at_ns);
        }
    }

    /// Gives the agent what there is for it, for as long as its connection takes it.
    fn feed_agent(&mut self) {
        let now = self.now();
        if let Some(agent) = &mut self.agent
            && agent.send(&mut self.session).is_err()
        {
            self.agent = None;
            self.session.agent_lost(now);
        }
    }

    fn wait(&mut self) -> Result<(), RelayError> {
        let now = self.now();
        let deadlines = [
            self.session.deadline(),
            self.clients.deadline(now),
            self.passed_on.deadline(now),
        ];
        let deadline = deadlines.into_iter().flatten().min();
        let left = deadline.map(|at| at.saturating_sub(now));
        let left = left.and_then(|left| Timespec::try_from(left).ok());
        let ready = {
            let (sources, mut wanted) = self.wanted(now);
            match poll(&mut wanted, left.as_ref()) {
                Ok(_) => {}
                Err(rustix::io::Errno::INTR) => return Ok(()),
                Err(error) => return Err(RelayError::Wait(error.into())),
            }
            let flags = wanted.iter().map(PollFd::revents);
            let ready = sources.into_iter().zip(flags);
            ready
                .filter(|(_, flags)| !flags.is_empty())
                .collect::<Vec<_>>()
        };
        for (source, flags) in ready {
            self.hear(source, flags);
        }
        self.hear_streams();
        Ok(())
    }

    /// What is waited for. An agent is heard before the VMM, which may have to say that there is none any more; the supervisor before
    /// clients, who may speak of an app that it has just added.
    fn wanted(&self, now: Duration) -> (Vec<Source>, Vec<PollFd<'_>>) {
        let mut sources = vec![Source::Streams];
        let mut wanted = vec![PollFd::from_borrowed_fd(self.streams.wake(), PollFlags::IN)];
        let mut add = |source, file, flags| {
            sources.push(source);
            wanted.push(PollFd::from_borrowed_fd(file, flags));
        };
        if let Some(commands) = self.commands.socket() {
            add(Source::Commands, commands, PollFlags::IN);
        }
        if let Some(agent) = &self.agent {
            add(Source::Agent, agent.socket(), agent.wants());
        }
        if let Some(vmm) = &self.vmm {
            add(Source::Vmm, vmm.socket(), PollFlags::IN);
        }
        if let Some(resizes) = self.streams.resizes() {
            add(Source::Resizes, resizes, PollFlags::IN);
        }
        for (awaited, file, flags) in self.clients.wanted(&self.session, now) {
            add(Source::Clients(awaited), file, flags);
        }
        for (awaited, file, flags) in self.passed_on.wanted(&self.session, now) {
            add(Source::PassedOn(awaited), file, flags);
        }
        (sources, wanted)
    }

    fn hear(&mut self, source: Source, flags: PollFlags) {
        match source {
            // Heard at every turn.
            Source::Streams => {}
            Source::Commands => self.hear_commands(),
            Source::Agent => self.hear_agent(),
            Source::Vmm => self.hear_vmm(),
            Source::Resizes => {
                if let Some(size) = self.streams.new_size() {
                    self.session.resized(INTERACTIVE, size);
                }
            }
            Source::Clients(awaited) => {
                // What others have brought is done before a client hears of it: it may look for the app's files at once.
                self.act();
                let now = self.now();
                self.clients.hear(awaited, flags, &mut self.session, now);
            }
            Source::PassedOn(awaited) => {
                let now = self.now();
                self.passed_on.hear(awaited, flags, &mut self.session, now);
            }
        }
    }

    fn hear_commands(&mut self) {
        while let Some(command) = self.commands.next() {
            match command {
                Command::Stop => self.session.stop(self.now()),
                Command::AddApp(add) => self.session.add_app(*add),
            }
        }
    }

    fn hear_streams(&mut self) {
        let now = self.now();
        for report in self.streams.reports() {
            match report {
                Report::Written {
                    process,
                    stream,
                    count,
                } => self.outputs.written((process, stream), count),
                Report::Closed(stream) => self.session.output_closed(now, stream),
                Report::Input(bytes) => self.session.input(INTERACTIVE, &bytes),
                Report::Say(text) => self.say(&text),
            }
        }
    }

    fn hear_agent(&mut self) {
        let now = self.now();
        let Some(agent) = &mut self.agent else { return };
        match agent.receive(&mut self.session, now) {
            agent_link::Heard::Messages => {}
            agent_link::Heard::End => {
                self.agent = None;
                self.session.agent_lost(now);
            }
            agent_link::Heard::Nonsense(violation) => {
                self.session.agent_is_wrong(now, &violation);
            }
        }
    }

    fn hear_vmm(&mut self) {
        loop {
            let Some(vmm) = &mut self.vmm else { return };
            match vmm.receive() {
                Ok(Received::Message(message, descriptor)) => self.follow_vmm(message, descriptor),
                Ok(Received::Nothing) => return,
                Ok(Received::End) => {
                    self.vmm = None;
                    self.session.vmm_lost();
                }
                Err(error) => {
                    let cause = std::error::Error::source(&error);
                    let cause = cause.map(|cause| format!(": {cause}")).unwrap_or_default();
                    self.say(&format!("{error}{cause}"));
                    self.vmm = None;
                    self.session.vmm_lost();
                }
            }
        }
    }

    fn follow_vmm(&mut self, message: FromVmm, descriptor: Option<OwnedFd>) {
        match message {
            FromVmm::Started(times) => self.started(times),
            FromVmm::Connection { port: AGENT_PORT } => {
                // Without its descriptor there is no connection; on any other port nobody listens, and it is closed.
                let agent = descriptor.and_then(|socket| AgentLink::new(socket).ok());
                if agent.is_some() {
                    self.agent = agent;
                    self.session.agent_connected(self.now());
                }
            }
            FromVmm::Exited { reason, console } => {
                self.take_last_words();
                self.session.vmm_exited(&reason, &console);
                self.vmm = None;
            }
            FromVmm::Stats(counters) => {
                if let Some(trace) = &self.trace {
                    let counters = counters.iter();
                    trace::counts(trace, counters.map(|c| (c.name.as_str(), c.value)));
                }
            }
            // Answers to what the relay does not ask.
            FromVmm::Connection { .. } | FromVmm::Paused | FromVmm::Resumed => {}
        }
    }

    /// A machine that ended may have said why on its connection before.
    fn take_last_words(&mut self) {
        while let Some(agent) = &mut self.agent {
            let now = self.start.elapsed();
            match agent.receive(&mut self.session, now) {
                agent_link::Heard::Messages if agent.has_more() => {}
                _ => return,
            }
            self.act();
        }
    }

    fn started(&self, times: StartTimes) {
        self.phase("vmm-main", times.process_start_ns);
        self.phase("vm-created", times.vm_created_ns);
        self.phase("kernel-loaded", times.kernel_loaded_ns);
        self.phase("first-kvm-run", times.first_run_ns);
    }
}

/// The exit code of a relay that cannot work.
pub const FAILED: u8 = CODE_RUNTIME_FAILED;

/// What is left of a spec once the session has it.
fn names(spec: &RelaySpec) -> Vec<bulkhead_protocol::plan::AppName> {
    spec.processes.iter().map(|p| p.app.clone()).collect()
}
