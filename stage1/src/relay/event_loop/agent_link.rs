//! The agent's connection: frames in and out, without waiting.

use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bulkhead_protocol::agent::{ENTROPY_LENGTH, FromAgent, ToAgent};
use bulkhead_protocol::bounded::Blob;
use bulkhead_protocol::frame::{self, Decoder, MAX_FROM_AGENT, MAX_TO_AGENT};
use rustix::event::PollFlags;
use rustix::rand::{GetRandomFlags, getrandom};

use crate::relay::session::{Outgoing, Session, Violation};

/// Nothing more is asked of the session while this much waits to be written: an agent that does not read gets no more.
const WRITE_AHEAD: usize = 128 << 10;

/// Bytes read at a time: two frames of a full chunk.
const READ_LENGTH: usize = 64 << 10;

/// What a read brought.
pub(super) enum Heard {
    /// Whole messages, or parts.
    Messages,
    /// The connection is gone.
    End,
    /// No message.
    Nonsense(Violation),
}

pub(super) struct AgentLink {
    socket: UnixStream,
    decoder: Decoder,
    buffer: Vec<u8>,
    /// Encoded messages, and how much of them is written.
    outgoing: Vec<u8>,
    written: usize,
    /// The last read filled its buffer.
    more: bool,
}

impl AgentLink {
    pub(super) fn new(socket: OwnedFd) -> io::Result<Self> {
        let socket = UnixStream::from(socket);
        // This end of the pair is ours alone.
        socket.set_nonblocking(true)?;
        Ok(Self {
            socket,
            decoder: Decoder::new(MAX_FROM_AGENT),
            buffer: vec![0; READ_LENGTH],
            outgoing: Vec::new(),
            written: 0,
            more: false,
        })
    }

    pub(super) fn socket(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    pub(super) fn wants(&self) -> PollFlags {
        if self.written < self.outgoing.len() {
            PollFlags::IN | PollFlags::OUT
        } else {
            PollFlags::IN
        }
    }

    pub(super) fn has_more(&self) -> bool {
        self.more
    }

    /// Writes what the connection takes. An error is its end.
    pub(super) fn send(&mut self, session: &mut Session) -> io::Result<()> {
        loop {
            while self.outgoing.len() - self.written < WRITE_AHEAD
                && let Some(message) = session.next_message()
            {
                self.encode(message)?;
            }
            if self.written == self.outgoing.len() {
                self.outgoing.clear();
                self.written = 0;
                return Ok(());
            }
            match self.socket.write(&self.outgoing[self.written..]) {
                Ok(count) => self.written += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.outgoing.drain(..self.written);
                    self.written = 0;
                    return Ok(());
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn encode(&mut self, message: Outgoing) -> io::Result<()> {
        let message = match message {
            Outgoing::Message(message) => message,
            Outgoing::Welcome(session) => {
                let mut entropy = [0; ENTROPY_LENGTH];
                getrandom(&mut entropy, GetRandomFlags::empty())?;
                let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
                let realtime = since_1970.unwrap_or_default().as_nanos();
                ToAgent::Welcome {
                    version: bulkhead_protocol::VERSION,
                    session,
                    entropy: Blob::try_from(&entropy[..]).map_err(io::Error::other)?,
                    realtime_ns: u64::try_from(realtime).unwrap_or(0),
                }
            }
        };
        frame::encode(&message, MAX_TO_AGENT, &mut self.outgoing).map_err(io::Error::other)
    }

    /// Reads once, and gives the session every whole message.
    pub(super) fn receive(&mut self, session: &mut Session, now: Duration) -> Heard {
        self.more = false;
        let count = match self.socket.read(&mut self.buffer) {
            Ok(0) => return Heard::End,
            Ok(count) => count,
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) =>
            {
                return Heard::Messages;
            }
            Err(_) => return Heard::End,
        };
        self.more = count == self.buffer.len();
        self.decoder.push(&self.buffer[..count]);
        loop {
            match self.decoder.take::<FromAgent>() {
                Ok(Some(message)) => session.agent_message(now, message),
                Ok(None) => return Heard::Messages,
                Err(error) => return Heard::Nonsense(Violation::Frame(error.to_string())),
            }
        }
    }
}
