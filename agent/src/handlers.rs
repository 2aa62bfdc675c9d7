//! An app's program between its event handlers: what runs one after the other as one process of the host's.
//!
//! ```text
//! PreStart ──ended with 0──▶ Main ──ended, however──▶ PostStop
//! ```
//!
//! The host sees one process: it starts with the first program, its streams go through all of them, and it ends as its main
//! program did.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;

use bulkhead_protocol::bounded::{List, Text};
use bulkhead_protocol::exit::Exit;
use bulkhead_protocol::plan::Process;

use crate::reason::Reason;

/// Which program runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The handler before.
    PreStart,
    /// The app itself.
    Main,
    /// The handler after.
    PostStop,
}

/// A process that has handlers.
#[derive(Debug)]
pub struct Handlers {
    process: Process,
    stage: Stage,
    /// The main program's standard input, while the first handler runs: no handler reads the app's.
    input: Option<OwnedFd>,
    /// The children's ends of standard output and error, for the programs to come.
    outputs: Option<[OwnedFd; 2]>,
    /// How the main program ended, and why.
    end: Option<(Exit, Option<Reason>)>,
}

/// What of the pod's life is left to run programs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PodIs {
    /// All of it.
    Running,
    /// The time until what is left is killed.
    Stopping,
    /// None.
    Over,
}

/// What follows the end of one of the programs.
#[derive(Debug, PartialEq, Eq)]
pub enum After {
    /// The next one runs.
    Next,
    /// It was the last one: the process ended like this.
    End(Exit, Option<Reason>),
}

impl Handlers {
    /// Of a process; none when it has none.
    pub fn of(process: &Process) -> Option<Self> {
        let has_any = !process.pre_start.is_empty() || !process.post_stop.is_empty();
        has_any.then(|| Self {
            stage: match process.pre_start.is_empty() {
                true => Stage::Main,
                false => Stage::PreStart,
            },
            process: process.clone(),
            input: None,
            outputs: None,
            end: None,
        })
    }

    /// Which program runs, or comes next.
    pub fn stage(&self) -> Stage {
        self.stage
    }

    /// That program, in the app's surroundings. A handler is root's, as in rkt, whoever the app is: it makes ready what the app may
    /// not, such as the owner of a volume.
    pub fn program(&self) -> Process {
        let mut process = self.process.clone();
        let handler = match self.stage {
            Stage::Main => return process,
            Stage::PreStart => std::mem::take(&mut process.pre_start),
            Stage::PostStop => std::mem::take(&mut process.post_stop),
        };
        let root = || Text::truncated("0");
        Process {
            arguments: handler,
            user: root(),
            group: root(),
            groups: List::default(),
            says_ready: false,
            listeners: List::default(),
            ..process
        }
    }

    /// The streams that the programs before have left; none before the first one.
    ///
    /// # Errors
    /// Without free descriptors.
    pub fn take_streams(&mut self) -> io::Result<Option<[OwnedFd; 3]>> {
        let Some([output, errors]) = self.outputs.take() else {
            return Ok(None);
        };
        let input = self.input.take().map_or_else(nothing, Ok)?;
        Ok(Some([input, output, errors]))
    }

    /// Keeps of a program's streams what those behind it need.
    ///
    /// # Errors
    /// Without free descriptors.
    pub fn keep_streams(&mut self, streams: &mut [OwnedFd; 3]) -> io::Result<()> {
        let [input, output, errors] = streams;
        if self.stage == Stage::PreStart {
            self.input = Some(std::mem::replace(input, nothing()?));
        }
        let is_last = match self.stage {
            Stage::PreStart => false,
            Stage::Main => self.process.post_stop.is_empty(),
            Stage::PostStop => true,
        };
        if !is_last {
            self.outputs = Some([output.try_clone()?, errors.try_clone()?]);
        }
        Ok(())
    }

    /// The program of this stage has ended. `ran` is whether it was one, and not a failure to become it.
    pub fn ended(&mut self, exit: Exit, reason: Option<Reason>, ran: bool, pod: PodIs) -> After {
        match self.stage {
            Stage::PreStart if !exit.is_success() => {
                let why = failure("pre-start", exit, reason.as_ref());
                let text = format!("{why}; the app was not started");
                After::End(exit, Some(Reason::truncated(&text)))
            }
            Stage::PreStart if pod != PodIs::Running => After::End(
                Exit::Signal(SIGTERM),
                Some(Reason::truncated(
                    "the pod was stopped before it was started",
                )),
            ),
            Stage::PreStart => {
                self.stage = Stage::Main;
                After::Next
            }
            Stage::Main if ran && pod != PodIs::Over && !self.process.post_stop.is_empty() => {
                self.end = Some((exit, reason));
                self.stage = Stage::PostStop;
                After::Next
            }
            Stage::Main => After::End(exit, reason),
            Stage::PostStop if exit.is_success() => After::End(exit, None),
            Stage::PostStop => {
                let why = failure("post-stop", exit, reason.as_ref());
                After::End(exit, Some(Reason::truncated(&why)))
            }
        }
    }

    /// The end that the host hears of: the main program's, if it has ended; what went wrong after it is told with it.
    pub fn final_end(self, exit: Exit, reason: Option<Reason>) -> (Exit, Option<Reason>) {
        match (self.end, reason) {
            (None, reason) => (exit, reason),
            (Some((exit, Some(first))), Some(then)) => {
                let both = format!("{first}; {then}");
                (exit, Some(Reason::truncated(&both)))
            }
            (Some((exit, first)), then) => (exit, first.or(then)),
        }
    }
}

/// How a process ends that was stopped before it ran.
const SIGTERM: u8 = 15;

fn failure(handler: &str, exit: Exit, reason: Option<&Reason>) -> String {
    match (reason, exit) {
        (Some(reason), _) => format!("its {handler} handler: {reason}"),
        (None, Exit::Code(code)) => format!("its {handler} handler ended with {code}"),
        (None, Exit::Signal(number)) => {
            format!("its {handler} handler was ended by signal {number}")
        }
    }
}

fn nothing() -> io::Result<OwnedFd> {
    Ok(File::open("/dev/null")?.into())
}

#[cfg(test)]
#[path = "handlers_test.rs"]
mod tests;
