//! A virtqueue as a running device uses it, and the buffers of one request.
//!
//! Guest view: a chain that breaks the rules comes back with length 0; a ring that breaks them stops the
//! device with DEVICE_NEEDS_RESET.
//!
//! Invariant: one chain costs at most [`MAX_SEGMENTS`] descriptor reads, whatever its links say. Nothing
//! that the device wrote to a ring is ever read back.

use thiserror::Error;
use virtio_queue::{DescriptorChain, Queue, QueueOwnedT, QueueT};
use vm_memory::{Bytes, GuestAddress};

use super::{Interrupt, Progress, QueueSnapshot};
use crate::GuestMemory;

/// Descriptors in one chain: what a queue of the largest size used here (128) can hold without indirect tables,
/// and virtio forbids an indirect table to be longer than its queue.
pub const MAX_SEGMENTS: usize = 128;

/// The driver broke the ring itself; the device has asked for a reset and serves it no more.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("the driver broke the ring")]
pub(super) struct QueueStopped;

/// A guest buffer that is too short, or not in guest memory.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("guest buffer is too short or outside guest memory")]
pub(super) struct BadBuffer;

#[derive(Debug, Clone, Copy)]
struct Segment {
    address: GuestAddress,
    length: u32,
}

/// One request: the buffers of a well-formed descriptor chain.
#[derive(Debug)]
pub(super) struct Chain {
    head: u16,
    segments: Vec<Segment>,
    /// How many of `segments` the device may read; the others it may write.
    readable: usize,
}

impl Chain {
    /// Its buffers that the device reads, as one sequence of bytes.
    #[must_use]
    pub(super) fn readable<'a>(&'a self, memory: &'a GuestMemory) -> GuestBuffer<'a> {
        let segments = self.segments.get(..self.readable).unwrap_or_default();
        GuestBuffer { memory, segments }
    }

    /// Its buffers that the device writes, as one sequence of bytes.
    #[must_use]
    pub(super) fn writable<'a>(&'a self, memory: &'a GuestMemory) -> GuestBuffer<'a> {
        let segments = self.segments.get(self.readable..).unwrap_or_default();
        GuestBuffer { memory, segments }
    }

    /// Follows a chain; `None` if it has no end within [`MAX_SEGMENTS`], links out of its table, or has a
    /// readable buffer after a writable one.
    fn collect(chain: DescriptorChain<&GuestMemory>) -> Option<Self> {
        let head = chain.head_index();
        let mut segments = Vec::new();
        let mut readable = 0;
        let mut ended = false;
        for descriptor in chain {
            if segments.len() == MAX_SEGMENTS {
                return None;
            }
            if !descriptor.is_write_only() {
                if readable != segments.len() {
                    return None;
                }
                readable += 1;
            }
            segments.push(Segment {
                address: descriptor.addr(),
                length: descriptor.len(),
            });
            // The iterator also ends at a link it cannot follow: that is no end of a chain.
            ended = !descriptor.has_next();
        }
        ended.then_some(Chain {
            head,
            segments,
            readable,
        })
    }
}

/// Some of a chain's buffers as one sequence of bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct GuestBuffer<'a> {
    memory: &'a GuestMemory,
    segments: &'a [Segment],
}

impl GuestBuffer<'_> {
    /// Sum of the buffers' lengths: at most [`MAX_SEGMENTS`] times 4 GiB.
    #[must_use]
    pub(super) fn len(&self) -> u64 {
        self.segments.iter().map(|s| u64::from(s.length)).sum()
    }

    /// The buffers one by one, as the driver wrote them: they may lie anywhere, also outside guest memory.
    pub(super) fn ranges(&self) -> impl Iterator<Item = (GuestAddress, u64)> + '_ {
        let segments = self.segments.iter();
        segments.map(|segment| (segment.address, segment.length.into()))
    }

    /// Fills `data` from `offset` on.
    ///
    /// # Errors
    /// The buffers end earlier, or lie outside guest memory.
    pub(super) fn read_at(&self, offset: u64, data: &mut [u8]) -> Result<(), BadBuffer> {
        self.pieces(offset, data.len(), |address, range| {
            let piece = data.get_mut(range).ok_or(BadBuffer)?;
            self.memory.read_slice(piece, address).or(Err(BadBuffer))
        })
    }

    /// Writes `data` from `offset` on. After an error, a part may be written.
    ///
    /// # Errors
    /// The buffers end earlier, or lie outside guest memory.
    pub(super) fn write_at(&self, offset: u64, data: &[u8]) -> Result<(), BadBuffer> {
        self.pieces(offset, data.len(), |address, range| {
            let piece = data.get(range).ok_or(BadBuffer)?;
            self.memory.write_slice(piece, address).or(Err(BadBuffer))
        })
    }

    /// Calls `copy` with each contiguous guest piece of `length` bytes from `offset` on, and its range in the
    /// host's slice.
    fn pieces(
        &self,
        offset: u64,
        length: usize,
        mut copy: impl FnMut(GuestAddress, std::ops::Range<usize>) -> Result<(), BadBuffer>,
    ) -> Result<(), BadBuffer> {
        let mut skip = offset;
        let mut done = 0;
        for segment in self.segments {
            if done == length {
                break;
            }
            let available = u64::from(segment.length);
            if skip >= available {
                skip -= available;
                continue;
            }
            let address = segment.address.0.checked_add(skip).ok_or(BadBuffer)?;
            let rest = usize::try_from(available - skip).or(Err(BadBuffer))?;
            let take = rest.min(length - done);
            copy(GuestAddress(address), done..done + take)?;
            done += take;
            skip = 0;
        }
        if done == length {
            Ok(())
        } else {
            Err(BadBuffer)
        }
    }
}

/// A virtqueue in the hands of a running device.
#[derive(Debug)]
pub(super) struct DeviceQueue {
    queue: Queue,
    /// The driver broke the ring.
    stopped: bool,
    malformed: u64,
}

impl DeviceQueue {
    pub(super) fn new(queue: Queue, stopped: bool) -> Self {
        DeviceQueue {
            queue,
            stopped,
            malformed: 0,
        }
    }

    /// Chains so far that broke the rules.
    #[must_use]
    pub(super) fn malformed(&self) -> u64 {
        self.malformed
    }

    /// Takes the next chain. A malformed one is answered with length 0 here.
    ///
    /// # Errors
    /// The driver broke the ring, now or earlier.
    pub(super) fn pop(
        &mut self,
        memory: &GuestMemory,
        interrupt: &Interrupt,
    ) -> Result<Next, QueueStopped> {
        let Some(raw) = self.pop_raw(memory, interrupt)? else {
            return Ok(Next::Empty);
        };
        let head = raw.head_index();
        if let Some(chain) = Chain::collect(raw) {
            return Ok(Next::Chain(chain));
        }
        self.malformed = self.malformed.saturating_add(1);
        self.finish(memory, interrupt, head, 0)?;
        Ok(Next::Malformed)
    }

    fn pop_raw<'m>(
        &mut self,
        memory: &'m GuestMemory,
        interrupt: &Interrupt,
    ) -> Result<Option<DescriptorChain<&'m GuestMemory>>, QueueStopped> {
        if self.stopped {
            return Err(QueueStopped);
        }
        match self.queue.iter(memory).map(|mut iter| iter.next()) {
            Ok(chain) => Ok(chain),
            Err(_) => Err(self.stop(interrupt)),
        }
    }

    /// Puts back the chain that was popped last, so that the next [`DeviceQueue::pop`] returns it again.
    pub(super) fn undo_pop(&mut self) {
        self.queue.go_to_previous_position();
    }

    /// Returns a chain with `written` bytes and raises the interrupt if the driver wants one.
    ///
    /// # Errors
    /// The used ring is out of reach; or the chain's head lies outside the ring.
    pub(super) fn push(
        &mut self,
        memory: &GuestMemory,
        interrupt: &Interrupt,
        chain: &Chain,
        written: u32,
    ) -> Result<(), QueueStopped> {
        self.finish(memory, interrupt, chain.head, written)
    }

    fn finish(
        &mut self,
        memory: &GuestMemory,
        interrupt: &Interrupt,
        head: u16,
        written: u32,
    ) -> Result<(), QueueStopped> {
        let added = self.queue.add_used(memory, head, written);
        match added.and_then(|()| self.queue.needs_notification(memory)) {
            Ok(true) => interrupt.signal_queue(),
            Ok(false) => {}
            Err(_) => return Err(self.stop(interrupt)),
        }
        Ok(())
    }

    /// Serves up to `budget` chains: `serve` returns how many bytes it wrote into the chain.
    pub(super) fn drain(
        &mut self,
        memory: &GuestMemory,
        interrupt: &Interrupt,
        budget: usize,
        serve: impl FnMut(&Chain) -> u32,
    ) -> Progress {
        let drained = self.try_drain(memory, interrupt, budget, serve);
        drained.unwrap_or(Progress::Idle) // A stopped ring has nothing to do.
    }

    fn try_drain(
        &mut self,
        memory: &GuestMemory,
        interrupt: &Interrupt,
        budget: usize,
        mut serve: impl FnMut(&Chain) -> u32,
    ) -> Result<Progress, QueueStopped> {
        self.disarm(memory, interrupt)?;
        // Malformed chains and late arrivals count too: a driver that keeps the ring busy does not keep the thread.
        for _ in 0..budget {
            match self.pop(memory, interrupt)? {
                Next::Chain(chain) => {
                    let written = serve(&chain);
                    self.push(memory, interrupt, &chain, written)?;
                }
                Next::Malformed => {}
                Next::Empty => {
                    if !self.arm(memory, interrupt)? {
                        return Ok(Progress::Idle);
                    }
                }
            }
        }
        Ok(Progress::Again)
    }

    /// Tells the driver that notifications are not needed for now.
    fn disarm(&mut self, memory: &GuestMemory, interrupt: &Interrupt) -> Result<(), QueueStopped> {
        if self.stopped {
            return Err(QueueStopped);
        }
        let disarmed = self.queue.disable_notification(memory);
        disarmed.map_err(|_| self.stop(interrupt))
    }

    /// Asks the driver for a notification at its next buffer; true if one came in the meantime.
    ///
    /// # Errors
    /// The driver broke the ring.
    pub(super) fn arm(
        &mut self,
        memory: &GuestMemory,
        interrupt: &Interrupt,
    ) -> Result<bool, QueueStopped> {
        if self.stopped {
            return Err(QueueStopped);
        }
        let armed = self.queue.enable_notification(memory);
        armed.map_err(|_| self.stop(interrupt))
    }

    fn stop(&mut self, interrupt: &Interrupt) -> QueueStopped {
        self.stopped = true;
        interrupt.request_reset();
        QueueStopped
    }

    pub(super) fn save(&self) -> QueueSnapshot {
        QueueSnapshot {
            size: self.queue.size(),
            next_avail: self.queue.next_avail(),
            next_used: self.queue.next_used(),
            desc_table: self.queue.desc_table(),
            avail_ring: self.queue.avail_ring(),
            used_ring: self.queue.used_ring(),
            stopped: self.stopped,
        }
    }
}

/// What the ring had next.
#[derive(Debug)]
pub(super) enum Next {
    /// A request: give it back by [`DeviceQueue::push`] or [`DeviceQueue::undo_pop`].
    Chain(Chain),
    /// A chain that broke the rules, already answered.
    Malformed,
    /// Nothing.
    Empty,
}

#[cfg(test)]
#[path = "queue_test.rs"]
mod tests;
