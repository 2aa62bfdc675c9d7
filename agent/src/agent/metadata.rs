//! The metadata service: apps ask over HTTP on loopback, the host answers.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::OwnedFd;

use bulkhead_protocol::agent::FromAgent;
use bulkhead_protocol::metadata::{Answer, MAX_REQUESTS, PORT, RequestId};
use rustix::event::epoll::EventFlags;
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SocketFlags, SocketType, accept_with, bind, listen, socket_with, sockopt,
};

use super::Agent;
use crate::clock::monotonic_ns;
use crate::metadata::{Client, Progress};
use crate::poller::Token;

/// Clients that are attended to at one time; further ones wait in the kernel's queue. Each may have a request on its way.
const MAX_CLIENTS: usize = MAX_REQUESTS;

/// Clients in the kernel's queue.
const BACKLOG: i32 = 128;

/// From its connection on a client has so long to be done.
const CLIENT_TIME_NS: u64 = 5_000_000_000;

/// Where the service stands.
#[derive(Debug, Default)]
pub(super) struct Service {
    /// There is none before there is a pod.
    listener: Option<OwnedFd>,
    clients: BTreeMap<RequestId, Client>,
    /// For the next client.
    next: u32,
    /// Whether the listener is watched.
    is_watched: bool,
}

impl Service {
    pub(super) fn deadline_ns(&self) -> Option<u64> {
        self.clients.values().map(|client| client.until_ns).min()
    }
}

impl Agent {
    /// Before any app can take the port.
    pub(super) fn open_metadata_service(&mut self) -> Result<(), Errno> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let listener = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
        // The address is there when loopback is up, which need not be now.
        sockopt::set_ip_freebind(&listener, true)?;
        bind(&listener, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, PORT))?;
        listen(&listener, BACKLOG)?;
        self.poller
            .add(&listener, Token::Metadata, EventFlags::IN)?;
        self.metadata.listener = Some(listener);
        self.metadata.is_watched = true;
        Ok(())
    }

    pub(super) fn accept_metadata_client(&mut self) {
        let Some(listener) = &self.metadata.listener else {
            return;
        };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        // One that is gone already is nobody.
        let Ok(socket) = accept_with(listener, flags) else {
            return;
        };
        let id = RequestId(self.metadata.next);
        let watched = self
            .poller
            .add(&socket, Token::MetadataClient(id), EventFlags::IN);
        if watched.is_ok() {
            self.metadata.next = self.metadata.next.wrapping_add(1);
            let client = Client::new(socket, monotonic_ns() + CLIENT_TIME_NS);
            self.metadata.clients.insert(id, client);
        }
        self.watch_metadata_listener();
    }

    pub(super) fn metadata_event(&mut self, id: RequestId) {
        if let Some(client) = self.metadata.clients.get_mut(&id) {
            let progress = client.go_on(id);
            self.metadata_progress(id, progress);
        }
    }

    pub(super) fn take_metadata_answer(&mut self, id: RequestId, answer: &Answer) {
        // Its client may have left.
        if let Some(client) = self.metadata.clients.get_mut(&id) {
            let progress = client.answer(answer);
            self.metadata_progress(id, progress);
        }
    }

    fn metadata_progress(&mut self, id: RequestId, progress: Progress) {
        let interest = match progress {
            Progress::Read => EventFlags::IN,
            Progress::Write => EventFlags::OUT,
            Progress::Ask(request) => {
                if self.link.connection().is_none() {
                    self.refuse_metadata_client(id);
                    return;
                }
                self.send(&FromAgent::Metadata(request));
                // Errors and a whole hang-up are reported always.
                EventFlags::empty()
            }
            Progress::Gone => return self.drop_metadata_client(id),
        };
        let Some(client) = self.metadata.clients.get(&id) else {
            return;
        };
        if self
            .poller
            .change(client, Token::MetadataClient(id), interest)
            .is_err()
        {
            self.drop_metadata_client(id);
        }
    }

    fn refuse_metadata_client(&mut self, id: RequestId) {
        if let Some(client) = self.metadata.clients.get_mut(&id) {
            let progress = client.refuse(503);
            self.metadata_progress(id, progress);
        }
    }

    /// The host will not answer any more what it was asked.
    pub(super) fn metadata_host_is_gone(&mut self) {
        let asking = |(id, client): (&RequestId, &Client)| client.is_asking().then_some(*id);
        let ids: Vec<RequestId> = self.metadata.clients.iter().filter_map(asking).collect();
        for id in ids {
            self.refuse_metadata_client(id);
        }
    }

    pub(super) fn metadata_clients_are_due(&mut self) {
        let now_ns = monotonic_ns();
        let due = |(id, client): (&RequestId, &Client)| (client.until_ns <= now_ns).then_some(*id);
        let ids: Vec<RequestId> = self.metadata.clients.iter().filter_map(due).collect();
        for id in ids {
            self.drop_metadata_client(id);
        }
    }

    fn drop_metadata_client(&mut self, id: RequestId) {
        if let Some(client) = self.metadata.clients.remove(&id) {
            self.poller.remove(&client);
        }
        self.watch_metadata_listener();
    }

    /// Only while there is a place for a client.
    fn watch_metadata_listener(&mut self) {
        let has_place = self.metadata.clients.len() < MAX_CLIENTS;
        let Some(listener) = &self.metadata.listener else {
            return;
        };
        if std::mem::replace(&mut self.metadata.is_watched, has_place) == has_place {
            return;
        }
        let interest = if has_place {
            EventFlags::IN
        } else {
            EventFlags::empty()
        };
        // Only a descriptor that is not watched can fail here.
        let _ = self.poller.change(listener, Token::Metadata, interest);
    }
}
