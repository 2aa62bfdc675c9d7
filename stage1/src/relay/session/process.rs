//! The apps' processes: what has happened to each, and the pod's exit code.

use bulkhead_protocol::agent::{Ack, Chunk, Stream};
use bulkhead_protocol::exit::Exit;
use bulkhead_protocol::plan::{AppName, Process as Planned, ProcessId, Stdio};

use super::Violation;
use super::output::{Output, Taken};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Waiting,
    Running,
    Ended(Exit),
}

#[derive(Debug)]
struct Process {
    app: AppName,
    state: State,
    stdout: Output,
    stderr: Output,
    /// A new connection may repeat what the old one brought.
    may_repeat: bool,
}

/// Their ids are their places.
#[derive(Debug)]
pub(super) struct Processes {
    list: Vec<Process>,
    first_failure: Option<u8>,
    /// Where the search for the next acknowledgement goes on, so that each stream has its turn.
    turn: usize,
}

impl Processes {
    pub(super) fn new(planned: &[Planned]) -> Self {
        let one = |planned: &Planned| Process {
            app: planned.app.clone(),
            state: State::Waiting,
            stdout: Output::default(),
            stderr: match planned.stdio {
                Stdio::Pipes { .. } => Output::default(),
                Stdio::Terminal { .. } => Output::absent(),
            },
            may_repeat: false,
        };
        Self {
            list: planned.iter().map(one).collect(),
            first_failure: None,
            turn: 0,
        }
    }

    fn get(&self, id: ProcessId) -> Option<&Process> {
        self.list.get(usize::try_from(id.0).ok()?)
    }

    fn get_mut(&mut self, id: ProcessId) -> Result<&mut Process, Violation> {
        let index = usize::try_from(id.0).unwrap_or(usize::MAX);
        self.list.get_mut(index).ok_or(Violation::Process(id))
    }

    pub(super) fn is_running(&self, id: ProcessId) -> bool {
        self.get(id).is_some_and(|p| p.state == State::Running)
    }

    pub(super) fn has_ended(&self, id: ProcessId) -> bool {
        self.get(id)
            .is_some_and(|p| matches!(p.state, State::Ended(_)))
    }

    pub(super) fn started(&mut self, id: ProcessId) -> Result<(), Violation> {
        let process = self.get_mut(id)?;
        match process.state {
            State::Waiting => process.state = State::Running,
            _ if process.may_repeat => {}
            _ => {
                return Err(Violation::State {
                    process: id,
                    what: "started",
                });
            }
        }
        Ok(())
    }

    /// The app that this is news about; `None` when it is known.
    pub(super) fn exited(
        &mut self,
        id: ProcessId,
        exit: Exit,
    ) -> Result<Option<AppName>, Violation> {
        let process = self.get_mut(id)?;
        match process.state {
            State::Ended(known) if process.may_repeat && known == exit => return Ok(None),
            State::Ended(_) => {
                return Err(Violation::State {
                    process: id,
                    what: "ended",
                });
            }
            State::Waiting => {
                process.stdout.end();
                process.stderr.end();
            }
            State::Running => {}
        }
        process.state = State::Ended(exit);
        let app = process.app.clone();
        if !exit.is_success() {
            self.first_failure.get_or_insert(exit.code());
        }
        Ok(Some(app))
    }

    pub(super) fn data(&mut self, chunk: Chunk) -> Result<Taken, Violation> {
        let (id, stream) = (chunk.process, chunk.stream);
        let process = self.get_mut(id)?;
        match stream {
            Stream::Stdout => process.stdout.take(chunk),
            Stream::Stderr => process.stderr.take(chunk),
            Stream::Stdin => Err(Violation::State {
                process: id,
                what: "written to its input",
            }),
        }
    }

    pub(super) fn written(&mut self, id: ProcessId, stream: Stream, count: u64) {
        if let Ok(process) = self.get_mut(id) {
            match stream {
                Stream::Stdout => process.stdout.written(count),
                Stream::Stderr => process.stderr.written(count),
                Stream::Stdin => {}
            }
        }
    }

    pub(super) fn close_outputs(&mut self, stream: Stream) {
        for process in &mut self.list {
            match stream {
                Stream::Stdout => process.stdout.close(),
                Stream::Stderr => process.stderr.close(),
                Stream::Stdin => {}
            }
        }
    }

    pub(super) fn resume(&mut self) {
        for process in &mut self.list {
            process.may_repeat = true;
            process.stdout.resume();
            process.stderr.resume();
        }
    }

    pub(super) fn next_ack(&mut self) -> Option<Ack> {
        let streams = self.list.len() * 2;
        for _ in 0..streams {
            let turn = self.turn % streams;
            self.turn = turn + 1;
            let index = turn / 2;
            let process = &mut self.list[index];
            let (stream, output) = if turn.is_multiple_of(2) {
                (Stream::Stdout, &mut process.stdout)
            } else {
                (Stream::Stderr, &mut process.stderr)
            };
            let ack = Ack {
                process: ProcessId(u32::try_from(index).unwrap_or(u32::MAX)),
                stream,
                offset: 0,
                closed: false,
            };
            let due = output.next_ack(ack);
            if due.is_some() {
                return due;
            }
        }
        None
    }

    pub(super) fn all_ended(&self) -> bool {
        let ended = |p: &Process| matches!(p.state, State::Ended(_));
        self.list.iter().all(ended)
    }

    pub(super) fn all_passed_on(&self) -> bool {
        let done = |p: &Process| p.stdout.is_done() && p.stderr.is_done();
        self.list.iter().all(done)
    }

    pub(super) fn awaits_reader(&self) -> bool {
        let waits = |p: &Process| p.stdout.awaits_reader() || p.stderr.awaits_reader();
        self.list.iter().any(waits)
    }

    /// 0 when all ended with 0, otherwise the code of the one that failed first.
    pub(super) fn code(&self) -> u8 {
        self.first_failure.unwrap_or(0)
    }
}
