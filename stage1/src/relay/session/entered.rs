//! Programs that were started in apps of the running pod, each for a client that waits for its end.
//!
//! They are no apps: no end of theirs is the pod's, and the pod's end is theirs. The ids that they get lie above those of
//! the apps and are never given twice, so no message about one can pass for a message about the other.
//!
//! One is forgotten when it has ended and its output is passed on. What the agent says of it after that is late, and passed over.

use std::collections::BTreeMap;
use std::time::Duration;

use bulkhead_protocol::agent::{Ack, Chunk, Stream, ToAgent};
use bulkhead_protocol::control::{Exec, MAX_CONNECTIONS};
use bulkhead_protocol::exit::Exit;
use bulkhead_protocol::plan::{AppName, Process as Planned, ProcessId, Stdio};

use super::action::{Action, News, Outgoing};
use super::ending::DRAIN_LIMIT;
use super::enter::{Refusal, Surroundings};
use super::process::Process;
use super::{Phase, Session, Violation};

/// What a program gets between the SIGHUP for the end of its client and SIGKILL.
const HANG_UP_GRACE: Duration = Duration::from_secs(10);

const SIGHUP: u8 = 1;
const SIGKILL: u8 = 9;

/// The highest signal number (`_NSIG`, `arch/x86/include/uapi/asm/signal.h`).
const LAST_SIGNAL: u8 = 64;

/// Signals to be sent, one bit each, as the kernel keeps them.
#[derive(Debug, Default)]
struct Signals(u64);

impl Signals {
    fn add(&mut self, signal: u8) {
        if (1..=LAST_SIGNAL).contains(&signal) {
            self.0 |= 1 << (signal - 1);
        }
    }

    fn take(&mut self) -> Option<u8> {
        let lowest = self.0.trailing_zeros();
        // Clears the lowest bit.
        self.0 &= self.0.wrapping_sub(1);
        let signal = u8::try_from(lowest + 1).unwrap_or(u8::MAX);
        (signal <= LAST_SIGNAL).then_some(signal)
    }
}

#[derive(Debug)]
struct Entry {
    process: Process,
    /// What the agent is told; kept until it has said something of it, for a connection that is lost takes messages along.
    start: Option<Box<ToAgent>>,
    start_due: bool,
    /// It is a connection that is passed on, and no program.
    is_connection: bool,
    /// Whether the agent was ever told.
    known: bool,
    signals: Signals,
    /// Nobody waits for it any more.
    abandoned: bool,
    /// Until when it may take its time, to end or to end its output.
    until: Option<Duration>,
}

#[derive(Debug)]
pub(super) struct Entered {
    apps: Vec<Surroundings>,
    confined: bool,
    list: BTreeMap<ProcessId, Entry>,
    /// The id of the first one.
    first: u32,
    /// The next one's id.
    next: u32,
}

impl Entered {
    /// None yet, in a pod whose apps have these processes; those to come have the apps' restrictions when they are `confined`.
    /// Their ids begin with `first`.
    pub(super) fn new(apps: &[Planned], first: u32, confined: bool) -> Self {
        let surroundings = |app| Surroundings::of(app, confined);
        Self {
            apps: apps.iter().map(surroundings).collect(),
            confined,
            list: BTreeMap::new(),
            first,
            next: first,
        }
    }

    /// The pod has one more app, whose processes are such.
    pub(super) fn add_app(&mut self, process: &Planned) {
        self.apps.push(Surroundings::of(process, self.confined));
    }

    pub(super) fn remove_app(&mut self, app: &AppName) {
        self.apps.retain(|of_app| of_app.app != *app);
    }

    /// Whether the id is, or was, one of theirs.
    pub(super) fn owns(&self, id: ProcessId) -> bool {
        (self.first..self.next).contains(&id.0)
    }

    pub(super) fn get(&self, id: ProcessId) -> Option<&Process> {
        self.list.get(&id).map(|entry| &entry.process)
    }

    pub(super) fn deadline(&self) -> Option<Duration> {
        self.list.values().filter_map(|entry| entry.until).min()
    }

    pub(super) fn resume(&mut self) {
        for entry in self.list.values_mut() {
            entry.process.resume();
            entry.start_due = entry.start.is_some();
        }
    }

    pub(super) fn next_ack(&mut self) -> Option<Ack> {
        let mut processes = self.list.values_mut().map(|entry| &mut entry.process);
        processes.find_map(|process| {
            let ack = process.next_ack(Stream::Stdout);
            ack.or_else(|| process.next_ack(Stream::Stderr))
        })
    }

    pub(super) fn next_start(&mut self) -> Option<ToAgent> {
        let mut entries = self.list.values_mut();
        let entry = entries.find(|entry| entry.start_due)?;
        entry.start_due = false;
        entry.known = true;
        entry.start.as_deref().cloned()
    }

    /// For a program that runs.
    pub(super) fn next_signal(&mut self) -> Option<ToAgent> {
        self.list.iter_mut().find_map(|(&process, entry)| {
            let runs = !entry.start_due && entry.process.is_running();
            let signal = runs.then(|| entry.signals.take()).flatten()?;
            Some(ToAgent::Signal { process, signal })
        })
    }

    fn add(&mut self, exec: Exec) -> Result<(ProcessId, Stdio), Refusal> {
        if self.list.len() - self.connections() >= MAX_CONNECTIONS {
            return Err(Refusal::TooMany);
        }
        let of_app = self.apps.iter().find(|of_app| of_app.app == exec.app);
        let Some(surroundings) = of_app else {
            let apps = self.apps.iter().map(|of_app| of_app.app.clone());
            let (app, apps) = (exec.app, apps.collect());
            return Err(Refusal::App { app, apps });
        };
        let id = ProcessId(self.next);
        let planned = surroundings.process(id, exec)?;
        let stdio = planned.stdio;
        let id = self.next_id().ok_or(Refusal::TooMany)?;
        let start = ToAgent::Start(Box::new(planned));
        self.insert(Process::new(id, stdio), start, false);
        Ok((id, stdio))
    }

    /// An id that nobody had; none when all were given.
    pub(super) fn next_id(&mut self) -> Option<ProcessId> {
        let id = ProcessId(self.next);
        self.next = self.next.checked_add(1)?;
        Some(id)
    }

    /// Connections that are passed on.
    pub(super) fn connections(&self) -> usize {
        self.list
            .values()
            .filter(|entry| entry.is_connection)
            .count()
    }

    /// One more; the agent is told by `start`.
    pub(super) fn insert(&mut self, process: Process, start: ToAgent, is_connection: bool) {
        let id = process.id();
        let entry = Entry {
            process,
            start: Some(Box::new(start)),
            start_due: true,
            is_connection,
            known: false,
            signals: Signals::default(),
            abandoned: false,
            until: None,
        };
        self.list.insert(id, entry);
    }

    /// One that the agent may speak of; none for one that is forgotten.
    fn spoken_of(&mut self, id: ProcessId) -> Result<Option<&mut Entry>, Violation> {
        match self.list.get_mut(&id) {
            Some(entry) if !entry.known => Err(Violation::Process(id)),
            found => Ok(found),
        }
    }
}

impl Session {
    /// Starts a program in an app, for a client that will hear of it by [`Action::Client`]. It may be asked for before the agent
    /// is there.
    ///
    /// # Errors
    /// When it cannot be.
    pub fn enter(&mut self, exec: Exec) -> Result<ProcessId, Refusal> {
        let takes = matches!(self.phase, Phase::Booting | Phase::Running);
        if !takes || self.stopping || self.is_over() {
            return Err(Refusal::Ending);
        }
        let (id, stdio) = self.entered.add(exec)?;
        self.inputs.add(id, stdio);
        Ok(id)
    }

    /// A client wants its program to have a signal.
    pub fn signal(&mut self, process: ProcessId, signal: u8) {
        if let Some(entry) = self.entered.list.get_mut(&process) {
            entry.signals.add(signal);
        }
    }

    /// A client reads an output no more.
    pub fn client_closed(&mut self, now: Duration, process: ProcessId, stream: Stream) {
        if let Some(entry) = self.entered.list.get_mut(&process) {
            entry.process.close(stream);
            self.settle(now, process);
        }
    }

    /// A client is gone: its program has no streams any more, and is to end.
    pub fn client_left(&mut self, now: Duration, process: ProcessId) {
        let Some(entry) = self.entered.list.get_mut(&process) else {
            return;
        };
        entry.abandoned = true;
        if !entry.known || entry.process.has_ended() {
            self.forget(process);
            return;
        }
        entry.process.close(Stream::Stdout);
        entry.process.close(Stream::Stderr);
        entry.signals.add(SIGHUP);
        entry.until = Some(now + HANG_UP_GRACE);
        if let Some(input) = self.inputs.get_mut(process) {
            input.push(&[]);
        }
    }

    pub(super) fn entered_started(&mut self, process: ProcessId) -> Result<(), Violation> {
        if let Some(entry) = self.entered.spoken_of(process)? {
            entry.start = None;
            if entry.process.started()? {
                self.tell(process, News::Started);
            }
        }
        Ok(())
    }

    pub(super) fn entered_exited(
        &mut self,
        now: Duration,
        process: ProcessId,
        exit: Exit,
        reason: Option<String>,
    ) -> Result<(), Violation> {
        if let Some(entry) = self.entered.spoken_of(process)? {
            entry.start = None;
            entry.until = None;
            if entry.process.exited(exit)? {
                self.inputs.remove(process);
                self.tell(process, News::Ended { exit, reason });
                self.settle(now, process);
            }
        }
        Ok(())
    }

    pub(super) fn entered_data(&mut self, now: Duration, chunk: Chunk) -> Result<(), Violation> {
        let (process, stream) = (chunk.process, chunk.stream);
        let Some(entry) = self.entered.spoken_of(process)? else {
            return Ok(());
        };
        let taken = entry.process.data(chunk)?;
        if let Some(bytes) = taken.bytes {
            self.tell(process, News::Output { stream, bytes });
        }
        if taken.ended {
            self.tell(process, News::OutputEnd { stream });
        }
        self.settle(now, process);
        Ok(())
    }

    pub(super) fn entered_written(
        &mut self,
        now: Duration,
        process: ProcessId,
        stream: Stream,
        count: u64,
    ) {
        if let Some(entry) = self.entered.list.get_mut(&process) {
            entry.process.written(stream, count);
            self.settle(now, process);
        }
    }

    pub(super) fn entered_tick(&mut self, now: Duration) {
        let is_due = |entry: &Entry| entry.until.is_some_and(|until| now >= until);
        let entries = self.entered.list.iter_mut();
        let due: Vec<_> = entries.filter(|(_, entry)| is_due(entry)).collect();
        let mut silent = Vec::new();
        for (id, entry) in due {
            entry.until = None;
            if entry.process.has_ended() {
                silent.push(*id);
            } else {
                entry.signals.add(SIGKILL);
            }
        }
        silent.into_iter().for_each(|id| self.forget(id));
    }

    /// A program that has ended is forgotten when its output is passed on too, or when nobody wants it. Where something holds a
    /// stream open that will never write again, a silence ends the wait; not while the client has something left to read.
    fn settle(&mut self, now: Duration, process: ProcessId) {
        let Some(entry) = self.entered.list.get_mut(&process) else {
            return;
        };
        if !entry.process.has_ended() {
            return;
        }
        if entry.abandoned || entry.process.all_passed_on() {
            let was_connection = entry.is_connection;
            self.forget(process);
            if was_connection {
                self.look_for_the_end(now);
            }
        } else if entry.process.awaits_reader() {
            entry.until = None;
        } else {
            entry.until = Some(now + DRAIN_LIMIT);
        }
    }

    fn forget(&mut self, process: ProcessId) {
        self.inputs.remove(process);
        let Some(mut entry) = self.entered.list.remove(&process) else {
            return;
        };
        if entry.known {
            let acks = entry.process.close_rest().map(ToAgent::Ack);
            self.control.extend(acks.map(Outgoing::Message));
        }
        if !entry.abandoned {
            self.tell(process, News::Over);
        }
    }

    fn tell(&mut self, process: ProcessId, news: News) {
        self.actions.push(Action::Client { process, news });
    }
}

#[cfg(test)]
#[path = "entered_test.rs"]
mod tests;
