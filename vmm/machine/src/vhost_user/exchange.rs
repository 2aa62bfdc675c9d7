//! One request and its answer (QEMU, `docs/interop/vhost-user.rst`, "Message Specification").
//!
//! The other side may be in a guest's hands. What it sends is read to the last byte that an answer has and no further, until a
//! time that it cannot put off, and no descriptor of it is ever taken. The frontend of the `vhost` crate is not used for
//! this: it repeats a read that has timed out without end, and does not look at the length that an answer claims.

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::BorrowedFd;
use std::os::unix::net::UnixStream;
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvFlags, ReturnFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};

/// Request, flags, length of the body: 32 bits each, in the host's byte order as everything here.
const HEADER_BYTES: usize = 12;

/// All answers that we ask for have a body of this length.
const ANSWER_BYTES: usize = 8;

const VERSION: u32 = 1;
const VERSION_MASK: u32 = 3;
const IS_ANSWER: u32 = 1 << 2;
const NEEDS_ANSWER: u32 = 1 << 3;

/// Descriptors beside one request: one for each range of guest memory.
const MAX_DESCRIPTORS: usize = 8;

/// The requests that we make, by their numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the specification's names")]
pub enum Request {
    GetFeatures = 1,
    SetFeatures = 2,
    SetOwner = 3,
    SetMemTable = 5,
    SetVringNum = 8,
    SetVringAddr = 9,
    SetVringBase = 10,
    GetVringBase = 11,
    SetVringKick = 12,
    SetVringCall = 13,
    GetProtocolFeatures = 15,
    SetProtocolFeatures = 16,
    SetVringEnable = 18,
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Request::GetFeatures => "GET_FEATURES",
            Request::SetFeatures => "SET_FEATURES",
            Request::SetOwner => "SET_OWNER",
            Request::SetMemTable => "SET_MEM_TABLE",
            Request::SetVringNum => "SET_VRING_NUM",
            Request::SetVringAddr => "SET_VRING_ADDR",
            Request::SetVringBase => "SET_VRING_BASE",
            Request::GetVringBase => "GET_VRING_BASE",
            Request::SetVringKick => "SET_VRING_KICK",
            Request::SetVringCall => "SET_VRING_CALL",
            Request::GetProtocolFeatures => "GET_PROTOCOL_FEATURES",
            Request::SetProtocolFeatures => "SET_PROTOCOL_FEATURES",
            Request::SetVringEnable => "SET_VRING_ENABLE",
        })
    }
}

impl Request {
    /// The failure of this request.
    pub(super) fn failed(self, source: Failure) -> VhostUserError {
        VhostUserError {
            request: self,
            source,
        }
    }
}

/// A conversation that failed: the device runs no more.
#[derive(Debug, thiserror::Error)]
#[error("{request} failed")]
pub struct VhostUserError {
    /// What was asked for.
    pub request: Request,
    /// What happened.
    pub source: Failure,
}

/// What happened to a request.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The host does not let us speak.
    #[error("cannot use the socket")]
    Socket(#[from] io::Error),
    /// The other side is slow, or says nothing at all.
    #[error("there was no whole answer in time")]
    Late,
    /// The other side is gone.
    #[error("the other side has hung up")]
    HungUp,
    /// No answer has descriptors; these are closed.
    #[error("descriptors came with the answer")]
    Descriptors,
    /// Nonsense, or the answer to another request.
    #[error("the answer is one to request {request}, with flags {flags:#x} and {length} bytes")]
    Answer {
        /// The number that it has.
        request: u32,
        /// And its flags.
        flags: u32,
        /// And the length of its body.
        length: u32,
    },
    /// The other side cannot do it.
    #[error("the other side refuses it with {0}")]
    Refused(u64),
    /// The other side lacks features that the driver has been offered, or that we need.
    #[error("features {missing:#x} are missing")]
    Features {
        /// Those.
        missing: u64,
    },
    /// No ring has such a place.
    #[error("the answer is place {place} of queue {queue}")]
    Place {
        /// The queue's number in the answer.
        queue: u32,
        /// The place in the answer.
        place: u32,
    },
    /// What is given away was checked before: this is our own error.
    #[error("address {0:#x} is outside of guest memory that can be shared")]
    Address(u64),
}

impl From<Errno> for Failure {
    fn from(errno: Errno) -> Self {
        match errno {
            Errno::PIPE | Errno::CONNRESET => Failure::HungUp,
            other => Failure::Socket(other.into()),
        }
    }
}

/// Requests that must all be answered by one time.
pub(super) struct Exchange<'a> {
    /// To the other side.
    pub(super) socket: &'a UnixStream,
    /// When the last answer must be there.
    pub(super) deadline: Instant,
}

impl Exchange<'_> {
    /// A request that is not answered.
    pub(super) fn tell(&self, request: Request, body: &[u8]) -> Result<(), VhostUserError> {
        let sent = self.send(request, 0, body, &[]);
        sent.map_err(|source| request.failed(source))
    }

    /// A request for something.
    pub(super) fn ask(
        &self,
        request: Request,
        body: &[u8],
    ) -> Result<[u8; ANSWER_BYTES], VhostUserError> {
        let sent = self.send(request, 0, body, &[]);
        let answer = sent.and_then(|()| self.receive(request));
        answer.map_err(|source| request.failed(source))
    }

    /// A request whose answer is that it was carried out.
    pub(super) fn order(
        &self,
        request: Request,
        body: &[u8],
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<(), VhostUserError> {
        let sent = self.send(request, NEEDS_ANSWER, body, descriptors);
        let answer = sent.and_then(|()| self.receive(request));
        let done = answer.and_then(|answer| match u64::from_ne_bytes(answer) {
            0 => Ok(()),
            other => Err(Failure::Refused(other)),
        });
        done.map_err(|source| request.failed(source))
    }

    fn send(
        &self,
        request: Request,
        flags: u32,
        body: &[u8],
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<(), Failure> {
        let length = u32::try_from(body.len()).map_err(io::Error::other)?;
        let header = [request as u32, VERSION | flags, length].map(u32::to_ne_bytes);
        let message = [header.as_flattened(), body].concat();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
        loop {
            let mut ancillary = SendAncillaryBuffer::new(&mut space);
            let rights = SendAncillaryMessage::ScmRights(descriptors);
            if !descriptors.is_empty() && !ancillary.push(rights) {
                return Err(Failure::Socket(io::ErrorKind::InvalidInput.into()));
            }
            let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
            match sendmsg(
                self.socket,
                &[IoSlice::new(&message)],
                &mut ancillary,
                flags,
            ) {
                Ok(sent) if sent == message.len() => return Ok(()),
                // A stream of the host takes a short message whole or not at all.
                Ok(_) => return Err(Failure::Socket(io::ErrorKind::WriteZero.into())),
                Err(Errno::AGAIN) => self.wait(PollFlags::OUT)?,
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    fn receive(&self, request: Request) -> Result<[u8; ANSWER_BYTES], Failure> {
        let mut header = [[0; 4]; HEADER_BYTES / 4];
        self.read(header.as_flattened_mut())?;
        let [answered, flags, length] = header.map(u32::from_ne_bytes);
        let right = answered == request as u32
            && flags & (VERSION_MASK | IS_ANSWER) == VERSION | IS_ANSWER
            && usize::try_from(length) == Ok(ANSWER_BYTES);
        if !right {
            return Err(Failure::Answer {
                request: answered,
                flags,
                length,
            });
        }
        let mut body = [0; ANSWER_BYTES];
        self.read(&mut body)?;
        Ok(body)
    }

    fn read(&self, bytes: &mut [u8]) -> Result<(), Failure> {
        let mut filled = 0;
        while filled < bytes.len() {
            let mut parts = [IoSliceMut::new(&mut bytes[filled..])];
            // Without room for descriptors the kernel closes them and says so.
            let mut none = RecvAncillaryBuffer::default();
            match recvmsg(self.socket, &mut parts, &mut none, RecvFlags::DONTWAIT) {
                Ok(received) if received.flags.contains(ReturnFlags::CTRUNC) => {
                    return Err(Failure::Descriptors);
                }
                Ok(received) if received.bytes == 0 => return Err(Failure::HungUp),
                Ok(received) => filled += received.bytes,
                Err(Errno::AGAIN) => self.wait(PollFlags::IN)?,
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(())
    }

    fn wait(&self, events: PollFlags) -> Result<(), Failure> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        let left = Timespec::try_from(left).map_err(io::Error::other)?;
        let mut polled = [PollFd::new(self.socket, events)];
        match poll(&mut polled, Some(&left)) {
            Ok(0) => Err(Failure::Late),
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }
}
