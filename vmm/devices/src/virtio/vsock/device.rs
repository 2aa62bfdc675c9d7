//! The queues of the socket device, and what passes between the guest, the table of streams and the machine.

use std::collections::VecDeque;
use std::os::fd::BorrowedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::connection::{Change, Connection, Key, Readiness, Token};
use super::packet::{HEADER_BYTES, Header, Operation, TYPE_STREAM};
use super::table::Table;
use super::{HOST_CID, MAX_CONNECTIONS, MAX_INCOMING, MAX_PACKET_BYTES};
use crate::GuestMemory;
use crate::virtio::running::Running;
use crate::virtio::{
    Activation, ActiveState, Chain, ConfigSpace, DeviceInfo, Interrupt, Next, Progress,
    QueueStopped, StateError, VirtioDevice, feature,
};

/// Index of the queue of packets to the guest.
pub const RX_QUEUE: usize = 0;
/// Index of the queue of packets from the guest.
pub const TX_QUEUE: usize = 1;
/// Index of the event queue.
pub const EVENT_QUEUE: usize = 2;

const DEVICE_TYPE: u32 = 19;
const QUEUE_SIZES: &[u16] = &[128, 128, 16];
/// Packets in one call, each way, so that other devices of the same thread get their turn.
const CALL_BUDGET: usize = 256;
/// Ports of the host's ends of host-made streams start here, far from the services' ports.
const FIRST_HOST_PORT: u32 = 1 << 30;
/// VIRTIO_VSOCK_EVENT_TRANSPORT_RESET, the only event there is: 32 bits of 0.
const EVENT_TRANSPORT_RESET: [u8; 4] = [0; 4];

const HEADER_LENGTH: u32 = 44;
const _: () = assert!(HEADER_LENGTH as usize == HEADER_BYTES);

/// A stream that the guest opened.
#[derive(Debug)]
pub struct Incoming {
    /// The host port that it asked for.
    pub port: u32,
    /// The other end of it; dropping it refuses the stream.
    pub stream: UnixStream,
}

/// Why the host cannot open a stream.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum ConnectError {
    /// The guest has no driver running.
    #[error("connect to guest port {0}: the guest's socket driver is not running")]
    NotRunning(u32),
    /// The table is full.
    #[error("connect to guest port {0}: {MAX_CONNECTIONS} streams are open")]
    TooMany(u32),
}

/// What went wrong since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct VsockCounters {
    /// Chains or packets that broke the rules.
    pub malformed: u64,
    /// Streams refused because of a bound.
    pub refused: u64,
    /// RST packets that were not sent because too many waited.
    pub dropped_resets: u64,
    /// Socketpairs that the host did not give.
    pub host_errors: u64,
}

/// The device as plain data. Streams are not in it: a restored guest is told that they are gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VsockState {
    guest_cid: u32,
    next_host_port: u32,
    event_due: bool,
    active: Option<ActiveState>,
}

/// See the docs of [`crate::virtio::vsock`].
pub struct Vsock {
    // Fixed configuration.
    guest_cid: u32,
    // Runtime glue.
    memory: GuestMemory,
    interrupt: Arc<Interrupt>,
    config: Arc<ConfigSpace>,
    incoming: VecDeque<Incoming>,
    /// One packet's payload on its way.
    scratch: Vec<u8>,
    // Volatile state.
    running: Option<Running>,
    table: Table,
    next_host_port: u32,
    /// The guest must be told of a transport reset.
    event_due: bool,
    counters: VsockCounters,
}

impl Vsock {
    /// A device that no driver uses yet.
    #[must_use]
    pub fn new(guest_cid: u32, memory: GuestMemory, interrupt: Arc<Interrupt>) -> Self {
        let config = ConfigSpace::new(u64::from(guest_cid).to_le_bytes().to_vec());
        Vsock {
            guest_cid,
            memory,
            interrupt,
            config: Arc::new(config),
            incoming: VecDeque::new(),
            scratch: Vec::new(),
            running: None,
            table: Table::default(),
            next_host_port: FIRST_HOST_PORT,
            event_due: false,
            counters: VsockCounters::default(),
        }
    }

    /// Opens a stream to a port of the guest; follow up with `handle_queue(RX_QUEUE)`. A guest that refuses it makes
    /// `stream` end.
    ///
    /// # Errors
    /// No driver, or no room; `stream` is then closed.
    pub fn connect(&mut self, guest_port: u32, stream: UnixStream) -> Result<(), ConnectError> {
        if self.running.is_none() {
            return Err(ConnectError::NotRunning(guest_port));
        }
        let key = (!self.table.is_full()).then(|| self.free_key(guest_port));
        let Some(key) = key.flatten() else {
            self.counters.refused += 1;
            return Err(ConnectError::TooMany(guest_port));
        };
        self.table.insert(Connection::requested(key, stream));
        self.next_host_port = next_port(key.host_port);
        Ok(())
    }

    /// A host port that is not in use towards `guest_port`: among one more than there are streams, one is free.
    fn free_key(&self, guest_port: u32) -> Option<Key> {
        let ports = std::iter::successors(Some(self.next_host_port), |port| Some(next_port(*port)));
        let mut keys = ports.take(MAX_CONNECTIONS + 1).map(|host_port| Key {
            guest_port,
            host_port,
        });
        keys.find(|key| !self.table.contains(*key))
    }

    /// A stream that the guest has opened; take all after every call that lets the guest send. The caller
    /// must not block on what it does with them.
    pub fn take_incoming(&mut self) -> Option<Incoming> {
        self.incoming.pop_front()
    }

    /// Tells what the epoll set lacks; ask after every other call. The fd is valid during the call
    /// of `apply` alone; epoll's data is the token.
    pub fn poll_changes(&mut self, apply: impl FnMut(Token, BorrowedFd<'_>, Change)) {
        self.table.poll_changes(apply);
    }

    /// Handles what epoll said of a socket; a token that is gone is ignored. Follow up with
    /// `handle_queue(RX_QUEUE)`, once for all that epoll said.
    pub fn ready(&mut self, token: Token, readiness: Readiness) {
        self.table.ready(token, readiness);
    }

    /// Guest mischief and host errors since the start.
    #[must_use]
    pub fn counters(&self) -> VsockCounters {
        let chains = self.running.as_ref().map_or(0, Running::malformed);
        VsockCounters {
            malformed: self.counters.malformed + chains,
            dropped_resets: self.table.dropped_resets,
            ..self.counters
        }
    }

    /// The device as plain data.
    #[must_use]
    pub fn save(&self) -> VsockState {
        VsockState {
            guest_cid: self.guest_cid,
            next_host_port: self.next_host_port,
            event_due: self.event_due,
            active: self.running.as_ref().map(Running::save),
        }
    }

    /// Rebuilds the device without its streams, and tells the guest so. Call [`VirtioDevice::handle_queue`] for each
    /// queue afterwards.
    ///
    /// # Errors
    /// Another guest CID; queues or features that no driver could have set up.
    pub fn restore(
        guest_cid: u32,
        memory: GuestMemory,
        interrupt: Arc<Interrupt>,
        state: &VsockState,
    ) -> Result<Self, StateError> {
        if state.guest_cid != guest_cid {
            return Err(StateError::GuestCid {
                found: state.guest_cid,
                expected: guest_cid,
            });
        }
        let mut vsock = Vsock::new(guest_cid, memory, interrupt);
        vsock.next_host_port = state.next_host_port.max(FIRST_HOST_PORT);
        if let Some(saved) = &state.active {
            vsock.running = Some(Running::restore(saved, &vsock.info(), &vsock.memory)?);
            vsock.event_due = true;
        }
        Ok(vsock)
    }

    /// Takes packets from the guest.
    fn serve_tx(&mut self) -> Progress {
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
    fn serve_rx(&mut self) -> Progress {
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
    fn serve_events(&mut self) -> Progress {
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

impl VirtioDevice for Vsock {
    fn info(&self) -> DeviceInfo {
        DeviceInfo {
            device_type: DEVICE_TYPE,
            features: feature::COMMON,
            queue_sizes: QUEUE_SIZES,
            config: Arc::clone(&self.config),
        }
    }

    fn activate(&mut self, activation: Activation) {
        if let Some(running) = Running::claim(activation) {
            self.reset();
            self.running = Some(running);
        }
    }

    fn reset(&mut self) {
        if let Some(running) = self.running.take() {
            self.counters.malformed += running.malformed();
        }
        self.table.clear();
        self.event_due = false;
    }

    fn handle_queue(&mut self, queue: usize) -> Progress {
        match queue {
            RX_QUEUE => self.serve_rx(),
            TX_QUEUE => {
                let tx = self.serve_tx();
                // Answers wait for no notification of their own.
                match self.serve_rx() {
                    Progress::Again => Progress::Again,
                    Progress::Idle => tx,
                }
            }
            EVENT_QUEUE => self.serve_events(),
            _ => Progress::Idle,
        }
    }

    fn is_active(&self) -> bool {
        self.running.is_some()
    }
}

/// The payload that the header announces, copied into `scratch`; `None` if the buffers are shorter, or it is longer than
/// any packet may be.
fn payload<'s>(
    header: &Header,
    buffer: &crate::virtio::GuestBuffer<'_>,
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

fn next_port(port: u32) -> u32 {
    port.checked_add(1)
        .filter(|port| *port < u32::MAX)
        .unwrap_or(FIRST_HOST_PORT)
}

#[cfg(test)]
#[path = "../vsock_test.rs"]
mod tests;
