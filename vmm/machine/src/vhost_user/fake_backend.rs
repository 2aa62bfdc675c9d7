//! The other side of a conversation, for tests: it does as it should for as long as its test wants.

use std::io::{IoSlice, IoSliceMut, Read};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags,
};

pub(crate) const GET_FEATURES: u32 = 1;
pub(crate) const SET_VRING_BASE: u32 = 10;
pub(crate) const GET_VRING_BASE: u32 = 11;
pub(crate) const SET_VRING_CALL: u32 = 13;
pub(crate) const GET_PROTOCOL_FEATURES: u32 = 15;
pub(crate) const SET_VRING_ENABLE: u32 = 18;

/// Version 1.
const ANSWER_FLAGS: u32 = 0b101;
const NEEDS_ANSWER: u32 = 0b1000;

/// Where it says that queue 0 stands; the others stand one further each.
pub(crate) const PLACE: u32 = 7;

/// A request that it has heard.
#[derive(Debug)]
pub(crate) struct Heard {
    pub(crate) request: u32,
    flags: u32,
    pub(crate) body: Vec<u8>,
    pub(crate) descriptors: Vec<OwnedFd>,
}

impl Heard {
    /// The number at the body's start.
    pub(crate) fn word(&self, index: usize) -> u32 {
        u32::from_ne_bytes(self.body[4 * index..][..4].try_into().unwrap())
    }

    pub(crate) fn is_answered(&self) -> bool {
        let asks = [GET_FEATURES, GET_PROTOCOL_FEATURES, GET_VRING_BASE];
        self.flags & NEEDS_ANSWER != 0 || asks.contains(&self.request)
    }

    /// The right body of an answer.
    pub(crate) fn answer(&self) -> [u8; 8] {
        match self.request {
            GET_FEATURES | GET_PROTOCOL_FEATURES => [0xff; 8],
            GET_VRING_BASE => {
                let place = [self.word(0), PLACE + self.word(0)].map(u32::to_ne_bytes);
                place.as_flattened().try_into().unwrap()
            }
            _ => [0; 8],
        }
    }
}

/// A whole message.
pub(crate) fn message(request: u32, flags: u32, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap();
    let header = [request, flags, length].map(u32::to_ne_bytes);
    [header.as_flattened(), body].concat()
}

/// The answer to a request.
pub(crate) fn answer(request: u32, body: &[u8]) -> Vec<u8> {
    message(request, ANSWER_FLAGS, body)
}

pub(crate) struct FakeBackend(pub(crate) UnixStream);

impl FakeBackend {
    /// The next request; none when the VMM has hung up.
    pub(crate) fn hear(&mut self) -> Option<Heard> {
        let mut header = [[0; 4]; 3];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(8))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let mut parts = [IoSliceMut::new(header.as_flattened_mut())];
        let flags = RecvFlags::WAITALL | RecvFlags::CMSG_CLOEXEC;
        let received = rustix::net::recvmsg(&self.0, &mut parts, &mut ancillary, flags).ok()?;
        if received.bytes != 12 {
            return None;
        }
        let mut descriptors = Vec::new();
        for message in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(received) = message {
                descriptors.extend(received);
            }
        }
        let [request, flags, length] = header.map(u32::from_ne_bytes);
        let mut body = vec![0; length.try_into().unwrap()];
        self.0.read_exact(&mut body).ok()?;
        Some(Heard {
            request,
            flags,
            body,
            descriptors,
        })
    }

    /// Hears a request, and answers as it should.
    pub(crate) fn serve(&mut self) -> Option<Heard> {
        let heard = self.hear()?;
        if heard.is_answered() {
            self.say(&answer(heard.request, &heard.answer()));
        }
        Some(heard)
    }

    /// Says something, if anybody still listens.
    pub(crate) fn say(&self, bytes: &[u8]) {
        self.say_with(bytes, &[]);
    }

    pub(crate) fn say_with(&self, bytes: &[u8], descriptors: &[OwnedFd]) {
        let descriptors: Vec<_> = descriptors.iter().map(AsFd::as_fd).collect();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(8))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        if !descriptors.is_empty() {
            assert!(ancillary.push(SendAncillaryMessage::ScmRights(&descriptors)));
        }
        let bytes = [IoSlice::new(bytes)];
        let _ = rustix::net::sendmsg(&self.0, &bytes, &mut ancillary, SendFlags::NOSIGNAL);
    }
}
