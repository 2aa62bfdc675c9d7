//! One process: what has happened to it, and its outputs.

use bulkhead_protocol::agent::{Ack, Chunk, Stream};
use bulkhead_protocol::exit::Exit;
use bulkhead_protocol::plan::{Process as Planned, ProcessId, Stdio};

use super::Violation;
use super::output::{Output, Taken};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Waiting,
    Running,
    Ended(Exit),
}

/// Whether it has said itself that it is ready, where it is one that does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Readiness {
    Unsaid,
    Awaited,
    Said,
}

#[derive(Debug)]
pub(super) struct Process {
    id: ProcessId,
    state: State,
    readiness: Readiness,
    stdout: Output,
    stderr: Output,
    /// A new connection may repeat what the old one brought.
    may_repeat: bool,
}

impl Process {
    pub(super) fn new(id: ProcessId, stdio: Stdio) -> Self {
        Self {
            id,
            state: State::Waiting,
            readiness: Readiness::Unsaid,
            stdout: Output::default(),
            stderr: match stdio {
                Stdio::Pipes { .. } => Output::default(),
                Stdio::Terminal { .. } => Output::absent(),
            },
            may_repeat: false,
        }
    }

    /// Of an app, as planned.
    pub(super) fn of_app(id: ProcessId, planned: &Planned) -> Self {
        Self {
            readiness: match planned.says_ready {
                true => Readiness::Awaited,
                false => Readiness::Unsaid,
            },
            ..Self::new(id, planned.stdio)
        }
    }

    /// A connection: without a second output.
    pub(super) fn of_connection(id: ProcessId) -> Self {
        Self {
            stderr: Output::absent(),
            ..Self::new(id, Stdio::Pipes { stdin: true })
        }
    }

    pub(super) fn id(&self) -> ProcessId {
        self.id
    }

    pub(super) fn is_running(&self) -> bool {
        self.state == State::Running
    }

    pub(super) fn has_ended(&self) -> bool {
        matches!(self.state, State::Ended(_))
    }

    /// Whether that is news.
    pub(super) fn started(&mut self) -> Result<bool, Violation> {
        match self.state {
            State::Waiting => {
                self.state = State::Running;
                Ok(true)
            }
            _ if self.may_repeat => Ok(false),
            _ => Err(self.cannot("started")),
        }
    }

    /// Whether that is news.
    pub(super) fn ready(&mut self) -> Result<bool, Violation> {
        match self.readiness {
            Readiness::Awaited if self.state != State::Waiting => {
                self.readiness = Readiness::Said;
                Ok(true)
            }
            Readiness::Said if self.may_repeat => Ok(false),
            _ => Err(self.cannot("said that it is ready")),
        }
    }

    /// Whether it was started, and has said that it is ready where it says so itself.
    pub(super) fn has_become_ready(&self) -> bool {
        self.state != State::Waiting && self.readiness != Readiness::Awaited
    }

    /// Whether that is news.
    pub(super) fn exited(&mut self, exit: Exit) -> Result<bool, Violation> {
        match self.state {
            State::Ended(known) if self.may_repeat && known == exit => return Ok(false),
            State::Ended(_) => return Err(self.cannot("ended")),
            State::Waiting => {
                self.stdout.end();
                self.stderr.end();
            }
            State::Running => {}
        }
        self.state = State::Ended(exit);
        Ok(true)
    }

    pub(super) fn data(&mut self, chunk: Chunk) -> Result<Taken, Violation> {
        match self.output(chunk.stream) {
            Some(output) => output.take(chunk),
            None => Err(self.cannot("written to its input")),
        }
    }

    pub(super) fn written(&mut self, stream: Stream, count: u64) {
        if let Some(output) = self.output(stream) {
            output.written(count);
        }
    }

    pub(super) fn close(&mut self, stream: Stream) {
        if let Some(output) = self.output(stream) {
            output.close();
        }
    }

    pub(super) fn resume(&mut self) {
        self.may_repeat = true;
        self.stdout.resume();
        self.stderr.resume();
    }

    pub(super) fn next_ack(&mut self, stream: Stream) -> Option<Ack> {
        let ack = Ack {
            process: self.id,
            stream,
            offset: 0,
            closed: false,
        };
        self.output(stream)?.next_ack(ack)
    }

    /// Closes what has not ended, and gives what the agent has to be told of it.
    pub(super) fn close_rest(&mut self) -> impl Iterator<Item = Ack> {
        [Stream::Stdout, Stream::Stderr]
            .into_iter()
            .filter_map(|stream| {
                self.close(stream);
                self.next_ack(stream)
            })
    }

    pub(super) fn all_passed_on(&self) -> bool {
        self.stdout.is_done() && self.stderr.is_done()
    }

    pub(super) fn awaits_reader(&self) -> bool {
        self.stdout.awaits_reader() || self.stderr.awaits_reader()
    }

    fn output(&mut self, stream: Stream) -> Option<&mut Output> {
        match stream {
            Stream::Stdout => Some(&mut self.stdout),
            Stream::Stderr => Some(&mut self.stderr),
            Stream::Stdin => None,
        }
    }

    fn cannot(&self, what: &'static str) -> Violation {
        Violation::State {
            process: self.id,
            what,
        }
    }
}
