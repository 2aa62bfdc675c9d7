//! The apps' processes together, and the pod's exit code.

use std::collections::BTreeSet;

use bulkhead_protocol::MAX_APPS;
use bulkhead_protocol::agent::{Ack, Stream};
use bulkhead_protocol::exit::Exit;
use bulkhead_protocol::plan::{AppName, Process as Planned, ProcessId};

use super::Violation;
use super::process::Process;

/// In the order of their starts.
#[derive(Debug)]
pub(super) struct Apps {
    list: Vec<(AppName, Process)>,
    /// The id of the next one: none is given twice.
    next: u32,
    /// Outputs that nobody reads any more.
    closed: Vec<Stream>,
    first_failure: Option<u8>,
    /// Those of which it was said that their images are damaged.
    damaged: BTreeSet<AppName>,
    /// Where the search for the next acknowledgement goes on, so that each stream has its turn.
    turn: usize,
}

impl Apps {
    pub(super) fn new(planned: &[Planned]) -> Self {
        let one = |p: &Planned| (p.app.clone(), Process::of_app(p.id, p));
        Self {
            list: planned.iter().map(one).collect(),
            next: u32::try_from(planned.len()).unwrap_or(u32::MAX),
            closed: Vec::new(),
            first_failure: None,
            damaged: BTreeSet::new(),
            turn: 0,
        }
    }

    /// One more, with an id of its own; none when there are no more ids below `end`.
    pub(super) fn start(&mut self, program: &Planned, end: u32) -> Option<ProcessId> {
        let id = ProcessId(self.next);
        if id.0 >= end {
            return None;
        }
        self.next += 1;
        let mut process = Process::of_app(id, program);
        self.closed.iter().for_each(|stream| process.close(*stream));
        self.list.push((program.app.clone(), process));
        Some(id)
    }

    /// Takes one away that has ended.
    pub(super) fn forget(&mut self, id: ProcessId) -> Option<Process> {
        let index = self.index(id)?;
        Some(self.list.remove(index).1)
    }

    /// Whether one that is forgotten had this id.
    pub(super) fn had(&self, id: ProcessId) -> bool {
        id.0 < self.next && self.get(id).is_none()
    }

    fn index(&self, id: ProcessId) -> Option<usize> {
        self.list.iter().position(|(_, process)| process.id() == id)
    }

    pub(super) fn get(&self, id: ProcessId) -> Option<&Process> {
        let index = self.index(id)?;
        self.list.get(index).map(|(_, process)| process)
    }

    pub(super) fn get_mut(&mut self, id: ProcessId) -> Option<&mut Process> {
        let index = self.index(id)?;
        self.list.get_mut(index).map(|(_, process)| process)
    }

    pub(super) fn named(&self, name: &AppName) -> Option<(ProcessId, &Process)> {
        // One that was started again is there twice, as long as its output is on its way.
        let mut named = self.list.iter().filter(|(other, _)| other == name);
        let (_, process) = named.next_back()?;
        Some((process.id(), process))
    }

    pub(super) fn names(&self) -> Vec<AppName> {
        self.list.iter().map(|(name, _)| name.clone()).collect()
    }

    fn all(&self) -> impl Iterator<Item = &Process> {
        self.list.iter().map(|(_, process)| process)
    }

    /// Whether all were started, those that say themselves when they are ready have said it, and none has failed.
    pub(super) fn all_run(&self) -> bool {
        self.first_failure.is_none() && self.all().all(Process::has_become_ready)
    }

    /// An app has ended: its name.
    pub(super) fn note_end(&mut self, id: ProcessId, exit: Exit) -> Option<AppName> {
        if !exit.is_success() {
            self.first_failure.get_or_insert(exit.code());
        }
        let index = self.index(id)?;
        self.list.get(index).map(|(name, _)| name.clone())
    }

    /// An app's image is damaged: whether that is news.
    pub(super) fn note_damage(&mut self, app: AppName) -> Result<bool, Violation> {
        let is_news = self.damaged.insert(app);
        match self.damaged.len() > MAX_APPS {
            true => Err(Violation::Damage),
            false => Ok(is_news),
        }
    }

    pub(super) fn close_outputs(&mut self, stream: Stream) {
        if !self.closed.contains(&stream) {
            self.closed.push(stream);
        }
        for (_, process) in &mut self.list {
            process.close(stream);
        }
    }

    pub(super) fn resume(&mut self) {
        for (_, process) in &mut self.list {
            process.resume();
        }
    }

    pub(super) fn next_ack(&mut self) -> Option<Ack> {
        let streams = self.list.len() * 2;
        for _ in 0..streams {
            let turn = self.turn % streams;
            self.turn = turn + 1;
            let stream = if turn.is_multiple_of(2) {
                Stream::Stdout
            } else {
                Stream::Stderr
            };
            let due = self.list[turn / 2].1.next_ack(stream);
            if due.is_some() {
                return due;
            }
        }
        None
    }

    pub(super) fn all_ended(&self) -> bool {
        self.all().all(Process::has_ended)
    }

    pub(super) fn all_passed_on(&self) -> bool {
        self.all().all(Process::all_passed_on)
    }

    pub(super) fn awaits_reader(&self) -> bool {
        self.all().any(Process::awaits_reader)
    }

    /// 0 when all ended with 0, otherwise the code of the one that failed first.
    pub(super) fn code(&self) -> u8 {
        self.first_failure.unwrap_or(0)
    }
}

#[cfg(test)]
#[path = "apps_test.rs"]
mod tests;
