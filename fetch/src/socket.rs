//! What is asked of the fetcher, and how it answers.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use bulkhead_protocol::bounded::{List, Text};
use bulkhead_protocol::fetch::{DESCRIPTORS, FromFetcher, MAX_PACKET, MAX_PENDING, ToFetcher};
use bulkhead_protocol::frame;
use bulkhead_protocol::import::{Chain, MAX_CAUSES};
use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendFlags, recvmsg, sendmsg,
};
use tokio::sync::mpsc;

/// A connected `SOCK_SEQPACKET` socket.
#[derive(Debug, Clone)]
pub(crate) struct Socket(Arc<OwnedFd>);

/// Requests, each with the file that is beside it.
pub(crate) type Requests = mpsc::Receiver<(ToFetcher, Option<OwnedFd>)>;

impl Socket {
    pub(crate) fn new(socket: OwnedFd) -> Self {
        Self(Arc::new(socket))
    }

    pub(crate) fn tell(&self, message: &FromFetcher) -> io::Result<()> {
        let packet = frame::encode_packet(message, MAX_PACKET).map_err(io::Error::other)?;
        let mut nothing = SendAncillaryBuffer::default();
        let bytes = [IoSlice::new(&packet)];
        sendmsg(&*self.0, &bytes, &mut nothing, SendFlags::NOSIGNAL)?;
        Ok(())
    }

    /// Waits for the next request; none when nobody asks any more, or what is asked makes no sense.
    fn hear(&self) -> Option<(ToFetcher, Option<OwnedFd>)> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let mut packet = vec![0; MAX_PACKET];
        let received = loop {
            let mut buffers = [IoSliceMut::new(&mut packet)];
            let flags = RecvFlags::CMSG_CLOEXEC;
            match recvmsg(&*self.0, &mut buffers, &mut ancillary, flags) {
                Ok(received) => break received,
                Err(Errno::INTR) => {}
                Err(_) => return None,
            }
        };
        let mut file = None;
        for message in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(files) = message {
                file = files.last();
            }
        }
        let cut = ReturnFlags::TRUNC | ReturnFlags::CTRUNC;
        if received.bytes == 0 || received.flags.intersects(cut) {
            return None;
        }
        let request = frame::decode(&packet[..received.bytes]).ok()?;
        Some((request, file))
    }
}

/// Hears requests in a thread of its own, for the socket has no asynchronous side.
pub(crate) fn requests(socket: &Socket) -> Requests {
    let (sender, receiver) = mpsc::channel(MAX_PENDING);
    let socket = socket.clone();
    std::thread::spawn(move || {
        while let Some(request) = socket.hear() {
            if sender.blocking_send(request).is_err() {
                return;
            }
        }
    });
    receiver
}

/// An error and its causes, to be told.
pub(crate) fn chain(error: &dyn std::error::Error) -> Chain {
    let causes = std::iter::successors(Some(error), |error| error.source());
    let mut texts: Vec<String> = causes.map(ToString::to_string).collect();
    // Several of the crates below say their cause in their own words too.
    texts.dedup();
    let texts = texts.iter().map(|text| Text::truncated(text));
    List::try_from(texts.take(MAX_CAUSES).collect::<Vec<_>>()).expect("no more than the bound")
}
