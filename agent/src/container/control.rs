//! The socket to supervisor and relay: one message a packet, descriptors beside it.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};

use bulkhead_protocol::container::ContainerSpec;
use bulkhead_protocol::frame;
use bulkhead_protocol::mutable::Arrival;
use bulkhead_protocol::vmm::{FromVmm, MAX_FDS, MAX_PACKET};
use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

use super::ContainerError;

/// Our end.
pub(super) struct Control(OwnedFd);

impl Control {
    pub(super) fn new(socket: OwnedFd) -> Self {
        Self(socket)
    }

    /// Waits for the supervisor's one message.
    pub(super) fn receive(&self) -> Result<(ContainerSpec, Vec<OwnedFd>), ContainerError> {
        let received = self.take(RecvFlags::empty());
        let (bytes, files) = received.map_err(|errno| ContainerError::Control(errno.into()))?;
        Ok((frame::decode(&bytes)?, files))
    }

    fn take(&self, flags: RecvFlags) -> Result<(Vec<u8>, Vec<OwnedFd>), Errno> {
        let mut bytes = vec![0; MAX_PACKET];
        let mut space = vec![MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let received = rustix::io::retry_on_intr(|| {
            recvmsg(
                &self.0,
                &mut [IoSliceMut::new(&mut bytes)],
                &mut ancillary,
                flags | RecvFlags::CMSG_CLOEXEC,
            )
        })?;
        let mut files = Vec::new();
        for message in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(received) = message {
                files.extend(received);
            }
        }
        bytes.truncate(received.bytes);
        Ok((bytes, files))
    }

    /// The files of an app that has been added, if they have come.
    pub(super) fn receive_arrival(
        &self,
    ) -> Result<Option<(Arrival, Vec<OwnedFd>)>, ContainerError> {
        match self.take(RecvFlags::DONTWAIT) {
            Err(Errno::AGAIN) => Ok(None),
            Err(errno) => Err(ContainerError::Control(errno.into())),
            // What wakes nobody up any more ends nothing either: the relay does that.
            Ok((bytes, _)) if bytes.is_empty() => Ok(None),
            Ok((bytes, files)) => Ok(Some((frame::decode(&bytes)?, files))),
        }
    }

    pub(super) fn send(&self, message: &FromVmm, file: Option<BorrowedFd<'_>>) -> io::Result<()> {
        let bytes = frame::encode_packet(message, MAX_PACKET).map_err(io::Error::other)?;
        let files = file.as_slice();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        if !files.is_empty() {
            let pushed = ancillary.push(SendAncillaryMessage::ScmRights(files));
            debug_assert!(pushed, "there is space for one");
        }
        let data = [IoSlice::new(&bytes)];
        sendmsg(&self.0, &data, &mut ancillary, SendFlags::NOSIGNAL)?;
        Ok(())
    }
}
