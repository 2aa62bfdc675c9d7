//! Relay ↔ agent: one connection, which the agent dials, in [`crate::frame`]s.
//!
//! ```text
//! agent                                   relay
//!   │── Hello ──────────────────────────────▶│  version; where the agent stands
//!   │◀────────────────────────────── Welcome │  session; entropy, time
//!   │◀───────────────────── Pod, Start, Start│  sent at once, nobody waits in between
//!   │── Started, Data, Ack, …, Exited ──────▶│
//!   │◀─────────────── Data, Ack, Signal, Stop│
//!   │◀───────────────────────────── Shutdown │  when the pod is done
//!   │── Down ───────────────────────────────▶│  file systems are safe; the reset follows
//! ```
//!
//! **Streams.** A chunk carries the offset of its first byte in its stream. The receiver acknowledges what it has passed
//! on; the sender keeps what is not acknowledged and has at most [`WINDOW`] bytes of it. So a reader that stands still stops
//! only its own stream, and never the connection.
//!
//! **A lost connection is not the pod's end.** The agent dials again and its `Hello` names the session; then both sides
//! acknowledge every open stream, and senders go on from there.

use serde::{Deserialize, Serialize};

use crate::bounded::{Blob, Text};
use crate::exit::Exit;
use crate::metadata::{Answer, Request, RequestId};
use crate::mutable::AddedApp;
use crate::plan::{AppName, Plan, Process, ProcessId, WindowSize};

/// Bytes of one [`Chunk`].
pub const MAX_CHUNK: usize = 32 << 10;

/// Unacknowledged bytes of one stream: what its sender keeps at most. A multiple of [`MAX_CHUNK`].
pub const WINDOW: u64 = 256 << 10;

/// Longest reason or note in a message from the agent.
pub const MAX_REASON: usize = 1024;

/// Longest manifest, in bytes of JSON.
pub const MAX_MANIFEST: usize = 1 << 20;

/// Processes of a pod that run at one time: the apps, and what was started in them.
pub const MAX_PROCESSES: usize = 512;

/// Connections to listening sockets of the host that are passed on to apps at one time.
pub const MAX_PASSED_ON: usize = 128;

/// Random bytes that a [`ToAgent::Welcome`] brings into the guest.
pub const ENTROPY_LENGTH: usize = 64;

/// Names a conversation across connections. Chosen by the relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session(pub [u8; 16]);

/// A stream of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Stream {
    /// Host to process.
    Stdin,
    /// Process to host; all output of a terminal.
    Stdout,
    /// Process to host.
    Stderr,
}

/// Part of a stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chunk {
    /// Whose stream.
    pub process: ProcessId,
    /// Which.
    pub stream: Stream,
    /// Offset of the first byte in the stream.
    pub offset: u64,
    /// The bytes. None at all: the stream ends here.
    pub bytes: Blob<MAX_CHUNK>,
}

/// The receiver has passed on all bytes before `offset`, and its word that it wants no more when `closed`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ack {
    /// Whose stream.
    pub process: ProcessId,
    /// Which.
    pub stream: Stream,
    /// First byte not passed on.
    pub offset: u64,
    /// Nobody reads the stream any more: the sender drops what it has and takes no more in.
    pub closed: bool,
}

/// From the relay to the agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToAgent {
    /// The answer to [`FromAgent::Hello`].
    Welcome {
        /// [`crate::VERSION`].
        version: u32,
        /// The session from now on.
        session: Session,
        /// Randomness for the guest's pool.
        entropy: Blob<ENTROPY_LENGTH>,
        /// Host time, nanoseconds since 1970.
        realtime_ns: u64,
    },
    /// Build the pod. Once a session.
    Pod {
        /// What to build.
        plan: Box<Plan>,
    },
    /// Run a process.
    Start(Box<Process>),
    /// A client of the host's has connected: connect to one of [`crate::plan::Plan::listeners`] for it. The connection has the streams of
    /// a process: what the client writes is its [`Stream::Stdin`], what it reads [`Stream::Stdout`]. It has started when it is there, and
    /// exited when both have ended.
    Connect {
        /// Its name in all later messages.
        process: ProcessId,
        /// The place in the list.
        listener: u8,
    },
    /// Bytes for a process's standard input.
    Data(Chunk),
    /// Output was passed on.
    Ack(Ack),
    /// Send a signal to a process.
    Signal {
        /// Which.
        process: ProcessId,
        /// 1 to 64.
        signal: u8,
    },
    /// A terminal has a new size.
    Resize {
        /// Whose.
        process: ProcessId,
        /// The size.
        size: WindowSize,
    },
    /// End all processes in order: SIGTERM, `grace_ms` later SIGKILL. Each is reported as ever.
    Stop {
        /// Milliseconds between the two.
        grace_ms: u32,
    },
    /// The answer to a [`FromAgent::Metadata`].
    Metadata {
        /// Which.
        request: RequestId,
        /// The answer.
        answer: Box<Answer>,
    },
    /// Write everything back, unmount, say [`FromAgent::Down`] and reset the machine.
    Shutdown,
    /// Make an app's surroundings, once its disks are there, and say [`FromAgent::AppAdded`]. Again, after a lost connection: say it again.
    AddApp(Box<AddedApp>),
    /// Kill every process of an app.
    KillApp {
        /// Its number.
        app: u16,
    },
    /// Kill what is left of an app, give up its file systems and say [`FromAgent::AppRemoved`]. Again, after a lost connection: say it again.
    RemoveApp {
        /// Its number.
        app: u16,
    },
}

/// From the agent to the relay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromAgent {
    /// First message on every connection.
    Hello {
        /// [`crate::VERSION`].
        version: u32,
        /// The session that goes on, if one does.
        resume: Option<Session>,
        /// Guest time (`CLOCK_MONOTONIC`, ns) at the agent's first instruction.
        first_instruction_ns: u64,
        /// Guest time at the sending of this message. The difference is what the agent itself took.
        sent_ns: u64,
    },
    /// The program of a process was started.
    Started {
        /// Which.
        process: ProcessId,
        /// Guest time just before its `execve`.
        exec_ns: u64,
        /// Guest time at the sending of this message.
        sent_ns: u64,
    },
    /// A process that does so itself has said that it is ready; after its start, and once.
    Ready {
        /// Which.
        process: ProcessId,
    },
    /// A process ended, or never started. Its streams may still bring bytes; each says itself when it ends.
    Exited {
        /// Which.
        process: ProcessId,
        /// How.
        exit: Exit,
        /// Why, where the exit alone does not say it: what could not be found, out of memory.
        reason: Option<Text<MAX_REASON>>,
    },
    /// Output of a process.
    Data(Chunk),
    /// Input was passed on.
    Ack(Ack),
    /// An app asks the metadata service. At most [`crate::metadata::MAX_REQUESTS`] wait for an answer; a lost connection ends them all.
    Metadata(Box<Request>),
    /// A block of an app's image is not what it was when it was imported. Who reads it gets an error. May be said again.
    ImageDamaged {
        /// Whose.
        app: AppName,
    },
    /// The pod could not be built. The machine will be reset.
    Failed {
        /// What was tried, on what, and why it failed.
        reason: Text<MAX_REASON>,
    },
    /// Everything is written back. The reset follows.
    Down,
    /// An app's surroundings are there, or cannot be had: then there is no such app.
    AppAdded {
        /// Its number.
        app: u16,
        /// Why not.
        failure: Option<Text<MAX_REASON>>,
    },
    /// An app is no more, or could not be removed.
    AppRemoved {
        /// Its number.
        app: u16,
        /// Why not.
        failure: Option<Text<MAX_REASON>>,
    },
}
