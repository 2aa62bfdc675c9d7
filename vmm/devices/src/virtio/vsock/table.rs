//! All streams of the device, what they want to send, and what epoll should watch.
//!
//! Invariant: at most [`MAX_CONNECTIONS`] streams, [`MAX_BUFFERED_BYTES`] held and [`MAX_PENDING_RESETS`] replies,
//! whatever the guest sends.

use std::collections::{BTreeMap, VecDeque};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use super::connection::{Connection, Key, Verdict};
use super::packet::{Header, Operation, TYPE_STREAM};
use super::watch::{Change, Readiness, Token};
use super::{HOST_CID, MAX_BUFFERED_BYTES, MAX_CONNECTIONS, MAX_PENDING_RESETS};

/// A stream that the guest is to be told the end of.
#[derive(Debug, Clone, Copy)]
struct PendingReset {
    key: Key,
    socket_type: u16,
}

/// See the module docs.
#[derive(Default)]
pub(super) struct Table {
    connections: BTreeMap<Token, Connection>,
    tokens: BTreeMap<Key, Token>,
    next_token: u64,
    /// Connections that want to send, each once, in turn.
    senders: VecDeque<Token>,
    resets: VecDeque<PendingReset>,
    pub(super) dropped_resets: u64,
    /// Bytes held for the host, of all connections.
    buffered: usize,
    /// Connections whose interest may have changed, each once.
    changed: Vec<Token>,
    /// Sockets of connections that are over, but still in the epoll set.
    closing: Vec<(Token, UnixStream)>,
}

impl Table {
    pub(super) fn is_full(&self) -> bool {
        self.connections.len() >= MAX_CONNECTIONS
    }

    pub(super) fn contains(&self, key: Key) -> bool {
        self.tokens.contains_key(&key)
    }

    /// Adds a connection; the caller has checked [`Table::is_full`] and [`Table::contains`].
    pub(super) fn insert(&mut self, connection: Connection) {
        let token = Token(self.next_token);
        self.next_token += 1; // At a billion a second it lasts 500 years.
        self.tokens.insert(connection.key, token);
        self.connections.insert(token, connection);
        self.touch(token, |_| Verdict::Keep);
    }

    /// Hands a packet to its stream; false if there is none.
    pub(super) fn receive(&mut self, key: Key, header: &Header, payload: &[u8]) -> bool {
        let Some(&token) = self.tokens.get(&key) else {
            return false;
        };
        if header.operation == Operation::Reset {
            self.tokens.remove(&key); // Its ports are free, even if the host has not read all yet.
        }
        self.touch(token, |connection| connection.receive(header, payload));
        true
    }

    /// Ends the stream as the guest's fault.
    pub(super) fn abort(&mut self, key: Key) {
        if let Some(&token) = self.tokens.get(&key) {
            self.touch(token, |_| Verdict::Reset);
        }
    }

    pub(super) fn ready(&mut self, token: Token, readiness: Readiness) {
        self.touch(token, |connection| connection.ready(readiness));
    }

    /// Queues an RST for a stream that does not exist here.
    pub(super) fn reset(&mut self, key: Key, socket_type: u16) {
        if self.resets.len() < MAX_PENDING_RESETS {
            self.resets.push_back(PendingReset { key, socket_type });
        } else {
            self.dropped_resets = self.dropped_resets.saturating_add(1);
        }
    }

    pub(super) fn wants_to_send(&self) -> bool {
        !self.resets.is_empty() || !self.senders.is_empty()
    }

    /// The next packet for the guest, its payload in the first bytes of `space`.
    pub(super) fn next_packet(&mut self, guest_cid: u32, space: &mut [u8]) -> Option<Header> {
        if let Some(reset) = self.resets.pop_front() {
            return Some(reset_header(reset, guest_cid));
        }
        while let Some(token) = self.senders.pop_front() {
            let Some(connection) = self.connections.get_mut(&token) else {
                continue;
            };
            connection.queued = false;
            let packet = connection.next_packet(guest_cid, space);
            match packet {
                Some(header) => {
                    self.touch(token, |_| Verdict::Keep); // Behind the others, if it has more.
                    return Some(header);
                }
                None => self.list(token),
            }
        }
        None
    }

    /// Tells what the epoll set lacks.
    pub(super) fn poll_changes(&mut self, mut apply: impl FnMut(Token, BorrowedFd<'_>, Change)) {
        for (token, stream) in self.closing.drain(..) {
            apply(token, stream.as_fd(), Change::Remove);
        }
        for token in self.changed.drain(..) {
            let Some(connection) = self.connections.get_mut(&token) else {
                continue;
            };
            connection.listed = false;
            if let Some(change) = connection.change() {
                apply(token, connection.fd(), change);
            }
        }
    }

    /// Forgets all streams without a word to the guest.
    pub(super) fn clear(&mut self) {
        self.tokens.clear();
        self.senders.clear();
        self.resets.clear();
        self.buffered = 0;
        for (token, connection) in std::mem::take(&mut self.connections) {
            self.closing
                .extend(connection.into_watched().map(|stream| (token, stream)));
        }
    }

    /// Changes a connection and draws all consequences. A token that is gone is ignored.
    fn touch(&mut self, token: Token, change: impl FnOnce(&mut Connection) -> Verdict) {
        let Some(connection) = self.connections.get_mut(&token) else {
            return;
        };
        let before = connection.buffered();
        let verdict = change(connection);
        self.buffered = self.buffered.saturating_sub(before) + connection.buffered();
        // The stream that grew pays for the bound, not one whose host program keeps up.
        let exceeds = self.buffered > MAX_BUFFERED_BYTES;
        match verdict {
            _ if exceeds => self.end(token),
            Verdict::Keep => {
                if connection.wants_to_send() && !connection.queued {
                    connection.queued = true;
                    self.senders.push_back(token);
                }
                self.list(token);
            }
            Verdict::Close => self.remove(token),
            Verdict::Reset => self.end(token),
        }
    }

    /// Removes a connection and tells the guest.
    fn end(&mut self, token: Token) {
        let key = self
            .connections
            .get(&token)
            .map(|connection| connection.key);
        // An orphan's ports may already belong to another stream.
        if let Some(key) = key.filter(|key| self.tokens.get(key) == Some(&token)) {
            self.reset(key, TYPE_STREAM);
        }
        self.remove(token);
    }

    fn list(&mut self, token: Token) {
        if let Some(connection) = self.connections.get_mut(&token)
            && !connection.listed
        {
            connection.listed = true;
            self.changed.push(token);
        }
    }

    fn remove(&mut self, token: Token) {
        let Some(connection) = self.connections.remove(&token) else {
            return;
        };
        self.buffered = self.buffered.saturating_sub(connection.buffered());
        if self.tokens.get(&connection.key) == Some(&token) {
            self.tokens.remove(&connection.key);
        }
        self.closing
            .extend(connection.into_watched().map(|stream| (token, stream)));
    }
}

fn reset_header(reset: PendingReset, guest_cid: u32) -> Header {
    Header {
        source_cid: HOST_CID.into(),
        destination_cid: guest_cid.into(),
        source_port: reset.key.host_port,
        destination_port: reset.key.guest_port,
        length: 0,
        socket_type: reset.socket_type,
        operation: Operation::Reset,
        flags: 0,
        buf_alloc: 0,
        fwd_cnt: 0,
    }
}

#[cfg(test)]
impl Table {
    pub(super) fn buffered_bytes(&self) -> usize {
        self.buffered
    }

    /// Whether the sums and indexes say what the connections say.
    pub(super) fn is_consistent(&self) -> bool {
        let buffered: usize = self.connections.values().map(Connection::buffered).sum();
        let named = self.tokens.iter().all(|(key, token)| {
            let connection = self.connections.get(token);
            connection.is_some_and(|connection| connection.key == *key)
        });
        buffered == self.buffered && named && self.connections.len() <= MAX_CONNECTIONS
    }
}
