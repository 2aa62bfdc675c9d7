//! Clients of the host's, connected to the sockets that apps listen on. Each is a process whose streams are its connection's.

use std::io;
use std::os::fd::OwnedFd;

use bulkhead_protocol::agent::{FromAgent, Stream};
use bulkhead_protocol::exit::Exit;
use bulkhead_protocol::plan::{Listener, ListenerSocket, Process, ProcessId};

use super::{Agent, Fatal};
use crate::clock::monotonic_ns;
use crate::listeners::{self, ListenerError};
use crate::process::{Entry, InputEnd, State};

/// The sockets of a program, in its order.
pub(super) fn of_program<'a>(
    listeners: &'a [Option<OwnedFd>],
    process: &Process,
) -> Vec<&'a OwnedFd> {
    let places = process.listeners.iter();
    let sockets = places.map(|place| listeners.get(usize::from(*place)));
    sockets.flatten().flatten().collect()
}

impl Agent {
    /// Makes what was not given.
    pub(super) fn make_listeners(&mut self, planned: &[Listener]) -> Result<(), Fatal> {
        for (place, listener) in planned.iter().enumerate() {
            let failed = |source| Fatal::Listener {
                name: listener.name.as_str().to_owned(),
                source,
            };
            match listener.socket {
                ListenerSocket::Given if place < self.listeners.len() => {}
                ListenerSocket::Given => return Err(failed(ListenerError::Missing)),
                made => {
                    let socket = listeners::make(made).map_err(failed)?;
                    self.listeners.push(Some(socket));
                }
            }
        }
        Ok(())
    }

    /// Connects to an app for a client of the host's. One that the host has asked for already, on a connection that was lost, stands.
    pub(super) fn connect(&mut self, id: ProcessId, place: u8) {
        if self.processes.contains_key(&id) {
            return;
        }
        self.forget_ended();
        let place = usize::from(place);
        let entry = Entry::of_connection(place, monotonic_ns());
        self.processes.insert(id, entry);
        if self.try_to_connect(id, place).is_err() {
            // Nobody listens: then it is over, and has never started.
            self.end_outputs(id);
        }
    }

    fn try_to_connect(&mut self, id: ProcessId, place: usize) -> io::Result<()> {
        let listener = self.listeners.get(place).and_then(Option::as_ref);
        let listener = listener.ok_or(io::ErrorKind::ConnectionRefused)?;
        let socket = listeners::connect_to(listener)?;
        let input = socket.try_clone()?;
        let now_ns = monotonic_ns();
        self.send(&FromAgent::Started {
            process: id,
            exec_ns: now_ns,
            sent_ns: now_ns,
        });
        self.attach_input(id, input)?;
        self.attach_output(id, Stream::Stdout, socket)
    }

    /// A connection whose both directions have ended is over. One whose app has ended is over when the app's direction is: nobody reads the
    /// other one.
    pub(super) fn settle_connection(&mut self, id: ProcessId) {
        let Some(entry) = self.processes.get(&id) else {
            return;
        };
        let State::Connected { listener } = entry.state else {
            return;
        };
        if entry.stdout.end.is_some() {
            return;
        }
        if matches!(entry.input.end, InputEnd::Closed) {
            self.ended_as(id, Exit::Code(0), None);
        } else if self.listeners.get(listener).is_none_or(Option::is_none) {
            self.close_input(id);
        }
    }

    /// The program that listened on these sockets has ended.
    pub(super) fn close_listeners(&mut self, places: &[u8]) {
        if places.is_empty() {
            return;
        }
        for place in places {
            if let Some(listener) = self.listeners.get_mut(usize::from(*place)) {
                *listener = None;
            }
        }
        let entries = self.processes.iter();
        let connections = entries.filter(|(_, entry)| entry.is_connection());
        let connections: Vec<ProcessId> = connections.map(|(id, _)| *id).collect();
        for id in connections {
            self.settle_connection(id);
        }
    }
}
