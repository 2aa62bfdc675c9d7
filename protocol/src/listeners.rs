//! Listening sockets of the host that apps get: part of [`crate::plan`].

use serde::{Deserialize, Serialize};

use crate::bounded::Text;

/// Listening sockets that one pod gets from whoever starts it.
pub const MAX_LISTENERS: usize = 32;

/// Longest name of a port (`FDNAME_MAX`, systemd's `src/basic/def.h`).
pub const MAX_PORT_NAME: usize = 255;

/// A socket that an app gets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listener {
    /// The name of the app's port that it is for (`LISTEN_FDNAMES`).
    pub name: Text<MAX_PORT_NAME>,
    /// What it is.
    pub socket: ListenerSocket,
}

/// What an app gets for a socket of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ListenerSocket {
    /// That socket itself, which the agent was given.
    Given,
    /// One of the guest's, made by the agent: TCP on loopback, if possible at this port.
    Inet {
        /// The host's.
        port: u16,
    },
    /// The same over IPv6.
    Inet6 {
        /// The host's.
        port: u16,
    },
    /// One of the guest's, made by the agent: of a local stream.
    Unix,
}
