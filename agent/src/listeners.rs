//! Sockets that apps listen on for clients of the host, by systemd's protocol (sd_listen_fds(3)).
//!
//! In a guest they stand for the host's own, which stay there: the agent makes one of the same kind for each, and connects to it for each
//! client that the host passes on.

use std::borrow::Cow;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;

use bulkhead_protocol::agent::MAX_PASSED_ON;
use bulkhead_protocol::plan::ListenerSocket;
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, connect, getsockname, listen,
    socket_with,
};

/// The number of the first one in a program (`SD_LISTEN_FDS_START`).
pub const FIRST: i32 = 3;

/// A socket that cannot be.
#[derive(Debug, thiserror::Error)]
pub enum ListenerError {
    /// It was to be given to the agent.
    #[error("it did not come along")]
    Missing,
    /// What the kernel says.
    #[error("listen in the guest")]
    Kernel(#[from] io::Error),
}

/// Makes the guest's socket for one of the host.
///
/// # Errors
/// What the kernel says; and for one that is given and not made.
pub fn make(planned: ListenerSocket) -> Result<OwnedFd, ListenerError> {
    let inet = |host: std::net::IpAddr, port| {
        let family = match host.is_ipv4() {
            true => AddressFamily::INET,
            false => AddressFamily::INET6,
        };
        make_inet(family, host, port)
    };
    let made = match planned {
        ListenerSocket::Given => return Err(ListenerError::Missing),
        ListenerSocket::Inet { port } => inet(Ipv4Addr::LOCALHOST.into(), port),
        ListenerSocket::Inet6 { port } => inet(Ipv6Addr::LOCALHOST.into(), port),
        ListenerSocket::Unix => make_unix(),
    };
    Ok(made.map_err(io::Error::from)?)
}

/// At the host's port, so that an app that asks for its own number gets it; at another where that is taken, for the host may listen at
/// one port of several addresses.
fn make_inet(family: AddressFamily, host: std::net::IpAddr, port: u16) -> Result<OwnedFd, Errno> {
    let socket = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    match bind(&socket, &SocketAddr::new(host, port)) {
        Err(Errno::ADDRINUSE) => bind(&socket, &SocketAddr::new(host, 0))?,
        other => other?,
    }
    listen(&socket, backlog())?;
    Ok(socket)
}

/// With a name of the kernel's choice.
fn make_unix() -> Result<OwnedFd, Errno> {
    let flags = SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    bind(&socket, &SocketAddrUnix::new_unnamed())?;
    listen(&socket, backlog())?;
    Ok(socket)
}

/// Room for all that the host passes on at a time: nobody waits for a connection.
fn backlog() -> i32 {
    i32::try_from(MAX_PASSED_ON).unwrap_or(i32::MAX)
}

/// Connects to a socket of [`make`].
///
/// # Errors
/// What the kernel says: that nobody listens any more.
pub fn connect_to(listener: &OwnedFd) -> io::Result<OwnedFd> {
    let address = getsockname(listener)?;
    let family = address.address_family();
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(family, SocketType::STREAM, flags, None)?;
    match connect(&socket, &address) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(socket),
        Err(errno) => Err(errno.into()),
    }
}

/// The variables of a program with sockets of these names, but for its own number.
pub fn variables(names: &[&str]) -> [(&'static str, String); 2] {
    [
        ("LISTEN_FDS", names.len().to_string()),
        ("LISTEN_FDNAMES", names.join(":")),
    ]
}

/// The variable that says which process the others are for: this one.
pub fn own_number<'a>() -> Cow<'a, str> {
    Cow::Owned(format!("LISTEN_PID={}", std::process::id()))
}

#[cfg(test)]
#[path = "listeners_test.rs"]
mod tests;
