//! The VMM's control socket, the relay's end: packets in, two commands out.

use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use bulkhead_protocol::frame::{self, FrameError};
use bulkhead_protocol::vmm::{FromVmm, MAX_PACKET, ToVmm};
use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendFlags, recvmsg, send,
};

/// Descriptors beside one message of the VMM.
const FDS: usize = 1;

/// A VMM that makes no sense, or is gone.
#[derive(Debug, thiserror::Error)]
pub enum VmmLinkError {
    /// The socket does not work.
    #[error("the VMM's control socket")]
    Socket(#[from] io::Error),
    /// More than any message is.
    #[error("the VMM sent a message of more than {MAX_PACKET} bytes or {FDS} descriptors")]
    Cut,
    /// No message.
    #[error("the VMM sent nonsense")]
    Frame(#[from] FrameError),
}

/// What the socket had.
#[derive(Debug)]
pub enum Received {
    /// A message, and the descriptor beside it.
    Message(FromVmm, Option<OwnedFd>),
    /// Nothing yet.
    Nothing,
    /// The VMM is gone.
    End,
}

/// The relay's end of the socket.
#[derive(Debug)]
pub struct VmmLink {
    socket: OwnedFd,
    buffer: Vec<u8>,
}

impl VmmLink {
    /// Takes a connected `SOCK_SEQPACKET` socket.
    pub fn new(socket: OwnedFd) -> Self {
        Self {
            socket,
            buffer: vec![0; MAX_PACKET],
        }
    }

    /// To wait for.
    pub fn socket(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// The next message, without waiting for it.
    ///
    /// # Errors
    /// When it is none. A descriptor that came with it is then closed.
    pub fn receive(&mut self) -> Result<Received, VmmLinkError> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
        let mut buffers = [IoSliceMut::new(&mut self.buffer)];
        let received = loop {
            match recvmsg(&self.socket, &mut buffers, &mut ancillary, flags) {
                Ok(received) => break received,
                Err(Errno::AGAIN | Errno::INTR) => return Ok(Received::Nothing),
                // It went while it had unread messages, which is said once; its last words are there all the same.
                Err(Errno::CONNRESET) => {}
                Err(error) => return Err(io::Error::from(error).into()),
            }
        };
        let mut descriptor = None;
        for message in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(files) = message {
                descriptor = files.last();
            }
        }
        if received
            .flags
            .intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC)
        {
            return Err(VmmLinkError::Cut);
        }
        if received.bytes == 0 {
            return Ok(Received::End);
        }
        let message = frame::decode(&self.buffer[..received.bytes])?;
        Ok(Received::Message(message, descriptor))
    }

    /// Asks it to power off at once. One that is gone needs no asking.
    pub fn stop(&self) {
        self.tell(&ToVmm::Stop);
    }

    /// Asks it for its counters.
    pub fn ask_stats(&self) {
        self.tell(&ToVmm::Stats);
    }

    /// What cannot be sent is for nobody: the VMM is gone.
    fn tell(&self, message: &ToVmm) {
        let packet = frame::encode_packet(message, MAX_PACKET);
        let packet = packet.expect("a message without content is no longer than a packet");
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        let _ = send(&self.socket, &packet, flags);
    }
}

#[cfg(test)]
#[path = "vmm_link_test.rs"]
mod tests;
