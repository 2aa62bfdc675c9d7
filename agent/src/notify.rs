//! Where a program says that it is ready, by systemd's protocol (sd_notify(3)).
//!
//! The socket has an abstract name that the kernel chooses: nothing of it is in the app's root, whatever is mounted there, and no image
//! can be in its way. All of the pod can send to it; who does is known from the kernel, and only the app's own processes count.
//!
//! What comes is the app's to choose: it is heard one message at a time, up to a number and a length, and only for `READY=1`. After
//! that the kernel drops what comes, so that nobody who goes on to tell of its state fails or waits.

use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::sys::socket::{
    AddressFamily, ControlMessageOwned, MsgFlags, SockFlag, SockType, UnixAddr, bind, getsockname,
    recvmsg, setsockopt, socket, sockopt::PassCred,
};

use crate::sys;

/// The variable that names the socket to the program.
pub const VARIABLE: &str = "NOTIFY_SOCKET";

/// Longest message; systemd's bound is the same.
const MAX_MESSAGE: usize = 4096;

/// Messages of one program that are heard; one that has not said by then that it is ready never will.
const MAX_MESSAGES: u32 = 4096;

/// The assignment that counts.
const READY: &[u8] = b"READY=1";

/// See the module docs.
#[derive(Debug)]
pub struct NotifySocket {
    socket: OwnedFd,
    address: String,
    heard: u32,
}

/// What came of a look at the socket.
#[derive(Debug, PartialEq, Eq)]
pub enum Heard {
    /// Nothing that counts, so far.
    Nothing,
    /// That the program is ready. Nothing more will be heard.
    Ready,
    /// As much as anybody listens to. Nothing more will be heard.
    Enough,
}

impl NotifySocket {
    /// For one program.
    ///
    /// # Errors
    /// Without free descriptors.
    pub fn open() -> io::Result<Self> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let socket = socket(AddressFamily::Unix, SockType::Datagram, flags, None)?;
        setsockopt(&socket, PassCred, &true)?;
        bind(socket.as_raw_fd(), &UnixAddr::new_unnamed())?;
        let name: UnixAddr = getsockname(socket.as_raw_fd())?;
        let name = name.as_abstract().unwrap_or_default();
        Ok(Self {
            address: format!("@{}", String::from_utf8_lossy(name)),
            socket,
            heard: 0,
        })
    }

    /// Its name as the variable has it.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Takes one message. `is_own` tells whether a process is of the program's app.
    pub fn hear(&mut self, is_own: impl Fn(i32) -> bool) -> Heard {
        let mut buffer = [0; MAX_MESSAGE];
        let Some((sender, length)) = self.receive(&mut buffer) else {
            return Heard::Nothing;
        };
        self.heard += 1;
        let is_ready = says_ready(&buffer[..length]) && sender.is_some_and(is_own);
        if !is_ready && self.heard < MAX_MESSAGES {
            return Heard::Nothing;
        }
        self.go_deaf();
        match is_ready {
            true => Heard::Ready,
            false => Heard::Enough,
        }
    }

    /// None when there is nothing. No sender: the message is cut off, or brought descriptors, which nobody takes.
    fn receive(&self, buffer: &mut [u8]) -> Option<(Option<i32>, usize)> {
        let mut space = nix::cmsg_space!(nix::sys::socket::UnixCredentials);
        let flags = MsgFlags::MSG_CMSG_CLOEXEC;
        let mut buffers = [IoSliceMut::new(buffer)];
        let socket = self.socket.as_raw_fd();
        let message = recvmsg::<()>(socket, &mut buffers, Some(&mut space), flags).ok()?;
        let is_whole = !message.flags.contains(MsgFlags::MSG_TRUNC);
        // Of one whose list of descriptors is cut off there is no list at all.
        let mut beside = message.cmsgs().ok().into_iter().flatten();
        let sender = beside.find_map(|beside| match beside {
            ControlMessageOwned::ScmCredentials(credentials) => Some(credentials.pid()),
            _ => None,
        });
        Some((sender.filter(|_| is_whole), message.bytes))
    }

    fn go_deaf(&self) {
        if sys::drop_all_that_comes(self.socket.as_fd()).is_err() {
            return;
        }
        // What was there before: as much as the kernel keeps of one socket, and somebody may wait for the end of it.
        while self.receive(&mut [0; MAX_MESSAGE]).is_some() {}
    }
}

fn says_ready(message: &[u8]) -> bool {
    message
        .split(|byte| *byte == b'\n')
        .any(|line| line == READY)
}

impl AsFd for NotifySocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
#[path = "notify_test.rs"]
mod tests;
