//! What a service manager that started the pod learns of it, by systemd's protocol (sd_notify(3)).
//!
//! The supervisor speaks, for it is the service's main process and service managers hear no other. That the apps run it takes from
//! the relay as a counter of the kernel, which it never reads: nothing that a guest wrote gets here. No other process of the pod
//! knows of the service manager.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use anyhow::{Context, Result, bail};
use rustix::event::{EventfdFlags, eventfd};

/// Where the service manager listens.
const VARIABLE: &str = "NOTIFY_SOCKET";

/// The service manager, where there is one.
pub(crate) struct ServiceManager {
    socket: UnixDatagram,
    apps_run: OwnedFd,
    /// There is something to wait for yet.
    waiting: bool,
}

impl ServiceManager {
    /// The one that the environment names. One that cannot be reached is a warning: the pod can run without.
    pub(crate) fn find() -> Option<Self> {
        let address = std::env::var_os(VARIABLE)?;
        match Self::connect(&address) {
            Ok(manager) => Some(manager),
            Err(error) => {
                eprintln!(
                    "stage1: warning: nobody will hear that the pod is ready: {VARIABLE}={}: {error:#}",
                    address.display()
                );
                None
            }
        }
    }

    fn connect(address: &OsStr) -> Result<Self> {
        let address = match address.as_bytes() {
            [b'/', ..] => SocketAddr::from_pathname(address),
            [b'@', name @ ..] if !name.is_empty() => SocketAddr::from_abstract_name(name),
            _ => bail!("neither a path nor an abstract name"),
        };
        let address = address.context("the socket's name")?;
        let socket = UnixDatagram::unbound().context("make a socket")?;
        socket.connect_addr(&address).context("connect to it")?;
        // Whoever reads it may be slow: signals are more urgent.
        socket
            .set_nonblocking(true)
            .context("make the socket non-blocking")?;
        Ok(Self {
            socket,
            apps_run: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
                .context("make a counter")?,
            waiting: true,
        })
    }

    /// What becomes readable when the apps run: for the relay to write to.
    pub(crate) fn apps_run(&self) -> &OwnedFd {
        &self.apps_run
    }

    /// The same, as long as it is news.
    pub(crate) fn awaited(&self) -> Option<&OwnedFd> {
        self.waiting.then_some(&self.apps_run)
    }

    /// All apps run.
    pub(crate) fn ready(&mut self) {
        if std::mem::take(&mut self.waiting) {
            self.say("READY=1\n");
        }
    }

    /// The pod has been asked to stop, and will not become ready any more.
    pub(crate) fn stopping(&mut self) {
        self.waiting = false;
        self.say("STOPPING=1\n");
    }

    fn say(&self, text: &str) {
        if let Err(error) = self.socket.send(text.as_bytes()) {
            let text = text.trim_end();
            eprintln!("stage1: warning: tell the service manager {text}: {error}");
        }
    }
}
