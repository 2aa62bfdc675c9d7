//! What a child that becomes an app's program tells the agent on its way there.
//!
//! One `SOCK_SEQPACKET` pair for each start, a packet a message: a tag byte, then its content. Both ends close on exec, so that
//! the end of the conversation without a failure means that the program runs.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use bulkhead_protocol::agent::MAX_REASON;
use rustix::io::{Errno, Result};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, send, sendmsg, socketpair,
};

use crate::reason::Reason;

const TERMINAL: u8 = b't';
const EXEC: u8 = b'x';
const ROOT_FAILED: u8 = b'r';
const FAILED: u8 = b'f';

/// Longest packet: a tag and a reason.
const MAX_PACKET: usize = 1 + MAX_REASON;

/// The child's end.
#[derive(Debug)]
pub struct Reporter(OwnedFd);

/// The agent's end.
#[derive(Debug)]
pub struct Reports(OwnedFd);

/// A message of the child.
#[derive(Debug)]
pub enum Report {
    /// The host's side of the process's terminal.
    Terminal(OwnedFd),
    /// The app's root is complete, and `execve` comes next at this guest time.
    Exec {
        /// `CLOCK_MONOTONIC`.
        ns: u64,
    },
    /// The app's root cannot be made: no process can run in it.
    RootFailed(Reason),
    /// The app's root is complete, but this process cannot run.
    Failed(Reason),
}

/// Makes both ends.
///
/// # Errors
/// Without free descriptors.
pub fn pair() -> Result<(Reporter, Reports)> {
    let (ours, theirs) = socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
        None,
    )?;
    Ok((Reporter(theirs), Reports(ours)))
}

impl Reporter {
    /// Leaves the numbers below this one to others.
    ///
    /// # Errors
    /// Without free descriptors.
    pub fn move_to(&mut self, number: i32) -> Result<()> {
        self.0 = rustix::io::fcntl_dupfd_cloexec(&self.0, number)?;
        Ok(())
    }

    /// See [`Report::Terminal`].
    ///
    /// # Errors
    /// What the kernel says.
    pub fn terminal(&self, master: &OwnedFd) -> Result<()> {
        let descriptors = [master.as_fd()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        control.push(SendAncillaryMessage::ScmRights(&descriptors));
        sendmsg(
            &self.0,
            &[IoSlice::new(&[TERMINAL])],
            &mut control,
            SendFlags::empty(),
        )?;
        Ok(())
    }

    /// See [`Report::Exec`].
    pub fn exec(&self, ns: u64) {
        self.packet(EXEC, &ns.to_le_bytes());
    }

    /// See [`Report::RootFailed`].
    pub fn root_failed(&self, reason: &Reason) {
        self.packet(ROOT_FAILED, reason.as_bytes());
    }

    /// See [`Report::Failed`].
    pub fn failed(&self, reason: &Reason) {
        self.packet(FAILED, reason.as_bytes());
    }

    fn packet(&self, tag: u8, content: &[u8]) {
        let mut packet = vec![tag];
        packet.extend_from_slice(content);
        // A handful of packets fits in any socket's buffer, and an agent that is gone needs no report.
        let _ = send(&self.0, &packet, SendFlags::NOSIGNAL);
    }
}

/// What [`Reports::next`] found.
#[derive(Debug)]
pub enum Next {
    /// A message.
    Report(Report),
    /// Nothing yet.
    Later,
    /// The child runs its program, or is gone.
    End,
}

impl Reports {
    /// Takes the next message, without waiting.
    pub fn next(&self) -> Next {
        let mut buffer = [0; MAX_PACKET];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let received = recvmsg(
            &self.0,
            &mut [IoSliceMut::new(&mut buffer)],
            &mut control,
            RecvFlags::CMSG_CLOEXEC,
        );
        let length = match received {
            Ok(message) => message.bytes,
            Err(Errno::AGAIN | Errno::INTR) => return Next::Later,
            Err(_) => 0,
        };
        let descriptor = control.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
            _ => None,
        });
        let Some((&tag, content)) = buffer[..length].split_first() else {
            return Next::End;
        };
        parse(tag, content, descriptor).map_or(Next::End, Next::Report)
    }
}

fn parse(tag: u8, content: &[u8], descriptor: Option<OwnedFd>) -> Option<Report> {
    let reason = || Reason::truncated(&String::from_utf8_lossy(content));
    match tag {
        TERMINAL => descriptor.map(Report::Terminal),
        EXEC => Some(Report::Exec {
            ns: u64::from_le_bytes(content.try_into().ok()?),
        }),
        ROOT_FAILED => Some(Report::RootFailed(reason())),
        FAILED => Some(Report::Failed(reason())),
        _ => None,
    }
}

impl AsFd for Reports {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::{Next, Reason, Report, pair};

    #[test]
    fn reports_arrive_in_order_and_then_the_end() {
        let (reporter, reports) = pair().unwrap();
        assert!(matches!(reports.next(), Next::Later));
        let (mut ours, theirs) = std::io::pipe().unwrap();
        reporter.terminal(&theirs.into()).unwrap();
        reporter.exec(u64::MAX - 1);
        reporter.failed(&Reason::truncated("no é"));
        drop(reporter);
        let Next::Report(Report::Terminal(descriptor)) = reports.next() else {
            panic!()
        };
        rustix::io::write(&descriptor, b"x").unwrap();
        drop(descriptor);
        let mut text = String::new();
        ours.read_to_string(&mut text).unwrap();
        assert_eq!(text, "x");
        assert!(matches!(reports.next(), Next::Report(Report::Exec { ns }) if ns == u64::MAX - 1));
        assert!(matches!(reports.next(), Next::Report(Report::Failed(r)) if r.as_str() == "no é"));
        assert!(matches!(reports.next(), Next::End));
    }
}
