//! The one place where the agent waits.

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};

use bulkhead_protocol::metadata::RequestId;
use bulkhead_protocol::plan::ProcessId;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::io::{Errno, Result};

/// Events taken at a time.
const BATCH: usize = 64;

/// What a descriptor is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Token {
    /// The host.
    Connection,
    /// Children that ended.
    Children,
    /// News of a child on its way to its program.
    Reports(ProcessId),
    /// Standard input of a process.
    Stdin(ProcessId),
    /// Standard output.
    Stdout(ProcessId),
    /// Standard error.
    Stderr(ProcessId),
    /// Clients of the metadata service that come.
    Metadata,
    /// One of them.
    MetadataClient(RequestId),
    /// What a process says of itself.
    Notify(ProcessId),
    /// Block devices.
    Damage,
}

/// Bits of a token that say which kind it is.
const KIND_BITS: u32 = 4;

impl Token {
    fn encode(self) -> u64 {
        let (kind, number) = match self {
            Self::Connection => (0, 0),
            Self::Children => (1, 0),
            Self::Reports(process) => (2, process.0),
            Self::Stdin(process) => (3, process.0),
            Self::Stdout(process) => (4, process.0),
            Self::Stderr(process) => (5, process.0),
            Self::Metadata => (6, 0),
            Self::MetadataClient(request) => (7, request.0),
            Self::Notify(process) => (8, process.0),
            Self::Damage => (9, 0),
        };
        u64::from(number) << KIND_BITS | kind
    }

    fn decode(bits: u64) -> Option<Self> {
        let number = u32::try_from(bits >> KIND_BITS).ok()?;
        let process = ProcessId(number);
        Some(match bits & ((1 << KIND_BITS) - 1) {
            0 => Self::Connection,
            1 => Self::Children,
            2 => Self::Reports(process),
            3 => Self::Stdin(process),
            4 => Self::Stdout(process),
            5 => Self::Stderr(process),
            6 => Self::Metadata,
            7 => Self::MetadataClient(RequestId(number)),
            8 => Self::Notify(process),
            9 => Self::Damage,
            _ => return None,
        })
    }
}

/// Level-triggered epoll.
#[derive(Debug)]
pub struct Poller(OwnedFd);

impl Poller {
    /// Watches nothing.
    ///
    /// # Errors
    /// Without free descriptors.
    pub fn new() -> Result<Self> {
        epoll::create(CreateFlags::CLOEXEC).map(Self)
    }

    /// Begins to watch.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn add(&self, fd: impl AsFd, token: Token, interest: EventFlags) -> Result<()> {
        epoll::add(&self.0, fd, EventData::new_u64(token.encode()), interest)
    }

    /// Watches for something else.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn change(&self, fd: impl AsFd, token: Token, interest: EventFlags) -> Result<()> {
        epoll::modify(&self.0, fd, EventData::new_u64(token.encode()), interest)
    }

    /// Watches no more. Needed before a descriptor is closed: a child that has not reached its program yet holds a copy, and what
    /// is watched is the file behind it.
    pub fn remove(&self, fd: impl AsFd) {
        // One that is not watched is as good.
        let _ = epoll::delete(&self.0, fd);
    }

    /// Waits at most `timeout_ns`; for ever without.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn wait(&self, timeout_ns: Option<u64>) -> Result<Vec<(Token, EventFlags)>> {
        let timeout = timeout_ns.map(timespec);
        let mut buffer = [MaybeUninit::uninit(); BATCH];
        match epoll::wait(&self.0, &mut buffer, timeout.as_ref()) {
            Ok((events, _)) => Ok(events
                .iter()
                .filter_map(|event| Some((Token::decode(event.data.u64())?, event.flags)))
                .collect()),
            Err(Errno::INTR) => Ok(Vec::new()),
            Err(errno) => Err(errno),
        }
    }
}

fn timespec(ns: u64) -> Timespec {
    const SECOND: u64 = 1_000_000_000;
    Timespec {
        tv_sec: i64::try_from(ns / SECOND).unwrap_or(i64::MAX),
        tv_nsec: i64::try_from(ns % SECOND).unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use bulkhead_protocol::metadata::RequestId;
    use bulkhead_protocol::plan::ProcessId;

    use super::Token;

    #[test]
    fn tokens_survive_the_kernel() {
        let id = ProcessId(u32::MAX);
        for token in [
            Token::Connection,
            Token::Children,
            Token::Reports(id),
            Token::Stdin(id),
            Token::Stdout(ProcessId(0)),
            Token::Stderr(id),
            Token::Metadata,
            Token::MetadataClient(RequestId(u32::MAX)),
            Token::Notify(id),
        ] {
            assert_eq!(Token::decode(token.encode()), Some(token));
        }
        assert_eq!(Token::decode(u64::MAX), None);
    }
}
