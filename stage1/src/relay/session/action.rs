//! What the session wants done.

use bulkhead_protocol::agent::{Session as SessionId, Stream, ToAgent};
use bulkhead_protocol::exit::Exit;
use bulkhead_protocol::plan::{AppName, ProcessId};
use bulkhead_protocol::relay::Outputs;

use super::mutable::Asker;

/// Something to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Pass bytes of an app on; call [`Session::written`](super::Session::written) when it is done.
    Output {
        /// Whose.
        process: ProcessId,
        /// Standard output or error.
        stream: Stream,
        /// What; never empty.
        bytes: Vec<u8>,
    },
    /// A stream of an app has ended.
    OutputEnd {
        /// Whose.
        process: ProcessId,
        /// Standard output or error.
        stream: Stream,
    },
    /// For the client of a program that was entered, if it is still there.
    Client {
        /// The program.
        process: ProcessId,
        /// What happened to it.
        news: News,
    },
    /// An app ended with this exit code.
    Status {
        /// Which.
        app: AppName,
        /// Its code.
        code: u8,
    },
    /// Something happened to an app of a mutable pod.
    App {
        /// Which.
        app: AppName,
        /// What.
        change: AppChange,
    },
    /// From here on lines of this process are this app's.
    Label {
        /// The process.
        process: ProcessId,
        /// Whose it is.
        app: AppName,
        /// Where they go.
        outputs: Outputs,
    },
    /// Nothing more comes of this process.
    Forget {
        /// Which.
        process: ProcessId,
    },
    /// For one who waits for what was ordered.
    Answer {
        /// Who.
        asker: Asker,
        /// How it ended.
        answer: Answer,
    },
    /// The agent is there.
    Ready,
    /// The programs of all apps have been started, and none has failed; those that say themselves when they are ready have said it.
    AppsRun,
    /// A phase of the start or end, this long ago.
    Phase {
        /// Its name in the trace.
        name: &'static str,
        /// Nanoseconds since.
        ago_ns: u64,
    },
    /// The app on the terminal runs: from here on its keys are the app's.
    RawTerminal,
    /// End the agent's connection.
    Disconnect,
    /// Ask the VMM to power off at once.
    StopVmm,
    /// Tell the user; any text, to be made readable.
    Say(String),
    /// Look for the reason of a failed start in the guest kernel's file, and tell the user.
    LookAtKernel,
    /// Show the tail of the console; any bytes, to be made readable.
    ShowConsole(Vec<u8>),
    /// The end, with the pod's exit code. Nothing comes after.
    Finish(u8),
}

/// What happens to an app of a mutable pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AppChange {
    /// It is there.
    Added,
    /// It is being started; an earlier end counts no more.
    Started,
    /// It is gone.
    Removed,
}

/// How an order ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Well.
    Done,
    /// The app to be stopped does not run.
    NotRunning,
    /// Not at all, and why: perhaps in the guest's own words.
    Refused(String),
}

/// What a client hears of its program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// It runs.
    Started,
    /// It wrote; call [`Session::written`](super::Session::written) when that is passed on.
    Output {
        /// Standard output or error.
        stream: Stream,
        /// What; never empty.
        bytes: Vec<u8>,
    },
    /// A stream has ended.
    OutputEnd {
        /// Standard output or error.
        stream: Stream,
    },
    /// It ended, or never ran.
    Ended {
        /// How.
        exit: Exit,
        /// Why: the guest's own words.
        reason: Option<String>,
    },
    /// Nothing more comes.
    Over,
}

/// Something to send to the agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outgoing {
    /// The answer to a hello; entropy and time are for the sender to add.
    Welcome(SessionId),
    /// A message as it is.
    Message(ToAgent),
}
