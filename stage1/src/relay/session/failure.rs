//! What ends a pod before its time.

use bulkhead_protocol::MAX_APPS;
use bulkhead_protocol::agent::{Stream, WINDOW};
use bulkhead_protocol::metadata::MAX_REQUESTS;
use bulkhead_protocol::plan::ProcessId;

/// What a working agent never says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// Another build.
    #[error("it speaks version {0} and this is version {version}", version = bulkhead_protocol::VERSION)]
    Version(u32),
    /// Something else came first.
    #[error("it did not say hello first")]
    NoHello,
    /// Again on the same connection.
    #[error("it said hello twice")]
    SecondHello,
    /// Not this session, or one that never was.
    #[error("its hello names another session")]
    Session,
    /// A number that no app has.
    #[error("it speaks of app {0}, which was never added")]
    App(u16),
    /// An id that no process has.
    #[error("it speaks of process {}, which there is not", .0.0)]
    Process(ProcessId),
    /// A process in a state where this cannot happen to it.
    #[error("process {} cannot have {what} now", process.0)]
    State {
        /// Which.
        process: ProcessId,
        /// What is said to have happened.
        what: &'static str,
    },
    /// Bytes that are not the next ones.
    #[error("{stream:?} of process {} goes on at {offset} and not at {expected}", process.0)]
    Offset {
        /// Whose.
        process: ProcessId,
        /// Which stream.
        stream: Stream,
        /// Where the bytes are said to belong.
        offset: u64,
        /// Where the next ones belong.
        expected: u64,
    },
    /// More than was acknowledged.
    #[error("{stream:?} of process {} has more than {WINDOW} bytes on the way", process.0)]
    Window {
        /// Whose.
        process: ProcessId,
        /// Which stream.
        stream: Stream,
    },
    /// Bytes behind the end of a stream.
    #[error("{stream:?} of process {} goes on behind its end", process.0)]
    Ended {
        /// Whose.
        process: ProcessId,
        /// Which stream.
        stream: Stream,
    },
    /// An acknowledgement of what was never sent.
    #[error("it acknowledges bytes that were not sent")]
    Ack,
    /// Requests to the metadata service that nobody waits for.
    #[error("it has more than {MAX_REQUESTS} requests to the metadata service on the way")]
    Requests,
    /// A pod never has as many.
    #[error("it tells of damage in more than {MAX_APPS} apps")]
    Damage,
    /// Not asked to.
    #[error("it says that the guest is down, and nobody asked for it")]
    Down,
    /// No message at all.
    #[error("{0}")]
    Frame(String),
}

/// Why a pod failed, and what can tell more.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) text: String,
    pub(super) console: bool,
    pub(super) kernel: bool,
}

impl Failure {
    /// The guest's own report: it says all there is.
    pub(super) fn guest(text: String) -> Self {
        Self {
            text,
            console: false,
            kernel: false,
        }
    }

    /// Something that the kernel may have a word about.
    pub(super) fn machine(text: String) -> Self {
        Self {
            text,
            console: true,
            kernel: false,
        }
    }

    /// The kernel ran, and its agent never came.
    pub(super) fn no_agent(text: String) -> Self {
        Self {
            kernel: true,
            ..Self::machine(text)
        }
    }

    pub(super) fn violation(violation: &Violation) -> Self {
        Self::guest(format!(
            "the guest's agent breaks the protocol: {violation}"
        ))
    }
}
