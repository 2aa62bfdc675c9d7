//! The queues of the socket device, and what passes between the guest, the table of streams and the machine.

use std::collections::VecDeque;
use std::os::fd::BorrowedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::MAX_CONNECTIONS;
use super::connection::{Connection, Key};
use super::table::Table;
use super::watch::{Change, Readiness, Token};
use crate::GuestMemory;
use crate::virtio::running::Running;
use crate::virtio::{
    Activation, ActiveState, ConfigSpace, DeviceInfo, Interrupt, Progress, StateError,
    VirtioDevice, feature, serve_waiting,
};

/// Index of the queue of packets to the guest.
pub const RX_QUEUE: usize = 0;
/// Index of the queue of packets from the guest.
pub const TX_QUEUE: usize = 1;
/// Index of the event queue.
pub const EVENT_QUEUE: usize = 2;

const DEVICE_TYPE: u32 = 19;
/// Linux fills the receive queue with buffers that cost it 8 KiB each, for good: 64 of them hold what a stream sends between
/// two looks of the driver.
const QUEUE_SIZES: &[u16] = &[64, 128, 16];
/// Ports of the host's ends of host-made streams start here, far from the services' ports.
const FIRST_HOST_PORT: u32 = 1 << 30;
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
    pub(super) guest_cid: u32,
    // Runtime glue.
    pub(super) memory: GuestMemory,
    pub(super) interrupt: Arc<Interrupt>,
    pub(super) config: Arc<ConfigSpace>,
    pub(super) incoming: VecDeque<Incoming>,
    /// One packet's payload on its way.
    pub(super) scratch: Vec<u8>,
    // Volatile state.
    pub(super) running: Option<Running>,
    pub(super) table: Table,
    pub(super) next_host_port: u32,
    /// The guest must be told of a transport reset.
    pub(super) event_due: bool,
    pub(super) counters: VsockCounters,
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
            serve_waiting(self);
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

fn next_port(port: u32) -> u32 {
    port.checked_add(1)
        .filter(|port| *port < u32::MAX)
        .unwrap_or(FIRST_HOST_PORT)
}

#[cfg(test)]
#[path = "../vsock_test.rs"]
mod tests;
