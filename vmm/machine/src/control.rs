//! The control socket: one message a packet, descriptors beside it.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use bulkhead_protocol::frame::{self, FrameError};
use bulkhead_protocol::vmm::{FromVmm, MAX_FDS, MAX_PACKET, ToVmm};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags,
};

/// How long the last message waits for a reader that is behind. A reader that is gone ends the wait at once.
const LAST_MESSAGE_WAIT: Duration = Duration::from_secs(2);

/// A message that cannot be had or sent.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// The socket does not work.
    #[error("the control socket fails")]
    Socket(#[from] io::Error),
    /// A packet with more descriptors or bytes than any message has.
    #[error("a control message was cut: more than {MAX_PACKET} bytes or {MAX_FDS} descriptors")]
    Cut,
    /// Bytes that are no message.
    #[error("a control message makes no sense")]
    Frame(#[from] FrameError),
}

impl From<rustix::io::Errno> for ControlError {
    fn from(error: rustix::io::Errno) -> Self {
        ControlError::Socket(error.into())
    }
}

/// Our end of the control socket.
#[derive(Debug)]
pub struct Control {
    socket: OwnedFd,
}

impl Control {
    /// Takes a connected `SOCK_SEQPACKET` socket.
    pub fn new(socket: OwnedFd) -> Self {
        Self { socket }
    }

    /// Waits for the next message and its descriptors; `None` when the other end is closed.
    ///
    /// # Errors
    /// When it is no message. Descriptors that came with it are then closed.
    pub fn receive(&self) -> Result<Option<(ToVmm, Vec<OwnedFd>)>, ControlError> {
        let mut bytes = vec![0; MAX_PACKET];
        let mut space = vec![MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let received = rustix::io::retry_on_intr(|| {
            rustix::net::recvmsg(
                &self.socket,
                &mut [IoSliceMut::new(&mut bytes)],
                &mut ancillary,
                RecvFlags::CMSG_CLOEXEC,
            )
        })?;
        let mut descriptors = Vec::new();
        for message in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(received) = message {
                descriptors.extend(received);
            }
        }
        if received
            .flags
            .intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC)
        {
            return Err(ControlError::Cut);
        }
        // No message is empty, so nothing means the end.
        if received.bytes == 0 {
            return Ok(None);
        }
        let message = frame::decode(&bytes[..received.bytes])?;
        Ok(Some((message, descriptors)))
    }

    /// Sends a message without waiting.
    ///
    /// # Errors
    /// When the reader is gone, or so far behind that the socket is full.
    pub fn send(&self, message: &FromVmm, descriptor: Option<BorrowedFd<'_>>) -> io::Result<()> {
        let bytes = postcard::to_stdvec(message).map_err(io::Error::other)?;
        let descriptors = descriptor.as_slice();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        if !descriptors.is_empty() {
            let pushed = ancillary.push(SendAncillaryMessage::ScmRights(descriptors));
            debug_assert!(pushed, "there is space for one");
        }
        rustix::io::retry_on_intr(|| {
            rustix::net::sendmsg(
                &self.socket,
                &[IoSlice::new(&bytes)],
                &mut ancillary,
                SendFlags::DONTWAIT | SendFlags::NOSIGNAL,
            )
        })?;
        Ok(())
    }

    /// Sends the last message, and gives a reader that is behind a moment.
    ///
    /// # Errors
    /// When nobody reads.
    pub fn send_last(&self, message: &FromVmm) -> io::Result<()> {
        match self.send(message, None) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let mut polled = [PollFd::new(&self.socket, PollFlags::OUT)];
                let wait = Timespec::try_from(LAST_MESSAGE_WAIT).map_err(io::Error::other)?;
                rustix::event::poll(&mut polled, Some(&wait))?;
                self.send(message, None)
            }
            result => result,
        }
    }
}

impl AsFd for Control {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
#[path = "control_test.rs"]
mod tests;
