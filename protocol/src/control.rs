//! `enter` and `attach` ↔ relay: [`crate::frame`]s on a stream socket in the pod's directory, one connection a program or an
//! attached client.
//!
//! ```text
//! client                                    relay
//!   │── Exec, and pipes beside it ────────────▶│
//!   │◀──────────────────── Refused, or Started │
//!   │── Signal, Resize, … ────────────────────▶│
//!   │◀───────────────────────────────── Ended  │
//! ```
//!
//! An order to an app of a mutable pod is a connection of its own: [`Request::App`], and one reply.
//!
//! Bytes of the program's streams do not come this way but through the pipes, each with the kernel's own flow control. A
//! connection that ends takes its program along; not so the app that it was attached to.

use serde::{Deserialize, Serialize};

use crate::agent::MAX_REASON;
use crate::bounded::{List, Text};
use crate::exit::Exit;
use crate::plan::{AppName, MAX_ARGUMENT, MAX_ARGUMENTS, WindowSize};

/// The socket's name in the pod's directory.
pub const SOCKET: &str = "control";

/// Connections to one pod at a time, and so the programs that were started through them, and attached clients.
pub const MAX_CONNECTIONS: usize = 64;

/// Longest message to the relay: what arguments and environment of a program may be together on Linux, with the usual limit
/// of the stack.
pub const MAX_REQUEST: usize = 2 << 20;

/// Longest message to the client: a reason, with room.
pub const MAX_REPLY: usize = MAX_REASON + 64;

/// Variables that one request sets.
pub const MAX_VARIABLES: usize = 16;

/// Most descriptors beside an [`Exec`] or [`Attach`].
pub const MAX_DESCRIPTORS: usize = 3;

/// From the client to the relay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// Say what can be attached to of an app.
    Offer(AppName),
    /// Attach to an app, once, with [`Attach::descriptors`] descriptors beside it: in place of an [`Exec`].
    Attach(Attach),
    /// First message, once, with [`Exec::descriptors`] descriptors beside it.
    Exec(Box<Exec>),
    /// Send a signal to the program, 1 to 64.
    Signal(u8),
    /// The program's terminal has a new size.
    Resize(WindowSize),
    /// First and only message: an app of a mutable pod shall do something, and the answer comes when it is done.
    App {
        /// Which.
        app: AppName,
        /// What.
        order: Order,
    },
}

/// What an app of a mutable pod shall do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Order {
    /// Be there: the supervisor has been asked for it.
    Arrive,
    /// Run its program, also again.
    Start,
    /// End: SIGTERM, SIGKILL after the pod's grace.
    Stop,
    /// Leave the pod. One that is not there has left.
    Leave,
}

/// A program to run in an app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exec {
    /// Where.
    pub app: AppName,
    /// Program and arguments; not empty.
    pub arguments: List<Text<MAX_ARGUMENT>, MAX_ARGUMENTS>,
    /// Variables, `NAME=value`, that the app's environment gets or that take the place of its own.
    pub environment: List<Text<MAX_ARGUMENT>, MAX_VARIABLES>,
    /// The size of its terminal; without one it has three streams.
    pub terminal: Option<WindowSize>,
}

impl Exec {
    /// Descriptors that come with it: the reading end of a pipe for standard input, and the writing end of one for standard
    /// output; without a terminal another one for standard error.
    #[must_use]
    pub fn descriptors(&self) -> usize {
        match self.terminal {
            Some(_) => 2,
            None => MAX_DESCRIPTORS,
        }
    }
}

/// Streams of an app's main process. Of a terminal, what it shows is its standard output.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Streams {
    /// Its input.
    pub stdin: bool,
    /// Its output.
    pub stdout: bool,
    /// Its errors; a terminal has none.
    pub stderr: bool,
}

impl Streams {
    /// Whether it is none.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self == Self::default()
    }

    /// Whether all of these are among the others.
    #[must_use]
    pub fn within(self, others: Self) -> bool {
        let within = |one: bool, other: bool| !one || other;
        within(self.stdin, others.stdin)
            && within(self.stdout, others.stdout)
            && within(self.stderr, others.stderr)
    }
}

/// To read and write streams that an app has, beside whoever else does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attach {
    /// Whose.
    pub app: AppName,
    /// Which; not none.
    pub streams: Streams,
    /// The size of the client's terminal.
    pub size: Option<WindowSize>,
}

impl Attach {
    /// Descriptors that come with it: for each stream the end of a pipe, in their order.
    #[must_use]
    pub fn descriptors(&self) -> usize {
        let Streams {
            stdin,
            stdout,
            stderr,
        } = self.streams;
        [stdin, stdout, stderr].into_iter().filter(|s| *s).count()
    }
}

/// From the relay to the client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// The answer to [`Request::Offer`].
    Offer {
        /// What can be attached to.
        streams: Streams,
        /// Whether they are a terminal's.
        terminal: bool,
    },
    /// The program runs, or the client is attached: the connection ends when there is nothing more to come.
    Started,
    /// There will be no program. The connection ends.
    Refused {
        /// Why.
        reason: Text<MAX_REASON>,
    },
    /// The program ended, or never ran. Its streams may still bring bytes; their end is the end of the connection.
    Ended {
        /// How.
        exit: Exit,
        /// Why, where the exit alone does not say it. Written by the guest.
        reason: Option<Text<MAX_REASON>>,
    },
    /// What was ordered is done. The connection ends.
    Done,
    /// The app to be stopped does not run. The connection ends.
    NotRunning,
}
