//! The inputs of all processes that have one, and whose turn it is.

use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Unbounded};

use bulkhead_protocol::agent::{Ack, ToAgent};
use bulkhead_protocol::plan::{ProcessId, Stdio};

use super::input::Input;
use super::{Session, Violation};

#[derive(Debug)]
pub(super) struct Inputs {
    map: BTreeMap<ProcessId, Input>,
    /// Whose message was the last one: the next in order is asked first.
    last: ProcessId,
}

impl Inputs {
    pub(super) fn new() -> Self {
        Self {
            map: BTreeMap::new(),
            last: ProcessId(0),
        }
    }

    /// Of a process that has one.
    pub(super) fn add(&mut self, process: ProcessId, stdio: Stdio) {
        if stdio != (Stdio::Pipes { stdin: false }) {
            self.map.insert(process, Input::new(process, stdio));
        }
    }

    pub(super) fn remove(&mut self, process: ProcessId) {
        self.map.remove(&process);
    }

    pub(super) fn get(&self, process: ProcessId) -> Option<&Input> {
        self.map.get(&process)
    }

    pub(super) fn get_mut(&mut self, process: ProcessId) -> Option<&mut Input> {
        self.map.get_mut(&process)
    }

    /// Whether the acknowledgement is of a process that has an input.
    pub(super) fn acknowledged(&mut self, ack: Ack) -> Result<bool, Violation> {
        match self.map.get_mut(&ack.process) {
            Some(input) => input.acknowledged(ack).map(|()| true),
            None => Ok(false),
        }
    }

    pub(super) fn resume(&mut self) {
        self.map.values_mut().for_each(Input::resume);
    }

    /// Bytes or a terminal's size, for a process that runs.
    pub(super) fn next_message(
        &mut self,
        is_running: impl Fn(ProcessId) -> bool,
    ) -> Option<ToAgent> {
        let behind = self.map.range((Excluded(self.last), Unbounded));
        let ids = behind.chain(self.map.range(..=self.last));
        let ids: Vec<ProcessId> = ids.map(|(id, _)| *id).collect();
        for id in ids.into_iter().filter(|id| is_running(*id)) {
            let message = self.message_of(id);
            if message.is_some() {
                self.last = id;
                return message;
            }
        }
        None
    }

    fn message_of(&mut self, process: ProcessId) -> Option<ToAgent> {
        let input = self.map.get_mut(&process)?;
        if let Some(size) = input.take_size() {
            return Some(ToAgent::Resize { process, size });
        }
        input.next_chunk().map(ToAgent::Data)
    }
}

impl Session {
    pub(super) fn input_acknowledged(&mut self, ack: Ack) -> Result<(), Violation> {
        let of_one = self.inputs.acknowledged(ack)?;
        // Of one that is forgotten, it is only late.
        let is_late = || self.entered.owns(ack.process) || self.apps.had(ack.process);
        match of_one || is_late() {
            true => Ok(()),
            false => Err(Violation::Ack),
        }
    }
}
