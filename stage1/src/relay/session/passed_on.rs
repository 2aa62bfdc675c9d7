//! Connections to listening sockets of the host, passed on to apps: for the agent each is like a program that was entered, whose input
//! comes from the client and whose output goes there.

use bulkhead_protocol::agent::{MAX_PASSED_ON, ToAgent};
use bulkhead_protocol::plan::{ProcessId, Stdio};

use super::process::Process;
use super::{Link, Phase, Session};

/// As a client's: its bytes go both ways, and there is no second output.
const BOTH_WAYS: Stdio = Stdio::Pipes { stdin: true };

impl Session {
    /// Whether a client that connects can be passed on now; until then it waits in the kernel's queue.
    pub fn passes_on(&self) -> bool {
        let runs = self.phase == Phase::Running && self.link == Link::Up;
        runs && !self.stopping && !self.is_over() && self.entered.connections() < MAX_PASSED_ON
    }

    /// A client has connected at this listener. What becomes of it is told by [`super::Action::Client`]. None: there is no room.
    pub fn pass_on(&mut self, listener: u8) -> Option<ProcessId> {
        if !self.passes_on() {
            return None;
        }
        let process = self.entered.next_id()?;
        let start = ToAgent::Connect { process, listener };
        self.entered
            .insert(Process::of_connection(process), start, true);
        self.inputs.add(process, BOTH_WAYS);
        Some(process)
    }
}

#[cfg(test)]
#[path = "passed_on_test.rs"]
mod tests;
