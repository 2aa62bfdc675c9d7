//! The socket at which programs are asked for in the apps of the running pod.
//!
//! It lies in the pod's directory itself, where nobody but the pod's owner can write: not in the directory that the relay has,
//! which could put a link in its place, for whoever enters to follow. The relay accepts; the supervisor never reads from it.

use std::fs;
use std::os::fd::OwnedFd;

use anyhow::{Context, Result};
use bulkhead_protocol::control::{MAX_CONNECTIONS, SOCKET};
use rustix::fs::{Mode, fchmod};
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, listen, socket_with,
};

/// The listening socket. Its name goes with it; a name that a killed supervisor leaves leads nowhere.
pub(crate) struct Control(OwnedFd);

impl Control {
    pub(crate) fn open() -> Result<Self> {
        let context = || format!("make the pod's socket {SOCKET}");
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)
            .with_context(context)?;
        // Before it has a name: the name gets the same mode.
        fchmod(&socket, Mode::RUSR | Mode::WUSR).with_context(context)?;
        let address = SocketAddrUnix::new(SOCKET).with_context(context)?;
        bind(&socket, &address).with_context(context)?;
        let backlog = i32::try_from(MAX_CONNECTIONS).with_context(context)?;
        listen(&socket, backlog).with_context(context)?;
        Ok(Self(socket))
    }

    pub(crate) fn listener(&self) -> &OwnedFd {
        &self.0
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        // One that is gone already needs no removing.
        let _ = fs::remove_file(SOCKET);
    }
}
