//! Dispatch of guest port and memory accesses by address.
//!
//! Guest view: every access succeeds. What no device answers reads as all ones and ignores writes.
//!
//! Invariant: ranges do not overlap and do not wrap (checked when a bus is built), so that at most
//! one device sees an access; a device's lock is held for its register work alone, never for I/O.

use std::sync::{Mutex, MutexGuard, PoisonError};

use thiserror::Error;

use crate::virtio::{Activation, Slot, Transport, TransportState};

/// Size of one virtio-mmio register window, bytes.
pub const MMIO_WINDOW: u64 = 0x1000;

/// What an empty bus reads as.
const FLOATING: u8 = 0xff;

/// What a guest write asks of the machine.
#[derive(Debug)]
#[must_use = "an effect that nobody applies is a lost guest request"]
pub enum Effect {
    /// Nothing to do.
    None,
    /// The guest asks for a reset of the whole machine.
    Reset,
    /// A driver finished its negotiation: hand this to the owner of the device in that slot.
    Activate(Activation),
    /// A driver reset a running device: its owner calls [`crate::virtio::VirtioDevice::reset`], then
    /// [`MmioBus::reset_done`].
    ResetDevice(Slot),
    /// A queue has new buffers (only when no ioeventfd caught the write).
    Notify {
        /// The device.
        slot: Slot,
        /// Index of its queue.
        queue: usize,
    },
}

/// A device of byte-wide ports.
pub trait PortDevice {
    /// Reads the port `offset` ports above the device's base.
    fn read(&mut self, offset: u16) -> u8;
    /// Writes that port.
    fn write(&mut self, offset: u16, value: u8) -> Effect;
}

/// A port device and where it sits.
pub struct PortRange {
    /// First port.
    pub base: u16,
    /// Number of ports, at least 1.
    pub len: u16,
    /// The device.
    pub device: Box<dyn PortDevice + Send>,
}

/// A virtio-mmio transport and where its window of [`MMIO_WINDOW`] bytes starts.
pub struct MmioRange {
    /// First address.
    pub base: u64,
    /// The registers.
    pub transport: Transport,
}

/// Why a bus cannot be built: always the machine's mistake, never a guest's.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum BusError {
    /// Two ranges share an address.
    #[error("bus range {base:#x}+{len:#x} overlaps {other:#x}+{other_len:#x}")]
    Overlap {
        /// Start of the later range.
        base: u64,
        /// Its length.
        len: u64,
        /// Start of the earlier range.
        other: u64,
        /// Its length.
        other_len: u64,
    },
    /// A range is empty or ends beyond the address space.
    #[error("bus range {base:#x}+{len:#x} is empty or ends beyond {limit:#x}")]
    Span {
        /// Start of the range.
        base: u64,
        /// Its length.
        len: u64,
        /// Largest address of the space.
        limit: u64,
    },
    /// Two transports carry one slot number.
    #[error("slot {0} is on the bus twice")]
    DuplicateSlot(Slot),
}

struct Entry<D> {
    base: u64,
    len: u64,
    device: Mutex<D>,
}

/// Non-overlapping ranges, sorted by base.
struct RangeMap<D>(Vec<Entry<D>>);

impl<D> RangeMap<D> {
    fn new(mut entries: Vec<Entry<D>>, limit: u64) -> Result<Self, BusError> {
        for &Entry { base, len, .. } in &entries {
            let last = len.checked_sub(1).and_then(|span| base.checked_add(span));
            if last.is_none_or(|last| last > limit) {
                return Err(BusError::Span { base, len, limit });
            }
        }
        entries.sort_by_key(|entry| entry.base);
        for pair in entries.windows(2) {
            if let [first, second] = pair
                && second.base - first.base < first.len
            {
                return Err(BusError::Overlap {
                    base: second.base,
                    len: second.len,
                    other: first.base,
                    other_len: first.len,
                });
            }
        }
        Ok(RangeMap(entries))
    }

    /// The device at `address` and the offset of `address` in it.
    fn find(&self, address: u64) -> Option<(MutexGuard<'_, D>, u64)> {
        let after = self.0.partition_point(|entry| entry.base <= address);
        let entry = self.0.get(after.checked_sub(1)?)?;
        let offset = address - entry.base;
        (offset < entry.len).then(|| (lock(&entry.device), offset))
    }
}

/// A device whose owner panicked is as usable as before: registers have no half-done state worth more than the VM.
fn lock<D>(device: &Mutex<D>) -> MutexGuard<'_, D> {
    device.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The I/O port space.
pub struct PortBus {
    devices: RangeMap<Box<dyn PortDevice + Send>>,
}

impl PortBus {
    /// Puts the devices on a bus.
    ///
    /// # Errors
    /// Overlapping, empty or wrapping ranges.
    pub fn new(ranges: Vec<PortRange>) -> Result<Self, BusError> {
        let entries = ranges.into_iter().map(|range| Entry {
            base: range.base.into(),
            len: range.len.into(),
            device: Mutex::new(range.device),
        });
        let devices = RangeMap::new(entries.collect(), u16::MAX.into())?;
        Ok(PortBus { devices })
    }

    /// One guest `in` of `data.len()` bytes; byte `i` comes from `port + i`, as on an ISA bus.
    pub fn read(&self, port: u16, data: &mut [u8]) {
        let mut port = port;
        for byte in data {
            *byte = match self.find(port) {
                Some((mut device, offset)) => device.read(offset),
                None => FLOATING,
            };
            port = port.wrapping_add(1);
        }
    }

    /// One guest `out`; returns the first effect that is not [`Effect::None`].
    pub fn write(&self, port: u16, data: &[u8]) -> Effect {
        let mut port = port;
        let mut effect = Effect::None;
        for &byte in data {
            if let Some((mut device, offset)) = self.find(port) {
                let new = device.write(offset, byte);
                if matches!(effect, Effect::None) {
                    effect = new;
                }
            }
            port = port.wrapping_add(1);
        }
        effect
    }

    fn find(&self, port: u16) -> Option<(MutexGuard<'_, Box<dyn PortDevice + Send>>, u16)> {
        let (device, offset) = self.devices.find(port.into())?;
        Some((device, u16::try_from(offset).ok()?))
    }
}

/// The memory-mapped register space: virtio-mmio transports alone.
pub struct MmioBus {
    transports: RangeMap<Transport>,
    /// Index into `transports` for each slot that has one.
    slots: Vec<(Slot, usize)>,
}

impl MmioBus {
    /// Puts the transports on a bus.
    ///
    /// # Errors
    /// Overlapping or wrapping windows, or a slot that occurs twice.
    pub fn new(ranges: Vec<MmioRange>) -> Result<Self, BusError> {
        let entries = ranges.into_iter().map(|range| Entry {
            base: range.base,
            len: MMIO_WINDOW,
            device: Mutex::new(range.transport),
        });
        let transports = RangeMap::new(entries.collect(), u64::MAX)?;
        let mut slots: Vec<(Slot, usize)> = Vec::with_capacity(transports.0.len());
        for (index, entry) in transports.0.iter().enumerate() {
            let slot = lock(&entry.device).slot();
            if slots.iter().any(|(other, _)| *other == slot) {
                return Err(BusError::DuplicateSlot(slot));
            }
            slots.push((slot, index));
        }
        Ok(MmioBus { transports, slots })
    }

    /// One guest load of `data.len()` bytes.
    pub fn read(&self, address: u64, data: &mut [u8]) {
        match self.transports.find(address) {
            Some((mut transport, offset)) => transport.read(offset, data),
            None => data.fill(FLOATING),
        }
    }

    /// One guest store.
    pub fn write(&self, address: u64, data: &[u8]) -> Effect {
        match self.transports.find(address) {
            Some((mut transport, offset)) => transport.write(offset, data),
            None => Effect::None,
        }
    }

    /// The owner of the device in `slot` says that it is quiescent after [`Effect::ResetDevice`].
    /// A slot that is not on the bus is ignored.
    pub fn reset_done(&self, slot: Slot) {
        if let Some(mut transport) = self.transport(slot) {
            transport.reset_done();
        }
    }

    /// The registers of the device in `slot`, as plain data.
    #[must_use]
    pub fn save(&self, slot: Slot) -> Option<TransportState> {
        self.transport(slot).map(|transport| transport.save())
    }

    fn transport(&self, slot: Slot) -> Option<MutexGuard<'_, Transport>> {
        let (_, index) = self.slots.iter().find(|(other, _)| *other == slot)?;
        self.transports
            .0
            .get(*index)
            .map(|entry| lock(&entry.device))
    }
}

#[cfg(test)]
#[path = "bus_test.rs"]
mod tests;
