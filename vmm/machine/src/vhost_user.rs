//! The conversation with a process that runs a device's queues: vhost-user, our side (QEMU, `docs/interop/vhost-user.rst`).
//!
//! From the first memory table on every request is one that the other side must answer (`REPLY_ACK`): what it could not do is known
//! here. Each function returns within the limit that the conversation was begun with, whatever the other side does.

mod exchange;
#[cfg(test)]
pub(crate) mod fake_backend;

use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use bulkhead_devices::GuestMemory;
use bulkhead_devices::virtio::{ActiveState, QueueSnapshot};
use bulkhead_kvm::Event;
use vm_memory::{GuestAddress, GuestMemoryBackend, GuestMemoryRegion};

use exchange::Exchange;
pub use exchange::{Failure, Request, VhostUserError};

/// How long a greeting, a start or a stop may take. The other side answers between two requests of the guest, one of
/// which may be waiting for a disk.
pub const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// `VHOST_USER_F_PROTOCOL_FEATURES`, in the virtio features: the other side has the features below.
const PROTOCOL_FEATURES: u64 = 1 << 30;

/// `VHOST_USER_PROTOCOL_F_REPLY_ACK`: it answers every request that asks for it.
const REPLY_ACK: u64 = 1 << 3;

/// The bells of one queue.
#[derive(Debug, Clone, Copy)]
pub struct Bells<'a> {
    /// From the guest.
    pub kick: &'a Event,
    /// To the guest.
    pub call: &'a Event,
}

/// The other side.
#[derive(Debug)]
pub struct Backend {
    socket: UnixStream,
    /// For each greeting, start and stop.
    pub(crate) limit: Duration,
}

impl Backend {
    /// Says hello, and gives guest memory away. From now on this and every other function must be done within `limit`.
    ///
    /// # Errors
    /// When the other side does not answer, or cannot say what it failed at.
    pub fn greet(
        socket: UnixStream,
        memory: &GuestMemory,
        limit: Duration,
    ) -> Result<Self, VhostUserError> {
        let backend = Self { socket, limit };
        let other = backend.begin();
        other.tell(Request::SetOwner, &[])?;
        offers(&other, Request::GetFeatures, PROTOCOL_FEATURES)?;
        offers(&other, Request::GetProtocolFeatures, REPLY_ACK)?;
        other.tell(Request::SetProtocolFeatures, &REPLY_ACK.to_ne_bytes())?;
        let table = memory_table(memory);
        let (body, descriptors) = table.map_err(|source| Request::SetMemTable.failed(source))?;
        other.order(Request::SetMemTable, &body, &descriptors)?;
        Ok(backend)
    }

    /// Gives the queues of a driver that is ready to the other side.
    ///
    /// # Errors
    /// When it does not take them.
    pub fn start(
        &mut self,
        state: &ActiveState,
        memory: &GuestMemory,
        bells: &[Bells<'_>],
    ) -> Result<(), VhostUserError> {
        let other = self.begin();
        let features = state.features | PROTOCOL_FEATURES;
        offers(&other, Request::GetFeatures, features)?;
        other.order(Request::SetFeatures, &features.to_ne_bytes(), &[])?;
        for ((index, queue), bells) in (0..).zip(&state.queues).zip(bells) {
            give_queue(&other, index, queue, memory, bells)?;
        }
        for (index, _) in (0..).zip(&state.queues) {
            other.order(Request::SetVringEnable, &pair(index, 1), &[])?;
        }
        Ok(())
    }

    /// Takes so many queues back, and says which entry of each available ring comes next: when it returns, the other side takes nothing more
    /// from them, and has no more to write to guest memory.
    ///
    /// # Errors
    /// When it does not say so.
    pub fn stop(&mut self, queues: usize) -> Result<Vec<u16>, VhostUserError> {
        let other = self.begin();
        (0..)
            .take(queues)
            .map(|index| {
                other.order(Request::SetVringEnable, &pair(index, 0), &[])?;
                take_queue(&other, index)
            })
            .collect()
    }

    fn begin(&self) -> Exchange<'_> {
        Exchange {
            socket: &self.socket,
            deadline: Instant::now() + self.limit,
        }
    }
}

/// Asks for features, and whether these are among them.
fn offers(other: &Exchange<'_>, request: Request, wanted: u64) -> Result<(), VhostUserError> {
    let offered = u64::from_ne_bytes(other.ask(request, &[])?);
    match wanted & !offered {
        0 => Ok(()),
        missing => Err(request.failed(Failure::Features { missing })),
    }
}

fn give_queue(
    other: &Exchange<'_>,
    index: u32,
    queue: &QueueSnapshot,
    memory: &GuestMemory,
    bells: &Bells<'_>,
) -> Result<(), VhostUserError> {
    let size = pair(index, queue.size.into());
    other.order(Request::SetVringNum, &size, &[])?;
    let ring = ring(index, queue, memory);
    let ring = ring.map_err(|source| Request::SetVringAddr.failed(source))?;
    other.order(Request::SetVringAddr, &ring, &[])?;
    let place = pair(index, queue.next_avail.into());
    other.order(Request::SetVringBase, &place, &[])?;
    let index = u64::from(index).to_ne_bytes();
    other.order(Request::SetVringCall, &index, &[bells.call.as_fd()])?;
    other.order(Request::SetVringKick, &index, &[bells.kick.as_fd()])
}

fn take_queue(other: &Exchange<'_>, index: u32) -> Result<u16, VhostUserError> {
    let request = Request::GetVringBase;
    let [a, b, c, d, e, f, g, h] = other.ask(request, &pair(index, 0))?;
    let queue = u32::from_ne_bytes([a, b, c, d]);
    let place = u32::from_ne_bytes([e, f, g, h]);
    match u16::try_from(place) {
        Ok(place) if queue == index => Ok(place),
        _ => Err(request.failed(Failure::Place { queue, place })),
    }
}

fn pair(index: u32, value: u32) -> Vec<u8> {
    [index, value].map(u32::to_ne_bytes).concat()
}

/// `struct vhost_user_memory`, and a descriptor for each of its ranges. Addresses here are those of this process.
fn memory_table(memory: &GuestMemory) -> Result<(Vec<u8>, Vec<BorrowedFd<'_>>), Failure> {
    let (mut ranges, mut descriptors) = (Vec::new(), Vec::new());
    for region in memory.iter() {
        let start = region.start_addr();
        let file = region.file_offset().ok_or(Failure::Address(start.0))?;
        ranges.extend([
            start.0,
            region.len(),
            host_address(start.0, memory)?,
            file.start(),
        ]);
        descriptors.push(file.file().as_fd());
    }
    let count = u32::try_from(descriptors.len()).unwrap_or(u32::MAX);
    let mut body = pair(count, 0);
    body.extend(ranges.into_iter().flat_map(u64::to_ne_bytes));
    Ok((body, descriptors))
}

/// `struct vhost_vring_addr`: addresses of this process, which the memory table translates. Nothing is logged.
fn ring(index: u32, queue: &QueueSnapshot, memory: &GuestMemory) -> Result<Vec<u8>, Failure> {
    const FLAGS: u32 = 0;
    const LOG: u64 = 0;
    let mut body = pair(index, FLAGS);
    for address in [queue.desc_table, queue.used_ring, queue.avail_ring] {
        body.extend(host_address(address, memory)?.to_ne_bytes());
    }
    body.extend(LOG.to_ne_bytes());
    Ok(body)
}

fn host_address(address: u64, memory: &GuestMemory) -> Result<u64, Failure> {
    let found = memory.get_host_address(GuestAddress(address));
    found
        .map(|host| host.addr() as u64)
        .map_err(|_| Failure::Address(address))
}

#[cfg(test)]
#[path = "vhost_user_test.rs"]
mod tests;
