//! One request: parsed, checked, carried out on the disk, answered.
//!
//! Invariant: nothing is done to the disk before all of a request's numbers are checked.

use std::io;

use super::disk::{Access, Disk};
use super::wire::{
    HEADER_BYTES, Header, Limits, Operation, RANGE_BYTES, SECTOR, SectorRange, Status,
};
use crate::GuestMemory;
use crate::virtio::{BadBuffer, Chain, GuestBuffer};

/// One transfer between file and guest: large enough that the system call costs little, small enough to stay in the
/// processor's cache between its two copies.
pub const BOUNCE_BYTES: usize = 128 * 1024;
/// Bytes of one read or write: all that a driver within the advertised limits can ask for.
pub const MAX_REQUEST_BYTES: u64 = 16 * 1024 * 1024;

pub(super) const LIMITS: Limits = Limits {
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

/// All that serving a request needs but the queue it came by.
pub(super) struct Requests {
    pub(super) disk: Disk,
    bounce: Vec<u8>,
    pub(super) counters: BlkCounters,
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

impl From<BadBuffer> for Failure {
    fn from(_: BadBuffer) -> Self {
        Failure::Malformed
    }
}

impl From<io::Error> for Failure {
    fn from(_: io::Error) -> Self {
        Failure::Host
    }
}

impl Requests {
    pub(super) fn new(disk: Disk) -> Self {
        Requests {
            disk,
            bounce: Vec::new(),
            counters: BlkCounters::default(),
        }
    }

    /// Serves one request and returns how many bytes of the guest's buffers it wrote.
    pub(super) fn serve(
        &mut self,
        chain: &Chain,
        memory: &GuestMemory,
        id: &[u8],
        durable: bool,
    ) -> u32 {
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
            if operation == Operation::Discard {
                self.disk.discard(start, length)?;
            } else {
                self.disk.zero(start, length, unmap)?;
            }
        }
        Ok(0)
    }

    /// A range as byte position, byte length, and whether its blocks may go back to the host.
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
        Ok((start, length, range.unmap))
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
