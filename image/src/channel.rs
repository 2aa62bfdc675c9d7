//! One end of the socket between the store and a process that works for it.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use bulkhead_protocol::frame::{self, FrameError};
use bulkhead_protocol::import::{MAX_DESCRIPTORS, MAX_PACKET};
use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A peer that makes no sense, or is gone.
#[derive(Debug, thiserror::Error)]
pub enum ChannelError {
    /// The socket does not work.
    #[error("the socket")]
    Socket(#[from] io::Error),
    /// The peer has gone.
    #[error("it has ended without an answer")]
    End,
    /// More than any message is.
    #[error("a message of more than {MAX_PACKET} bytes or {MAX_DESCRIPTORS} descriptors")]
    Cut,
    /// No message.
    #[error("nonsense")]
    Frame(#[from] FrameError),
    /// A message that has no place here.
    #[error("{0} out of turn")]
    OutOfTurn(String),
}

impl ChannelError {
    /// The same, for another who waits.
    pub(crate) fn again(&self) -> Self {
        match self {
            Self::End => Self::End,
            Self::Cut => Self::Cut,
            other => Self::OutOfTurn(other.to_string()),
        }
    }
}

/// A connected `SOCK_SEQPACKET` socket.
#[derive(Debug)]
pub(crate) struct Channel(OwnedFd);

impl Channel {
    pub(crate) fn new(socket: OwnedFd) -> Self {
        Self(socket)
    }

    pub(crate) fn send<M: Serialize>(
        &self,
        message: &M,
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<(), ChannelError> {
        let packet = frame::encode_packet(message, MAX_PACKET)?;
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        if !descriptors.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(descriptors))
        {
            return Err(ChannelError::Cut);
        }
        let flags = SendFlags::NOSIGNAL;
        match sendmsg(&self.0, &[IoSlice::new(&packet)], &mut ancillary, flags) {
            Ok(_) => Ok(()),
            // Reset: it went while it had unread messages.
            Err(Errno::PIPE | Errno::CONNRESET) => Err(ChannelError::End),
            Err(error) => Err(io::Error::from(error).into()),
        }
    }

    /// Waits for the next message.
    pub(crate) fn receive<M: DeserializeOwned>(&self) -> Result<(M, Vec<OwnedFd>), ChannelError> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let mut packet = vec![0; MAX_PACKET];
        let received = loop {
            let mut buffers = [IoSliceMut::new(&mut packet)];
            match recvmsg(
                self.0.as_fd(),
                &mut buffers,
                &mut ancillary,
                RecvFlags::CMSG_CLOEXEC,
            ) {
                Ok(received) => break received,
                // It went while it had unread messages, which is said once; its last words are there all the same.
                Err(Errno::INTR | Errno::CONNRESET) => {}
                Err(error) => return Err(io::Error::from(error).into()),
            }
        };
        let mut descriptors = Vec::new();
        for message in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(files) = message {
                descriptors.extend(files);
            }
        }
        let cut = ReturnFlags::TRUNC | ReturnFlags::CTRUNC;
        if received.flags.intersects(cut) {
            return Err(ChannelError::Cut);
        }
        if received.bytes == 0 {
            return Err(ChannelError::End);
        }
        Ok((frame::decode(&packet[..received.bytes])?, descriptors))
    }
}
