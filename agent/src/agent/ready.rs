//! Apps that say themselves when they are ready.

use bulkhead_protocol::agent::FromAgent;
use bulkhead_protocol::plan::ProcessId;

use super::Agent;
use crate::notify::Heard;

impl Agent {
    /// Something was said where this process says that it is ready.
    pub(super) fn hear_process(&mut self, id: ProcessId) {
        let Some(entry) = self.processes.get_mut(&id) else {
            return;
        };
        let (Some(socket), Some(app), Some(pod)) = (&mut entry.notify, entry.app, &self.pod) else {
            return;
        };
        let root = &self.machine.cgroups;
        let is_own = |pid| {
            pod.cgroup(app)
                .is_some_and(|cgroup| cgroup.holds(root, pid))
        };
        match socket.hear(is_own) {
            Heard::Nothing => return,
            Heard::Ready => entry.is_ready = true,
            Heard::Enough => {}
        }
        // The socket stays: what is said from here on goes nowhere, and disturbs nobody.
        self.poller.remove(socket);
        if entry.is_started {
            self.tell_that_it_is_ready(id);
        }
    }

    /// If it is.
    pub(super) fn tell_that_it_is_ready(&mut self, id: ProcessId) {
        if self.processes.get(&id).is_some_and(|entry| entry.is_ready) {
            self.send(&FromAgent::Ready { process: id });
        }
    }

    /// It is no more.
    pub(super) fn stop_hearing(&mut self, id: ProcessId) {
        if let Some(entry) = self.processes.get_mut(&id)
            && let Some(socket) = entry.notify.take()
        {
            self.poller.remove(&socket);
        }
    }
}
