//! A process of the pod as the agent knows it, from the host's word to the last byte of its output.

use std::os::fd::OwnedFd;

use bulkhead_protocol::agent::Stream;
use bulkhead_protocol::exit::Exit;
use bulkhead_protocol::plan::{Process, Stdio, WindowSize};
use rustix::process::Pid;

use crate::handlers::{Handlers, Stage};
use crate::incoming::Incoming;
use crate::notify::NotifySocket;
use crate::outgoing::Outgoing;
use crate::reason::Reason;
use crate::report::Reports;

/// See the module docs.
#[derive(Debug)]
pub struct Entry {
    /// Index of its app in the plan; none when the host named no app of the plan.
    pub app: Option<usize>,
    /// Where it stands.
    pub state: State,
    /// What runs before and after it, if anything does.
    pub handlers: Option<Box<Handlers>>,
    /// Guest time just before its `execve`; of the first program of several.
    pub exec_ns: Option<u64>,
    /// Whether the host was told that it runs.
    pub is_started: bool,
    /// Where it says that it is ready, if it does so itself.
    pub notify: Option<NotifySocket>,
    /// Whether it has said so.
    pub is_ready: bool,
    /// Sockets that its program listens on, by their places in the plan.
    pub listeners: Vec<u8>,
    /// Standard input.
    pub input: Input,
    /// Standard output.
    pub stdout: Output,
    /// Standard error; a terminal has none.
    pub stderr: Option<Output>,
    /// Size of its terminal, if it has one.
    pub terminal: Option<WindowSize>,
}

/// Where a process stands.
#[derive(Debug)]
pub enum State {
    /// It begins when its app's root is there.
    Waiting(Box<Process>),
    /// It is on its way to its program.
    Starting {
        /// Its number.
        pid: Pid,
        /// What it tells.
        reports: Reports,
        /// What went wrong.
        failure: Option<Reason>,
    },
    /// Its program runs.
    Running {
        /// Its number.
        pid: Pid,
    },
    /// It is no program but a connection to a socket that an app listens on.
    Connected {
        /// The socket's place in the plan.
        listener: usize,
    },
    /// It is no more.
    Ended {
        /// How it ended.
        exit: Exit,
        /// Why, where that does not say it.
        reason: Option<Reason>,
    },
}

/// Standard input: from the host.
#[derive(Debug)]
pub struct Input {
    /// Whether the host planned one. Of one that it did not plan it hears nothing.
    pub is_planned: bool,
    /// What came.
    pub stream: Incoming,
    /// Where it goes.
    pub end: InputEnd,
    /// Whether the pipe is full and watched for room.
    pub is_full: bool,
}

/// Where a process's input goes.
#[derive(Debug)]
pub enum InputEnd {
    /// Not there yet.
    Expected,
    /// Into this.
    Open(OwnedFd),
    /// Nobody reads it, or ever did.
    Closed,
}

/// Standard output or error: to the host.
#[derive(Debug, Default)]
pub struct Output {
    /// What the host has not acknowledged.
    pub stream: Outgoing,
    /// Where it comes from.
    pub end: Option<OwnedFd>,
    /// Whether `end` is watched: not while the stream has no room.
    pub is_watched: bool,
    /// Whether it stands in line for the connection.
    pub is_queued: bool,
}

impl Entry {
    /// Of a process that has not begun.
    pub fn new(app: Option<usize>, process: Process) -> Self {
        let stdio = process.stdio;
        let listeners = process.listeners.to_vec();
        let handlers = Handlers::of(&process).map(Box::new);
        let first = handlers.as_ref().map_or(process, |h| h.program());
        let state = State::Waiting(Box::new(first));
        let (stdin, terminal) = match stdio {
            Stdio::Pipes { stdin } => (stdin, None),
            Stdio::Terminal { size } => (true, Some(size)),
        };
        let end = if stdin {
            InputEnd::Expected
        } else {
            InputEnd::Closed
        };
        Self {
            app,
            state,
            handlers,
            exec_ns: None,
            is_started: false,
            notify: None,
            is_ready: false,
            listeners,
            input: Input {
                is_planned: stdin,
                stream: Incoming::default(),
                end,
                is_full: false,
            },
            stdout: Output::default(),
            stderr: terminal.is_none().then(Output::default),
            terminal,
        }
    }

    /// Of a connection that stands.
    pub fn of_connection(listener: usize, now_ns: u64) -> Self {
        Self {
            app: None,
            state: State::Connected { listener },
            handlers: None,
            exec_ns: Some(now_ns),
            is_started: true,
            notify: None,
            is_ready: false,
            listeners: Vec::new(),
            input: Input {
                is_planned: true,
                stream: Incoming::default(),
                end: InputEnd::Expected,
                is_full: false,
            },
            stdout: Output::default(),
            stderr: None,
            terminal: None,
        }
    }

    /// Whether it is a connection, and no program.
    pub fn is_connection(&self) -> bool {
        matches!(self.state, State::Connected { .. })
    }

    /// Its number, as long as it has not been reaped.
    pub fn pid(&self) -> Option<Pid> {
        match self.state {
            State::Starting { pid, .. } | State::Running { pid } => Some(pid),
            State::Waiting(_) | State::Connected { .. } | State::Ended { .. } => None,
        }
    }

    /// Whether what runs is the handler behind the program.
    pub fn is_past_its_program(&self) -> bool {
        let stage = self.handlers.as_ref().map(|handlers| handlers.stage());
        stage == Some(Stage::PostStop)
    }

    /// Whether it is no more.
    pub fn is_ended(&self) -> bool {
        matches!(self.state, State::Ended { .. })
    }

    /// An output of it.
    pub fn output(&mut self, stream: Stream) -> Option<&mut Output> {
        match stream {
            Stream::Stdin => None,
            Stream::Stdout => Some(&mut self.stdout),
            Stream::Stderr => self.stderr.as_mut(),
        }
    }
}
