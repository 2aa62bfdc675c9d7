//! The sockets that a service manager starts the pod with, by systemd's protocol (sd_listen_fds(3)).

use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};

use anyhow::{Context, Result, bail};
use bulkhead_jail::inherited;
use bulkhead_protocol::plan::MAX_LISTENERS;
use bulkhead_stage1::plan::{Address, HostSocket, SocketKind};
use rustix::net::{AddressFamily, SocketAddrAny, SocketType, getsockname, sockopt};

/// The first one's number (`SD_LISTEN_FDS_START`).
const FIRST: RawFd = 3;

/// What was handed over.
#[derive(Default)]
pub(crate) struct Sockets {
    files: Vec<OwnedFd>,
    /// In the same order.
    pub(crate) known: Vec<HostSocket>,
}

impl Sockets {
    /// Takes them. Variables that are for another process say nothing.
    pub(crate) fn receive() -> Result<Self> {
        let number = |name: &str| std::env::var(name).ok()?.parse::<u32>().ok();
        let count = match (number("LISTEN_PID"), number("LISTEN_FDS")) {
            (Some(pid), Some(count)) if pid == std::process::id() => count,
            _ => return Ok(Self::default()),
        };
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        if count > MAX_LISTENERS {
            bail!("LISTEN_FDS={count}: a pod takes {MAX_LISTENERS} sockets");
        }
        let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
        let mut names = names_of(&names);
        let mut sockets = Self::default();
        for number in (FIRST..).take(count) {
            let context = || format!("descriptor {number} (LISTEN_FDS)");
            let file = inherited(number).with_context(context)?;
            let name = names.next().flatten();
            let socket = examine(file.as_fd(), number, name).with_context(context)?;
            sockets.files.push(file);
            sockets.known.push(socket);
        }
        Ok(sockets)
    }

    /// Themselves.
    pub(crate) fn files(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.files.iter().map(AsFd::as_fd)
    }

    /// For one who accepts, and must not wait.
    pub(crate) fn do_not_block(&self) -> Result<()> {
        for file in &self.files {
            rustix::io::ioctl_fionbio(file, true).context("make a listening socket not block")?;
        }
        Ok(())
    }
}

/// One a descriptor. One that is empty is no name, and takes its descriptor's place all the same.
fn names_of(variable: &str) -> impl Iterator<Item = Option<String>> {
    let names = variable.split(':');
    names.map(|name| (!name.is_empty()).then(|| name.to_owned()))
}

fn examine(file: BorrowedFd<'_>, number: RawFd, name: Option<String>) -> Result<HostSocket> {
    let address = getsockname(file).context("ask for the address of a socket")?;
    let address = match (address.address_family(), inet(&address)) {
        (AddressFamily::INET, Some(port)) => Address::Inet(port),
        (AddressFamily::INET6, Some(port)) => Address::Inet6(port),
        (AddressFamily::UNIX, _) => Address::Unix,
        _ => bail!("it is neither an IP nor a local socket"),
    };
    let kind = match sockopt::socket_type(file).context("ask for the type of a socket")? {
        SocketType::STREAM => match sockopt::socket_acceptconn(file) {
            Ok(true) => SocketKind::Listening,
            _ => SocketKind::Connection,
        },
        SocketType::DGRAM => SocketKind::Datagrams,
        _ => bail!("it is a socket neither of a stream nor of datagrams"),
    };
    Ok(HostSocket {
        number,
        name,
        address,
        kind,
    })
}

fn inet(address: &SocketAddrAny) -> Option<u16> {
    let address = std::net::SocketAddr::try_from(address.clone()).ok()?;
    Some(address.port())
}

#[cfg(test)]
#[path = "sockets_test.rs"]
mod tests;
