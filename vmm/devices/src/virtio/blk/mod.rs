//! virtio block (virtio 1.2, section 5.2): one disk, made of extents of several files.
//!
//! Guest view: 512-byte sectors; read, flush and identify; on a writable disk also write, discard and write zeroes.
//! The disk may grow while it runs (capacity and configuration interrupt). Without `VIRTIO_BLK_F_FLUSH` every write is
//! durable when it returns. What a request may not do comes back as IOERR, what the device
//! does not know as UNSUPP; a request without room for a status byte comes back with length 0.
//!
//! Invariant: a request's effects lie within the disk and end before its answer; host memory for it
//! is one buffer of [`BOUNCE_BYTES`], allocated at the first transfer.

mod disk;
mod wire;

use std::io;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use disk::{Access, Disk, DiskError, EXTENT_ALIGNMENT, Extent, MAX_DISK_BYTES, MAX_EXTENTS};

use self::wire::{
    DEVICE_TYPE, HEADER_BYTES, Header, ID_BYTES, Limits, Operation, RANGE_BYTES, SECTOR,
    SectorRange, Status,
};
use super::running::Running;
use super::{
    Activation, ActiveState, Chain, ConfigSpace, DeviceInfo, GuestBuffer, Interrupt, Progress,
    StateError, VirtioDevice, feature,
};
use crate::GuestMemory;

/// One transfer between file and guest: large enough that the system call costs little, small enough to stay in the
/// processor's cache between its two copies.
pub const BOUNCE_BYTES: usize = 128 * 1024;
/// Bytes of one read or write: all that a driver within [`LIMITS`] can ask for.
pub const MAX_REQUEST_BYTES: u64 = 16 * 1024 * 1024;

const QUEUE_SIZES: &[u16] = &[128];
/// Requests in one call, so that other devices of the same thread get their turn.
const CALL_BUDGET: usize = 16;
const LIMITS: Limits = Limits {
    segment_bytes: 128 * 1024,
    segments: 126,            // The queue's size without header and status.
    discard_sectors: 1 << 22, // 2 GiB: the host only frees blocks.
    zero_sectors: 1 << 16,    // 32 MiB: the host may have to write them.
    ranges: 16,
};

/// What was done and what went wrong since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BlkCounters {
    /// Bytes read by the guest.
    pub read_bytes: u64,
    /// Bytes written by the guest.
    pub written_bytes: u64,
    /// Chains that broke the rules of virtqueues or of this device's requests.
    pub malformed: u64,
    /// Requests beyond the disk, beyond a limit, or to write to a read-only disk.
    pub refused: u64,
    /// Requests that failed on the host.
    pub host_errors: u64,
}

/// The device as plain data. The disk's content is not in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlkState {
    sectors: u64,
    active: Option<ActiveState>,
}

/// See the module docs.
pub struct Blk {
    // Fixed configuration.
    id: [u8; ID_BYTES],
    // Runtime glue.
    memory: GuestMemory,
    interrupt: Arc<Interrupt>,
    config: Arc<ConfigSpace>,
    // Volatile state.
    requests: Requests,
    running: Option<Running>,
    /// Malformed chains of earlier activations.
    malformed_before: u64,
}

/// All that serving a request needs but the queue it came by.
struct Requests {
    disk: Disk,
    bounce: Vec<u8>,
    counters: BlkCounters,
}

/// Why a request fails.
enum Failure {
    /// The guest's fault: buffers of the wrong kind or size.
    Malformed,
    /// The guest's fault: well-formed, but not allowed.
    Refused,
    /// Not known, or a flag that is not known.
    Unsupported,
    Host,
}

impl From<super::BadBuffer> for Failure {
    fn from(_: super::BadBuffer) -> Self {
        Failure::Malformed
    }
}

impl From<io::Error> for Failure {
    fn from(_: io::Error) -> Self {
        Failure::Host
    }
}

impl Blk {
    /// A device that no driver uses yet. `id` is what GET_ID answers, cut to 20 bytes.
    #[must_use]
    pub fn new(disk: Disk, id: &str, memory: GuestMemory, interrupt: Arc<Interrupt>) -> Self {
        let mut id_bytes = [0; ID_BYTES];
        for (byte, value) in id_bytes.iter_mut().zip(id.bytes()) {
            *byte = value;
        }
        Blk {
            id: id_bytes,
            memory,
            interrupt,
            config: Arc::new(ConfigSpace::new(wire::config(&disk, &LIMITS))),
            requests: Requests {
                disk,
                bounce: Vec::new(),
                counters: BlkCounters::default(),
            },
            running: None,
            malformed_before: 0,
        }
    }

    /// Makes the disk larger and tells the driver.
    ///
    /// # Errors
    /// As [`Disk::append`].
    pub fn append(&mut self, extent: Extent) -> Result<(), DiskError> {
        self.requests.disk.append(extent)?;
        self.config
            .replace(wire::config(&self.requests.disk, &LIMITS));
        if self.is_active() {
            self.interrupt.signal_config();
        }
        Ok(())
    }

    /// Guest mischief, host errors and bytes since the start.
    #[must_use]
    pub fn counters(&self) -> BlkCounters {
        let mut counters = self.requests.counters;
        let chains = self.running.as_ref().map_or(0, Running::malformed);
        counters.malformed += self.malformed_before + chains;
        counters
    }

    /// The device as plain data.
    #[must_use]
    pub fn save(&self) -> BlkState {
        BlkState {
            sectors: self.requests.disk.length() / SECTOR,
            active: self.running.as_ref().map(Running::save),
        }
    }

    /// Rebuilds the device on the same disk. Call [`VirtioDevice::handle_queue`] once afterwards: a
    /// notification may have been under way.
    ///
    /// # Errors
    /// A disk of another size; queues or features that no driver could have set up.
    pub fn restore(
        disk: Disk,
        id: &str,
        memory: GuestMemory,
        interrupt: Arc<Interrupt>,
        state: &BlkState,
    ) -> Result<Self, StateError> {
        let expected = disk.length() / SECTOR;
        if state.sectors != expected {
            return Err(StateError::Capacity {
                found: state.sectors,
                expected,
            });
        }
        let mut blk = Blk::new(disk, id, memory, interrupt);
        if let Some(saved) = &state.active {
            blk.running = Some(Running::restore(saved, &blk.info(), &blk.memory)?);
        }
        Ok(blk)
    }
}

impl VirtioDevice for Blk {
    fn info(&self) -> DeviceInfo {
        let access = match self.requests.disk.access() {
            Access::ReadOnly => wire::feature::READ_ONLY,
            Access::Writable => {
                wire::feature::FLUSH | wire::feature::DISCARD | wire::feature::WRITE_ZEROES
            }
        };
        DeviceInfo {
            device_type: DEVICE_TYPE,
            features: feature::COMMON | wire::feature::SIZE_MAX | wire::feature::SEG_MAX | access,
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
            self.malformed_before += running.malformed();
        }
    }

    fn handle_queue(&mut self, queue: usize) -> Progress {
        let Some(running) = &mut self.running else {
            return Progress::Idle;
        };
        let durable = running.features & wire::feature::FLUSH == 0;
        let Some(queue) = running.queues.get_mut(queue) else {
            return Progress::Idle;
        };
        queue.drain(&self.memory, &self.interrupt, CALL_BUDGET, |chain| {
            self.requests.serve(chain, &self.memory, &self.id, durable)
        })
    }

    fn is_active(&self) -> bool {
        self.running.is_some()
    }
}

impl Requests {
    /// Serves one request and returns how many bytes of the guest's buffers it wrote.
    fn serve(&mut self, chain: &Chain, memory: &GuestMemory, id: &[u8], durable: bool) -> u32 {
        let writable = chain.writable(memory);
        let Some(status_at) = writable.len().checked_sub(1) else {
            self.counters.malformed += 1;
            return 0;
        };
        let request = Request {
            readable: chain.readable(memory),
            writable,
            data_in: status_at,
        };
        let (status, written) = match self.perform(&request, id, durable) {
            Ok(written) => (Status::Ok, written),
            Err(failure) => (self.count(&failure), 0),
        };
        match writable.write_at(status_at, &[status as u8]) {
            // The status is the last byte: with all of the data before it, all of the buffer is written.
            Ok(()) if written == status_at => u32::try_from(written + 1).unwrap_or(0),
            Ok(()) => u32::try_from(written).unwrap_or(0),
            Err(_) => {
                self.counters.malformed += 1;
                0
            }
        }
    }

    fn count(&mut self, failure: &Failure) -> Status {
        let (counter, status) = match failure {
            Failure::Malformed => (&mut self.counters.malformed, Status::IoError),
            Failure::Refused => (&mut self.counters.refused, Status::IoError),
            Failure::Unsupported => (&mut self.counters.refused, Status::Unsupported),
            Failure::Host => (&mut self.counters.host_errors, Status::IoError),
        };
        *counter += 1;
        status
    }

    /// Returns how many bytes it wrote before the status byte.
    fn perform(&mut self, request: &Request, id: &[u8], durable: bool) -> Result<u64, Failure> {
        let mut header = [0; HEADER_BYTES];
        request.readable.read_at(0, &mut header)?;
        let header = Header::parse(header);
        let operation = header.operation.ok_or(Failure::Unsupported)?;
        let changes = matches!(
            operation,
            Operation::Out | Operation::Discard | Operation::WriteZeroes
        );
        if changes && self.disk.access() == Access::ReadOnly {
            return Err(Failure::Refused);
        }
        let written = match operation {
            Operation::In => self.read(header.sector, request)?,
            Operation::Out => self.write(header.sector, request)?,
            Operation::GetId => identify(id, request)?,
            Operation::Flush => {
                self.disk.flush()?;
                0
            }
            Operation::Discard | Operation::WriteZeroes => {
                self.change_ranges(operation, request)?
            }
        };
        if changes && durable {
            self.disk.flush()?;
        }
        Ok(written)
    }

    fn read(&mut self, sector: u64, request: &Request) -> Result<u64, Failure> {
        let length = request.data_in;
        let start = self.check_transfer(sector, length)?;
        let mut done = 0;
        while done < length {
            let piece = bounce(&mut self.bounce, length - done)?;
            self.disk.read_at(start + done, piece)?;
            request.writable.write_at(done, piece)?;
            done += byte_count(piece)?;
        }
        self.counters.read_bytes += done;
        Ok(done)
    }

    fn write(&mut self, sector: u64, request: &Request) -> Result<u64, Failure> {
        let length = request.data_out()?;
        let start = self.check_transfer(sector, length)?;
        let mut done = 0;
        while done < length {
            let piece = bounce(&mut self.bounce, length - done)?;
            request.readable.read_at(HEADER_LENGTH + done, piece)?;
            self.disk.write_at(start + done, piece)?;
            done += byte_count(piece)?;
        }
        self.counters.written_bytes += done;
        Ok(0)
    }

    /// The byte position of a transfer that is whole sectors, on the disk and within the limits.
    fn check_transfer(&self, sector: u64, length: u64) -> Result<u64, Failure> {
        if !length.is_multiple_of(SECTOR) {
            return Err(Failure::Malformed);
        }
        let start = sector.checked_mul(SECTOR).ok_or(Failure::Refused)?;
        let allowed = length <= MAX_REQUEST_BYTES && self.disk.contains(start, length);
        allowed.then_some(start).ok_or(Failure::Refused)
    }

    fn change_ranges(&mut self, operation: Operation, request: &Request) -> Result<u64, Failure> {
        let length = request.data_out()?;
        let range_bytes = u64::try_from(RANGE_BYTES).map_err(|_| Failure::Malformed)?;
        if length == 0 || !length.is_multiple_of(range_bytes) {
            return Err(Failure::Malformed);
        }
        let count = length / range_bytes;
        if count > LIMITS.ranges.into() {
            return Err(Failure::Refused);
        }
        // All are checked before the first is applied.
        let mut ranges = Vec::new();
        for index in 0..count {
            let mut bytes = [0; RANGE_BYTES];
            request
                .readable
                .read_at(HEADER_LENGTH + index * range_bytes, &mut bytes)?;
            ranges.push(self.check_range(operation, SectorRange::parse(bytes))?);
        }
        for (start, length, unmap) in ranges {
            if unmap {
                self.disk.punch(start, length)?;
            } else {
                self.disk.zero(start, length)?;
            }
        }
        Ok(0)
    }

    /// A range as byte position, byte length, and whether its blocks go back to the host.
    fn check_range(
        &self,
        operation: Operation,
        range: SectorRange,
    ) -> Result<(u64, u64, bool), Failure> {
        let discard = operation == Operation::Discard;
        if range.unknown_flags || (discard && range.unmap) {
            return Err(Failure::Unsupported);
        }
        let limit = match discard {
            true => LIMITS.discard_sectors,
            false => LIMITS.zero_sectors,
        };
        let start = range.sector.checked_mul(SECTOR).ok_or(Failure::Refused)?;
        let length = u64::from(range.sectors) * SECTOR;
        let allowed = range.sectors <= limit && self.disk.contains(start, length);
        if !allowed || length == 0 {
            return Err(Failure::Refused);
        }
        Ok((start, length, discard || range.unmap))
    }
}

const HEADER_LENGTH: u64 = HEADER_BYTES as u64;

/// The buffers of one request.
struct Request<'a> {
    readable: GuestBuffer<'a>,
    writable: GuestBuffer<'a>,
    /// Writable bytes before the status byte.
    data_in: u64,
}

impl Request<'_> {
    /// Readable bytes after the header.
    fn data_out(&self) -> Result<u64, Failure> {
        let length = self.readable.len().checked_sub(HEADER_LENGTH);
        length.ok_or(Failure::Malformed)
    }
}

fn identify(id: &[u8], request: &Request) -> Result<u64, Failure> {
    if request.data_in < byte_count(id)? {
        return Err(Failure::Malformed);
    }
    request.writable.write_at(0, id)?;
    byte_count(id)
}

/// A buffer of `wanted` bytes, or as many as one transfer takes.
fn bounce(buffer: &mut Vec<u8>, wanted: u64) -> Result<&mut [u8], Failure> {
    if buffer.is_empty() {
        buffer.resize(BOUNCE_BYTES, 0);
    }
    let wanted = usize::try_from(wanted)
        .unwrap_or(BOUNCE_BYTES)
        .min(BOUNCE_BYTES);
    buffer.get_mut(..wanted).ok_or(Failure::Host)
}

fn byte_count(data: &[u8]) -> Result<u64, Failure> {
    u64::try_from(data.len()).map_err(|_| Failure::Host)
}

#[cfg(test)]
#[path = "../blk_test.rs"]
mod tests;
