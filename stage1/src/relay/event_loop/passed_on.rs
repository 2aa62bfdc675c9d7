//! Clients of listening sockets for apps: each connection is passed on to the agent, which connects it to the app.
//!
//! Both directions end on their own, as they do on a socket, and the connection is closed when both have. What is on its way is
//! bounded by the streams' windows, and the number of connections by the session: while there is no room, nobody is accepted, and
//! clients wait in the kernel's queue.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use bulkhead_protocol::agent::Stream;
use bulkhead_protocol::plan::ProcessId;
use rustix::event::PollFlags;
use rustix::net::{Shutdown, SocketFlags, accept_with, shutdown};

use super::acceptor::Acceptor;
use super::pipes::{Input, Output, Passed};
use crate::relay::session::{News, Session};

/// What may have happened.
#[derive(Debug, Clone, Copy)]
pub(super) enum Awaited {
    /// A client of the listener at this place.
    Client(usize),
    /// Bytes, or their end.
    Input(ProcessId),
    /// Room, or the reader's end.
    Output(ProcessId),
}

/// Two descriptors of one socket, one a direction.
#[derive(Debug)]
struct Connection {
    input: Input,
    output: Output,
}

/// See the module docs.
#[derive(Debug)]
pub(super) struct PassedOn {
    listeners: Vec<OwnedFd>,
    list: BTreeMap<ProcessId, Connection>,
    acceptor: Acceptor,
}

impl PassedOn {
    pub(super) fn new(listeners: Vec<OwnedFd>) -> Self {
        Self {
            listeners,
            list: BTreeMap::new(),
            acceptor: Acceptor::default(),
        }
    }

    pub(super) fn owns(&self, process: ProcessId) -> bool {
        self.list.contains_key(&process)
    }

    pub(super) fn wanted(
        &self,
        session: &Session,
        now: Duration,
    ) -> impl Iterator<Item = (Awaited, BorrowedFd<'_>, PollFlags)> {
        let mut wanted = Vec::new();
        if !self.acceptor.rests(now) && session.passes_on() {
            for (place, listener) in self.listeners.iter().enumerate() {
                wanted.push((Awaited::Client(place), listener.as_fd(), PollFlags::IN));
            }
        }
        for (&process, connection) in &self.list {
            let room = session.input_room(process);
            if let Some((input, flags)) = connection.input.wanted(room) {
                wanted.push((Awaited::Input(process), input, flags));
            }
            if let Some((output, flags)) = connection.output.wanted() {
                wanted.push((Awaited::Output(process), output, flags));
            }
        }
        wanted.into_iter()
    }

    /// What nobody reads is not taken either.
    pub(super) fn drop_unwanted_inputs(&mut self, session: &Session) {
        for (process, connection) in &mut self.list {
            if session.input_room(*process).is_none() {
                connection.input.close();
            }
        }
    }

    /// When to look for clients again.
    pub(super) fn deadline(&self, now: Duration) -> Option<Duration> {
        self.acceptor.deadline(now)
    }

    pub(super) fn hear(
        &mut self,
        awaited: Awaited,
        flags: PollFlags,
        session: &mut Session,
        now: Duration,
    ) {
        match awaited {
            Awaited::Client(place) => self.accept(place, session, now),
            Awaited::Input(process) => {
                if let Some(connection) = self.list.get_mut(&process)
                    && let Some(bytes) = connection.input.read()
                {
                    session.input(process, &bytes);
                }
            }
            Awaited::Output(process) => {
                let Some(connection) = self.list.get_mut(&process) else {
                    return;
                };
                if flags.intersects(PollFlags::ERR | PollFlags::HUP) {
                    // What it has written before counts: the other direction ends by itself.
                    connection.output.close();
                    session.client_closed(now, process, Stream::Stdout);
                } else {
                    connection.write(process, session, now);
                }
            }
        }
    }

    pub(super) fn tell(
        &mut self,
        process: ProcessId,
        news: News,
        session: &mut Session,
        now: Duration,
    ) {
        let Some(connection) = self.list.get_mut(&process) else {
            return;
        };
        match news {
            News::Output { bytes, .. } => {
                connection.output.push(&bytes);
                connection.write(process, session, now);
            }
            News::OutputEnd { .. } => {
                connection.output.end();
                connection.finish();
            }
            // How an app's side ended says its stream.
            News::Started | News::Ended { .. } => {}
            News::Over => {
                self.list.remove(&process);
            }
        }
    }

    fn accept(&mut self, place: usize, session: &mut Session, now: Duration) {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        // The session may have no room any more: an earlier listener's client came first.
        if !session.passes_on() {
            return;
        }
        let accepted = accept_with(&self.listeners[place], flags)
            .and_then(|socket| Ok((rustix::io::fcntl_dupfd_cloexec(&socket, 0)?, socket)));
        let Some((input, output)) = self.acceptor.take(accepted, now) else {
            return;
        };
        if let Ok(listener) = u8::try_from(place)
            && let Some(process) = session.pass_on(listener)
        {
            let connection = Connection {
                input: Input::new(Some(input)),
                output: Output::new(Some(output)),
            };
            self.list.insert(process, connection);
        }
    }
}

impl Connection {
    fn write(&mut self, process: ProcessId, session: &mut Session, now: Duration) {
        match self.output.write() {
            Passed::Bytes(count) => {
                let count = u64::try_from(count).unwrap_or(u64::MAX);
                session.written(now, process, Stream::Stdout, count);
                self.finish();
            }
            Passed::Closed => session.client_closed(now, process, Stream::Stdout),
        }
    }

    /// The client sees the end of what the app wrote, although it may go on itself.
    fn finish(&self) {
        if self.output.is_closed()
            && let Some(input) = self.input.pipe()
        {
            // One that is gone needs no end.
            let _ = shutdown(input, Shutdown::Write);
        }
    }
}
