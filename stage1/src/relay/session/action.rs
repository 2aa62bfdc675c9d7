//! What the session wants done.

use bulkhead_protocol::agent::{Session as SessionId, Stream, ToAgent};
use bulkhead_protocol::plan::{AppName, ProcessId};

/// Something to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Pass bytes on; call [`Session::written`](super::Session::written) when it is done.
    Output {
        /// Whose.
        process: ProcessId,
        /// Standard output or error.
        stream: Stream,
        /// What; never empty.
        bytes: Vec<u8>,
    },
    /// A stream has ended.
    OutputEnd {
        /// Whose.
        process: ProcessId,
        /// Standard output or error.
        stream: Stream,
    },
    /// An app ended with this exit code.
    Status {
        /// Which.
        app: AppName,
        /// Its code.
        code: u8,
    },
    /// The agent is there.
    Ready,
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

/// Something to send to the agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outgoing {
    /// The answer to a hello; entropy and time are for the sender to add.
    Welcome(SessionId),
    /// A message as it is.
    Message(ToAgent),
}
