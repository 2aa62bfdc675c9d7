//! Packets between the guest's queues and the table of streams.
//!
//! Invariant: a packet of the guest is copied before it is looked at, so that it cannot change under the checks.

use std::os::unix::net::UnixStream;
use std::sync::Arc;

use super::connection::{Connection, Key};
use super::device::{EVENT_QUEUE, Incoming, RX_QUEUE, TX_QUEUE, Vsock};
use super::packet::{HEADER_BYTES, Header, Operation, TYPE_STREAM};
use super::{HOST_CID, MAX_INCOMING, MAX_PACKET_BYTES};
use crate::GuestMemory;
use crate::virtio::running::Running;
use crate::virtio::{Chain, GuestBuffer, Next, Progress, QueueStopped};

/// Packets in one call, each way, so that other devices of the same thread get their turn.
const CALL_BUDGET: usize = 256;
/// VIRTIO_VSOCK_EVENT_TRANSPORT_RESET, the only event there is: 32 bits of 0.
const EVENT_TRANSPORT_RESET: [u8; 4] = [0; 4];

const HEADER_LENGTH: u32 = 44;
const _: () = assert!(HEADER_LENGTH as usize == HEADER_BYTES);

impl Vsock {
    /// Takes packets from the guest.
    pub(super) fn serve_tx(&mut self) -> Progress {
        let Some(mut running) = self.running.take() else {
            return Progress::Idle;
        };
        let (memory, interrupt) = (self.memory.clone(), Arc::clone(&self.interrupt));
        let progress = running.queues.get_mut(TX_QUEUE).map(|queue| {
            queue.drain(&memory, &interrupt, CALL_BUDGET, |chain| {
                self.take_packet(chain, &memory);
                0 // The device writes nothing into a packet of the guest.
            })
        });
        self.running = Some(running);
        progress.unwrap_or(Progress::Idle)
    }

    fn take_packet(&mut self, chain: &Chain, memory: &GuestMemory) {
        let buffer = chain.readable(memory);
        let mut header = [0; HEADER_BYTES];
        if buffer.read_at(0, &mut header).is_err() {
            self.counters.malformed += 1;
            return;
        }
        let header = Header::parse(&header);
        let to_host = header.destination_cid == u64::from(HOST_CID);
        if !to_host || header.source_cid != u64::from(self.guest_cid) {
            self.counters.malformed += 1; // No such place: there is nobody to answer for.
            return;
        }
        let key = Key {
            guest_port: header.source_port,
            host_port: header.destination_port,
        };
        let mut scratch = std::mem::take(&mut self.scratch);
        match payload(&header, &buffer, &mut scratch) {
            Some(payload) => self.dispatch(key, &header, payload),
            None => {
                self.counters.malformed += 1;
                self.table.abort(key);
            }
        }
        self.scratch = scratch;
    }

    fn dispatch(&mut self, key: Key, header: &Header, payload: &[u8]) {
        if header.socket_type != TYPE_STREAM {
            if header.operation != Operation::Reset {
                self.table.reset(key, header.socket_type);
            }
            return;
        }
        if self.table.receive(key, header, payload) {
            return;
        }
        match header.operation {
            Operation::Request => self.accept(key, header),
            Operation::Reset => {}
            _ => self.table.reset(key, TYPE_STREAM),
        }
    }

    fn accept(&mut self, key: Key, request: &Header) {
        if self.table.is_full() || self.incoming.len() >= MAX_INCOMING {
            self.counters.refused += 1;
            self.table.reset(key, TYPE_STREAM);
            return;
        }
        let Ok((ours, theirs)) = UnixStream::pair() else {
            self.counters.host_errors += 1;
            self.table.reset(key, TYPE_STREAM);
            return;
        };
        self.table.insert(Connection::accepted(key, ours, request));
        self.incoming.push_back(Incoming {
            port: key.host_port,
            stream: theirs,
        });
    }

    /// Fills the guest's buffers with what waits for it.
    pub(super) fn serve_rx(&mut self) -> Progress {
        let Some(mut running) = self.running.take() else {
            return Progress::Idle;
        };
        let progress = self.fill_rx(&mut running);
        self.running = Some(running);
        progress.unwrap_or(Progress::Idle) // A stopped ring takes no packet.
    }

    fn fill_rx(&mut self, running: &mut Running) -> Result<Progress, QueueStopped> {
        let Some(queue) = running.queues.get_mut(RX_QUEUE) else {
            return Ok(Progress::Idle);
        };
        for _ in 0..CALL_BUDGET {
            if !self.table.wants_to_send() {
                return Ok(Progress::Idle);
            }
            let chain = match queue.pop(&self.memory, &self.interrupt)? {
                Next::Chain(chain) => chain,
                Next::Malformed => continue,
                Next::Empty => {
                    if queue.arm(&self.memory, &self.interrupt)? {
                        continue;
                    }
                    return Ok(Progress::Idle); // The guest's next buffer brings us back.
                }
            };
            let Some(space) = chain
                .writable(&self.memory)
                .len()
                .checked_sub(HEADER_LENGTH.into())
            else {
                self.counters.malformed += 1;
                queue.push(&self.memory, &self.interrupt, &chain, 0)?;
                continue;
            };
            match self.put_packet(&chain, space) {
                Some(written) => queue.push(&self.memory, &self.interrupt, &chain, written)?,
                None => queue.undo_pop(),
            }
        }
        Ok(Progress::Again)
    }

    /// Writes one packet with at most `space` bytes of payload; `None` if there is none to send.
    fn put_packet(&mut self, chain: &Chain, space: u64) -> Option<u32> {
        if self.scratch.is_empty() {
            self.scratch.resize(MAX_PACKET_BYTES, 0);
        }
        let space = usize::try_from(space)
            .unwrap_or(usize::MAX)
            .min(MAX_PACKET_BYTES);
        let payload = self.scratch.get_mut(..space)?;
        let header = self.table.next_packet(self.guest_cid, payload)?;
        let length = usize::try_from(header.length).ok()?;
        let buffer = chain.writable(&self.memory);
        let written = buffer.write_at(0, &header.encode()).and_then(|()| {
            buffer.write_at(
                HEADER_LENGTH.into(),
                payload.get(..length).unwrap_or_default(),
            )
        });
        if written.is_err() {
            self.counters.malformed += 1; // A packet into a hole is lost: the guest's own stream.
            return Some(0);
        }
        Some(HEADER_LENGTH + header.length)
    }

    /// Tells a restored guest that its streams are gone.
    pub(super) fn serve_events(&mut self) -> Progress {
        let Some(running) = self.running.as_mut().filter(|_| self.event_due) else {
            return Progress::Idle;
        };
        let Some(queue) = running.queues.get_mut(EVENT_QUEUE) else {
            return Progress::Idle;
        };
        match queue.pop(&self.memory, &self.interrupt) {
            Ok(Next::Chain(chain)) => {
                let buffer = chain.writable(&self.memory);
                let written = match buffer.write_at(0, &EVENT_TRANSPORT_RESET) {
                    Ok(()) => {
                        self.event_due = false;
                        4
                    }
                    Err(_) => 0,
                };
                // A ring that breaks here has asked for a reset already.
                let _ = queue.push(&self.memory, &self.interrupt, &chain, written);
                Progress::Again
            }
            Ok(Next::Malformed) => Progress::Again,
            Ok(Next::Empty) => match queue.arm(&self.memory, &self.interrupt) {
                Ok(true) => Progress::Again,
                _ => Progress::Idle,
            },
            Err(QueueStopped) => Progress::Idle,
        }
    }
}

/// The payload that the header announces, copied into `scratch`; `None` if the buffers are shorter, or it is longer
/// than any packet may be.
fn payload<'s>(
    header: &Header,
    buffer: &GuestBuffer<'_>,
    scratch: &'s mut Vec<u8>,
) -> Option<&'s [u8]> {
    let length = match header.operation {
        Operation::Data => usize::try_from(header.length).ok()?,
        _ => return Some(&[]), // Nothing else carries any.
    };
    if length > MAX_PACKET_BYTES {
        return None;
    }
    if scratch.is_empty() {
        scratch.resize(MAX_PACKET_BYTES, 0);
    }
    let payload = scratch.get_mut(..length)?;
    buffer.read_at(HEADER_LENGTH.into(), payload).ok()?;
    Some(payload)
}
