//! Which app gets which of the listening sockets that the pod was started with (systemd.socket(5)).
//!
//! A socket whose name (`FileDescriptorName=`) is that of a `socketActivated` port is for that port; any other one is for the port that has
//! its protocol and number. Each socket is for exactly one port, and each such port gets at least one socket.

use std::fmt;

use bulkhead_pod::manifest::{App as ManifestApp, Port, Protocol};
use bulkhead_protocol::bounded::{List, Text};
use bulkhead_protocol::plan::{AppName, Listener, ListenerSocket, MAX_LISTENERS};

use super::{Input, PlanError, bound, bounded};

/// A socket that the pod was started with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostSocket {
    /// The number of the descriptor, for messages.
    pub number: i32,
    /// Its name, where it has one.
    pub name: Option<String>,
    /// Where it is.
    pub address: Address,
    /// What it is.
    pub kind: SocketKind,
}

/// Where a socket is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Address {
    /// A port over IPv4.
    Inet(u16),
    /// A port over IPv6.
    Inet6(u16),
    /// A local one.
    Unix,
}

/// What a socket is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SocketKind {
    /// It listens for connections.
    Listening,
    /// It is a connection itself, or will be one.
    Connection,
    /// It takes messages.
    Datagrams,
}

impl fmt::Display for HostSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (address, is_stream) = (self.address, self.kind != SocketKind::Datagrams);
        match (address, is_stream) {
            (Address::Inet(port) | Address::Inet6(port), true) => write!(f, "TCP port {port}")?,
            (Address::Inet(port) | Address::Inet6(port), false) => write!(f, "UDP port {port}")?,
            (Address::Unix, _) => write!(f, "a local socket")?,
        }
        match &self.name {
            Some(name) => write!(f, " ({name:?}, descriptor {})", self.number),
            None => write!(f, " (descriptor {})", self.number),
        }
    }
}

/// Who gets what.
#[derive(Debug)]
pub(super) struct Sockets {
    pub(super) listeners: List<Listener, MAX_LISTENERS>,
    /// The app of each listener, by its place.
    apps: Vec<usize>,
}

impl Sockets {
    /// The places of an app's listeners.
    pub(super) fn of_app(&self, app: usize) -> Vec<u8> {
        let of_app = (0..).zip(&self.apps).filter(|(_, of)| **of == app);
        of_app.map(|(place, _)| place).collect()
    }
}

type Programs<'a> = [(&'a ManifestApp, AppName)];

pub(super) fn resolve(input: &Input<'_>, programs: &Programs<'_>) -> Result<Sockets, PlanError> {
    let (mut listeners, mut apps) = (Vec::new(), Vec::new());
    let mut served = Vec::new();
    for socket in input.sockets {
        let (app, port) = port_of(socket, programs)
            .and_then(|found| is_usable(socket, found.1, input.shares_kernel).map(|()| found))
            .map_err(|problem| PlanError::Socket {
                socket: socket.to_string(),
                problem,
            })?;
        listeners.push(Listener {
            name: Text::try_from(port.name.as_str()).map_err(bound("the name of a port"))?,
            socket: listener_socket(socket, input.shares_kernel),
        });
        apps.push(app);
        served.push((app, port.name.as_str()));
    }
    for (app, (program, name)) in programs.iter().enumerate() {
        let mut ports = program.ports.iter().filter(|port| port.socket_activated);
        if let Some(port) = ports.find(|port| !served.contains(&(app, port.name.as_str()))) {
            return Err(PlanError::NoSocket {
                app: name.clone(),
                port: port.name.to_string(),
            });
        }
    }
    Ok(Sockets {
        listeners: bounded("the pod's sockets", listeners)?,
        apps,
    })
}

/// The app and the port that a socket is for.
fn port_of<'a>(
    socket: &HostSocket,
    programs: &'a Programs<'_>,
) -> Result<(usize, &'a Port), String> {
    let ports = programs.iter().enumerate().flat_map(|(app, (program, _))| {
        let ports = program.ports.iter().filter(|port| port.socket_activated);
        ports.map(move |port| (app, port))
    });
    let ports: Vec<(usize, &Port)> = ports.collect();
    let named = |port: &Port| socket.name.as_deref() == Some(port.name.as_str());
    let numbered = |port: &Port| has_number(socket, port);
    let by_name: Vec<_> = ports.iter().filter(|(_, port)| named(port)).collect();
    let found = match by_name.is_empty() {
        false => by_name,
        true => ports.iter().filter(|(_, port)| numbered(port)).collect(),
    };
    match found[..] {
        [found] => Ok(*found),
        [] => Err("no app has a socketActivated port for it".to_owned()),
        [(first, a), (second, b), ..] => Err(format!(
            "port {} of app {} and port {} of app {} are both for it",
            a.name, programs[*first].1, b.name, programs[*second].1
        )),
    }
}

fn has_number(socket: &HostSocket, port: &Port) -> bool {
    let (Address::Inet(number) | Address::Inet6(number)) = socket.address else {
        return false;
    };
    let first = port.port.get();
    let is_in_range = number >= first && number - first < port.count;
    is_in_range && protocol(socket) == port.protocol
}

fn protocol(socket: &HostSocket) -> Protocol {
    match socket.kind {
        SocketKind::Datagrams => Protocol::Udp,
        SocketKind::Listening | SocketKind::Connection => Protocol::Tcp,
    }
}

fn is_usable(socket: &HostSocket, port: &Port, shares_kernel: bool) -> Result<(), String> {
    if socket.kind == SocketKind::Connection {
        return Err("it does not listen (Accept=yes is not supported)".to_owned());
    }
    if socket.address != Address::Unix && protocol(socket) != port.protocol {
        return Err(format!("port {} has another protocol", port.name));
    }
    if socket.kind == SocketKind::Datagrams && !shares_kernel {
        return Err("a socket of datagrams cannot be handed into a machine".to_owned());
    }
    Ok(())
}

fn listener_socket(socket: &HostSocket, shares_kernel: bool) -> ListenerSocket {
    match socket.address {
        _ if shares_kernel => ListenerSocket::Given,
        Address::Inet(port) => ListenerSocket::Inet { port },
        Address::Inet6(port) => ListenerSocket::Inet6 { port },
        Address::Unix => ListenerSocket::Unix,
    }
}

#[cfg(test)]
#[path = "sockets_test.rs"]
mod tests;
