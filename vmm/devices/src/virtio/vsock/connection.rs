//! One stream between a guest port and a host socket.
//!
//! Invariant: what is held for the host is at most the window that the guest was offered. Each direction ends by
//! itself; the stream is over when both are and nothing is held.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, Shutdown, recv, send, shutdown as shut_down};

use super::credit::{ReceiveCredit, SendCredit};
use super::packet::{Header, Operation, TYPE_STREAM, shutdown};
use super::watch::{Change, Interest, Readiness};
use super::{CONNECTION_BUFFER, HOST_CID};

/// The name of a stream; the guest can have each only once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) guest_port: u32,
    pub(super) host_port: u32,
}

/// What to do with a connection after an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Keep,
    /// Forget it; the guest knows.
    Close,
    /// Forget it and tell the guest by RST.
    Reset,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The host asked; the guest has not been told yet, or has not answered.
    Requested {
        sent: bool,
    },
    /// The guest asked; its answer waits for a buffer.
    Accepted,
    Established,
    /// The guest reset the stream after it had said all; only the buffer's rest is left.
    Orphaned,
}

pub(super) struct Connection {
    // Fixed configuration.
    pub(super) key: Key,
    // Runtime glue.
    stream: UnixStream,
    watched: Option<Interest>,
    /// In the device's list of connections whose interest may have changed.
    pub(super) listed: bool,
    /// In the device's list of connections that want to send.
    pub(super) queued: bool,
    // Volatile state.
    phase: Phase,
    send_credit: SendCredit,
    receive_credit: ReceiveCredit,
    /// On its way to the host.
    buffer: VecDeque<u8>,
    /// The socket may have something to read.
    readable: bool,
    /// The host will send no more, or the guest wants no more.
    input_over: bool,
    /// The host takes no more.
    output_over: bool,
    /// Epoll has reported the peer's end.
    hung_up: bool,
    credit_update_due: bool,
    credit_requested: bool,
    guest_shutdown: u32,
    told_shutdown: u32,
}

impl Connection {
    /// A stream that the guest asked for by `request`.
    pub(super) fn accepted(key: Key, stream: UnixStream, request: &Header) -> Self {
        let mut connection = Self::new(key, stream, Phase::Accepted);
        connection.update_credit(request);
        connection
    }

    /// A stream that the host asks for.
    pub(super) fn requested(key: Key, stream: UnixStream) -> Self {
        Self::new(key, stream, Phase::Requested { sent: false })
    }

    fn new(key: Key, stream: UnixStream, phase: Phase) -> Self {
        Connection {
            key,
            stream,
            watched: None,
            listed: false,
            queued: false,
            phase,
            send_credit: SendCredit::default(),
            receive_credit: ReceiveCredit::default(),
            buffer: VecDeque::new(),
            readable: false,
            input_over: false,
            output_over: false,
            hung_up: false,
            credit_update_due: false,
            credit_requested: false,
            guest_shutdown: 0,
            told_shutdown: 0,
        }
    }

    /// Bytes held for the host.
    pub(super) fn buffered(&self) -> usize {
        self.buffer.len()
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }

    /// Handles a packet of the guest; `payload` is that of a data packet and has the header's length.
    pub(super) fn receive(&mut self, header: &Header, payload: &[u8]) -> Verdict {
        self.update_credit(header);
        match (header.operation, self.phase) {
            (Operation::Reset, _) => return self.reset_by_guest(),
            (Operation::Response, Phase::Requested { sent: true }) => {
                self.phase = Phase::Established;
            }
            (Operation::Data, Phase::Established) => return self.take_data(header.length, payload),
            (Operation::Shutdown, Phase::Established) => self.guest_shutdown(header.flags),
            (Operation::CreditRequest, Phase::Established) => self.credit_update_due = true,
            (Operation::CreditUpdate, Phase::Established) => {}
            // Linux knows its stream as established before it has our answer.
            (Operation::CreditUpdate | Operation::CreditRequest, Phase::Accepted) => {}
            _ => return Verdict::Reset,
        }
        self.verdict()
    }

    /// Handles what epoll said.
    pub(super) fn ready(&mut self, readiness: Readiness) -> Verdict {
        self.hung_up |= readiness.hangup;
        self.readable |= readiness.readable || readiness.hangup;
        if readiness.hangup {
            if matches!(self.phase, Phase::Requested { .. }) {
                return Verdict::Reset; // Who asked for the stream has gone.
            }
            self.end_output();
        } else if readiness.writable {
            self.flush();
        }
        self.verdict()
    }

    /// Whether [`Connection::next_packet`] may have something.
    pub(super) fn wants_to_send(&self) -> bool {
        match self.phase {
            Phase::Requested { sent } => !sent,
            Phase::Accepted => true,
            Phase::Orphaned => false,
            Phase::Established => {
                let data = self.readable && !self.input_over;
                let credit = self.send_credit.available() > 0 || !self.credit_requested;
                (data && credit) || self.credit_update_due || self.shutdown_due()
            }
        }
    }

    /// The next packet for the guest, its payload in the first bytes of `space`.
    pub(super) fn next_packet(&mut self, guest_cid: u32, space: &mut [u8]) -> Option<Header> {
        let (operation, length, flags) = match self.phase {
            Phase::Requested { sent: false } => {
                self.phase = Phase::Requested { sent: true };
                (Operation::Request, 0, 0)
            }
            Phase::Accepted => {
                self.phase = Phase::Established;
                (Operation::Response, 0, 0)
            }
            Phase::Established => self.next_established(space)?,
            Phase::Requested { sent: true } | Phase::Orphaned => return None,
        };
        self.credit_update_due = false; // Every header says it.
        Some(Header {
            source_cid: HOST_CID.into(),
            destination_cid: guest_cid.into(),
            source_port: self.key.host_port,
            destination_port: self.key.guest_port,
            length,
            socket_type: TYPE_STREAM,
            operation,
            flags,
            buf_alloc: CONNECTION_BUFFER,
            fwd_cnt: self.receive_credit.tell(),
        })
    }

    fn next_established(&mut self, space: &mut [u8]) -> Option<(Operation, u32, u32)> {
        if self.readable && !self.input_over {
            let credit = self.send_credit.available();
            if credit == 0 && !self.credit_requested {
                self.credit_requested = true;
                return Some((Operation::CreditRequest, 0, 0));
            }
            let length = self.read(credit, space);
            if length > 0 {
                self.send_credit.spend(length);
                return Some((Operation::Data, length, 0));
            }
        }
        if self.shutdown_due() {
            self.told_shutdown = self.own_shutdown();
            return Some((Operation::Shutdown, 0, self.told_shutdown));
        }
        self.credit_update_due
            .then_some((Operation::CreditUpdate, 0, 0))
    }

    /// Reads from the socket what the guest has room for; 0 if there is nothing.
    fn read(&mut self, credit: u32, space: &mut [u8]) -> u32 {
        let room = usize::try_from(credit)
            .unwrap_or(usize::MAX)
            .min(space.len());
        let Some(space) = space.get_mut(..room).filter(|space| !space.is_empty()) else {
            return 0;
        };
        match retry(|| recv(&self.stream, &mut *space, RecvFlags::DONTWAIT)) {
            Ok((_, 0)) => self.input_over = true,
            Ok((_, length)) => return u32::try_from(length).unwrap_or(0),
            Err(Errno::AGAIN) => self.readable = false,
            Err(_) => {
                self.input_over = true;
                self.end_output();
            }
        }
        0
    }

    fn take_data(&mut self, length: u32, payload: &[u8]) -> Verdict {
        let allowed = self.guest_shutdown & shutdown::SEND == 0;
        if !allowed || !self.receive_credit.accept(length) {
            return Verdict::Reset;
        }
        if self.output_over {
            self.forwarded(payload.len()); // Nobody is there to take it; the guest has been told, or will be.
            return self.verdict();
        }
        let sent = if self.buffer.is_empty() {
            self.send(payload)
        } else {
            0
        };
        if !self.output_over {
            self.buffer.extend(payload.get(sent..).unwrap_or_default());
        }
        self.verdict()
    }

    /// Hands bytes to the socket and returns how many it took.
    fn send(&mut self, data: &[u8]) -> usize {
        if data.is_empty() {
            return 0;
        }
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        match retry(|| send(&self.stream, data, flags)) {
            Ok(sent) => {
                self.forwarded(sent);
                sent
            }
            Err(Errno::AGAIN) => 0,
            Err(_) => {
                self.forwarded(data.len()); // Lost, and no more the guest's to wait for.
                self.end_output();
                0
            }
        }
    }

    fn flush(&mut self) {
        while !self.buffer.is_empty() && !self.output_over {
            let mut buffer = std::mem::take(&mut self.buffer);
            let sent = self.send(buffer.as_slices().0);
            buffer.drain(..sent);
            self.buffer = buffer;
            if self.output_over {
                self.discard();
            }
            if sent == 0 {
                break;
            }
        }
    }

    fn forwarded(&mut self, bytes: usize) {
        self.receive_credit
            .forward(u32::try_from(bytes).unwrap_or(u32::MAX));
        self.credit_update_due |= self.receive_credit.is_stale();
    }

    /// The host takes no more.
    fn end_output(&mut self) {
        self.output_over = true;
        self.discard();
    }

    fn discard(&mut self) {
        self.buffer = VecDeque::new();
    }

    fn guest_shutdown(&mut self, flags: u32) {
        self.guest_shutdown |= flags & shutdown::BOTH;
        if self.guest_shutdown & shutdown::RECEIVE != 0 {
            self.refuse_input();
        }
    }

    /// Tells the host's program that nobody reads, and drops what it has sent: a socket closed with unread bytes
    /// would end as an error at its peer, not as the end of file that this is.
    fn refuse_input(&mut self) {
        self.input_over = true;
        // Fails only where the socket is at its end already.
        let _ = shut_down(&self.stream, Shutdown::Read);
        let mut unread = [0; 4096];
        // After the shutdown nothing is added: the socket's own buffer bounds this.
        while retry(|| recv(&self.stream, &mut unread, RecvFlags::DONTWAIT))
            .is_ok_and(|(_, length)| length > 0)
        {}
    }

    fn reset_by_guest(&mut self) -> Verdict {
        // Linux resets a stream that it closed in order when the rest took the host more than 8 seconds.
        let said_all = self.guest_shutdown & shutdown::SEND != 0;
        if said_all && !self.buffer.is_empty() {
            self.phase = Phase::Orphaned;
            return self.verdict();
        }
        Verdict::Close
    }

    /// Carries out a half-close that waited for the buffer, and says whether the stream is over.
    fn verdict(&mut self) -> Verdict {
        if !self.buffer.is_empty() {
            return Verdict::Keep;
        }
        self.buffer = VecDeque::new(); // An idle stream keeps no memory.
        if self.phase == Phase::Orphaned {
            return Verdict::Close;
        }
        if self.guest_shutdown == shutdown::BOTH {
            return Verdict::Reset;
        }
        if self.guest_shutdown & shutdown::SEND != 0 && !self.output_over {
            self.output_over = true;
            let _ = shut_down(&self.stream, Shutdown::Write);
        }
        Verdict::Keep
    }

    /// What the guest should know of the host's side.
    fn own_shutdown(&self) -> u32 {
        let no_more_sending = if self.input_over { shutdown::SEND } else { 0 };
        let no_more_receiving = if self.output_over {
            shutdown::RECEIVE
        } else {
            0
        };
        no_more_sending | no_more_receiving
    }

    /// A guest that has closed waits for RST alone.
    fn shutdown_due(&self) -> bool {
        self.guest_shutdown != shutdown::BOTH && self.own_shutdown() != self.told_shutdown
    }

    fn update_credit(&mut self, header: &Header) {
        self.send_credit.update(header.buf_alloc, header.fwd_cnt);
        if self.send_credit.available() > 0 {
            self.credit_requested = false;
        }
    }

    /// The change that brings the epoll set up to date, if any.
    pub(super) fn change(&mut self) -> Option<Change> {
        let wanted = (!self.hung_up).then_some(Interest {
            readable: !self.readable && !self.input_over,
            writable: !self.buffer.is_empty(),
        });
        let change = match (self.watched, wanted) {
            (None, Some(new)) => Some(Change::Add(new)),
            (Some(old), Some(new)) if old != new => Some(Change::Modify(new)),
            (Some(_), None) => Some(Change::Remove),
            _ => None,
        };
        self.watched = wanted;
        change
    }

    /// The socket, if it is still in the epoll set: it must leave the set before it is closed.
    pub(super) fn into_watched(self) -> Option<UnixStream> {
        self.watched.map(|_| self.stream)
    }
}

/// Repeats a system call that a signal interrupted.
fn retry<T>(mut call: impl FnMut() -> rustix::io::Result<T>) -> rustix::io::Result<T> {
    loop {
        match call() {
            Err(Errno::INTR) => {}
            other => return other,
        }
    }
}

#[cfg(test)]
#[path = "connection_test.rs"]
mod tests;
