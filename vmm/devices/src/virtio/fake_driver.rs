//! A driver for tests: a small honest one, which can also be told to write nonsense.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use vm_memory::{Bytes, GuestAddress};

use super::transport::registers::register;
use super::{Activation, DeviceInfo, Interrupt, Slot, Transport, Trigger, VirtioDevice};
use crate::GuestMemory;
use crate::bus::Effect;

/// Guest RAM is [0, `HOLE_START`) and [`HOLE_END`, `RAM_END`).
pub(super) const HOLE_START: u64 = 0x20_0000;
pub(super) const HOLE_END: u64 = 0x30_0000;
pub(super) const RAM_END: u64 = 0x60_0000;
/// Buffers of tests go here and above.
pub(super) const BUFFERS: u64 = HOLE_END;

const QUEUE_STRIDE: u64 = 0x4000;
const FIRST_QUEUE: u64 = 0x1000;
pub(super) const NEXT: u16 = 1;
pub(super) const WRITE: u16 = 2;
pub(super) const INDIRECT: u16 = 4;

#[derive(Default)]
pub(super) struct CountingTrigger(AtomicU64);

impl Trigger for Arc<CountingTrigger> {
    fn trigger(&self) -> io::Result<()> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}

pub(super) fn guest_memory() -> GuestMemory {
    let low = (GuestAddress(0), usize::try_from(HOLE_START).unwrap());
    let high = (
        GuestAddress(HOLE_END),
        usize::try_from(RAM_END - HOLE_END).unwrap(),
    );
    GuestMemory::from_ranges(&[low, high]).unwrap()
}

/// A line that counts its edges.
pub(super) fn interrupt() -> (Arc<Interrupt>, Arc<CountingTrigger>) {
    let trigger = Arc::new(CountingTrigger::default());
    (Interrupt::new(Box::new(Arc::clone(&trigger))), trigger)
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Buffer {
    pub(super) address: u64,
    pub(super) length: u32,
    pub(super) writable: bool,
}

pub(super) fn readable(address: u64, length: u32) -> Buffer {
    Buffer {
        address,
        length,
        writable: false,
    }
}

pub(super) fn writable(address: u64, length: u32) -> Buffer {
    Buffer {
        address,
        length,
        writable: true,
    }
}

struct Ring {
    base: u64,
    size: u16,
    next_descriptor: u16,
    avail: u16,
    used: u16,
}

/// The rings of one device, and its registers.
pub(super) struct FakeDriver {
    pub(super) memory: GuestMemory,
    pub(super) transport: Transport,
    trigger: Arc<CountingTrigger>,
    rings: Vec<Ring>,
}

impl FakeDriver {
    /// Registers of a device that nothing was written to yet.
    pub(super) fn cold(
        info: DeviceInfo,
        memory: &GuestMemory,
        interrupt: &Arc<Interrupt>,
        trigger: &Arc<CountingTrigger>,
    ) -> Self {
        let sizes = info.queue_sizes;
        let rings = sizes.iter().zip(0..).map(|(size, index)| Ring {
            base: FIRST_QUEUE + index * QUEUE_STRIDE,
            size: *size,
            next_descriptor: 0,
            avail: 0,
            used: 0,
        });
        let rings = rings.collect();
        FakeDriver {
            memory: memory.clone(),
            transport: Transport::new(Slot(0), info, memory.clone(), Arc::clone(interrupt)),
            trigger: Arc::clone(trigger),
            rings,
        }
    }

    /// Starts a device with all features it offers.
    pub(super) fn start(
        device: &mut dyn VirtioDevice,
        memory: &GuestMemory,
        interrupt: &Arc<Interrupt>,
        trigger: &Arc<CountingTrigger>,
    ) -> Self {
        let features = device.info().features;
        Self::start_with(device, features, memory, interrupt, trigger)
    }

    pub(super) fn start_with(
        device: &mut dyn VirtioDevice,
        features: u64,
        memory: &GuestMemory,
        interrupt: &Arc<Interrupt>,
        trigger: &Arc<CountingTrigger>,
    ) -> Self {
        let mut driver = Self::cold(device.info(), memory, interrupt, trigger);
        let activation = driver
            .negotiate(features)
            .expect("the device refuses its driver");
        device.activate(activation);
        assert!(device.is_active());
        driver
    }

    pub(super) fn write(&mut self, offset: u64, value: u32) -> Effect {
        self.transport.write(offset, &value.to_le_bytes())
    }

    pub(super) fn read(&mut self, offset: u64) -> u32 {
        let mut word = [0; 4];
        self.transport.read(offset, &mut word);
        u32::from_le_bytes(word)
    }

    pub(super) fn status(&mut self) -> u32 {
        self.read(register::STATUS)
    }

    /// A write that has no effect on the machine.
    pub(super) fn set(&mut self, offset: u64, value: u32) {
        let effect = self.write(offset, value);
        assert!(
            matches!(effect, Effect::None),
            "{offset:#x} := {value:#x}: {effect:?}"
        );
    }

    /// The four steps of an orderly driver.
    pub(super) fn negotiate(&mut self, features: u64) -> Option<Activation> {
        self.offer(features);
        self.set_queues();
        match self.write(register::STATUS, 0xf) {
            Effect::Activate(activation) => Some(activation),
            Effect::None => None,
            other => panic!("{other:?}"),
        }
    }

    /// Up to FEATURES_OK.
    pub(super) fn offer(&mut self, features: u64) {
        self.set(register::STATUS, 1);
        self.set(register::STATUS, 3);
        for half in 0..2 {
            self.set(register::DRIVER_FEATURES_SELECT, half);
            let bits = (features >> (32 * half)) & u64::from(u32::MAX);
            self.set(register::DRIVER_FEATURES, u32::try_from(bits).unwrap());
        }
        self.set(register::STATUS, 0xb);
    }

    /// All queues, ready.
    pub(super) fn set_queues(&mut self) {
        for index in 0..self.rings.len() {
            self.set_queue(index);
            self.set(register::QUEUE_READY, 1);
        }
    }

    /// One queue, selected and not ready yet.
    pub(super) fn set_queue(&mut self, index: usize) {
        let Ring { base, size, .. } = self.rings[index];
        let low = |address: u64| u32::try_from(address).unwrap();
        self.set(register::QUEUE_SELECT, u32::try_from(index).unwrap());
        self.set(register::QUEUE_SIZE, size.into());
        self.set(register::QUEUE_DESC_LOW, low(base));
        self.set(register::QUEUE_DRIVER_LOW, low(base + 0x1000));
        self.set(register::QUEUE_DEVICE_LOW, low(base + 0x2000));
    }

    /// Puts a chain of direct descriptors into a ring and returns its head.
    pub(super) fn add(&mut self, queue: usize, buffers: &[Buffer]) -> u16 {
        let size = self.rings[queue].size;
        let head = self.rings[queue].next_descriptor;
        for (position, buffer) in buffers.iter().enumerate() {
            let index = (head + u16::try_from(position).unwrap()) % size;
            let last = position + 1 == buffers.len();
            let link = if last { 0 } else { NEXT };
            let kind = if buffer.writable { WRITE } else { 0 };
            self.descriptor(queue, index, *buffer, kind | link, (index + 1) % size);
        }
        self.rings[queue].next_descriptor = (head + u16::try_from(buffers.len()).unwrap()) % size;
        self.offer_head(queue, head);
        head
    }

    /// Puts one descriptor, `table` pointing at descriptors that the caller wrote, into a ring.
    pub(super) fn add_indirect(&mut self, queue: usize, table: u64, bytes: u32) -> u16 {
        let head = self.rings[queue].next_descriptor;
        self.descriptor(queue, head, readable(table, bytes), INDIRECT, 0);
        self.rings[queue].next_descriptor = (head + 1) % self.rings[queue].size;
        self.offer_head(queue, head);
        head
    }

    /// Writes one descriptor of a queue's table.
    pub(super) fn descriptor(
        &self,
        queue: usize,
        index: u16,
        buffer: Buffer,
        flags: u16,
        next: u16,
    ) {
        let address = self.rings[queue].base + u64::from(index) * 16;
        self.descriptor_at(address, buffer, flags, next);
    }

    /// Writes one descriptor anywhere.
    pub(super) fn descriptor_at(&self, address: u64, buffer: Buffer, flags: u16, next: u16) {
        let mut bytes = Vec::new();
        bytes.extend(buffer.address.to_le_bytes());
        bytes.extend(buffer.length.to_le_bytes());
        bytes.extend(flags.to_le_bytes());
        bytes.extend(next.to_le_bytes());
        self.put(address, &bytes);
    }

    /// Makes a head available.
    pub(super) fn offer_head(&mut self, queue: usize, head: u16) {
        let Ring {
            base, size, avail, ..
        } = self.rings[queue];
        self.put(
            base + 0x1000 + 4 + u64::from(avail % size) * 2,
            &head.to_le_bytes(),
        );
        self.set_avail_index(queue, avail.wrapping_add(1));
    }

    pub(super) fn set_avail_index(&mut self, queue: usize, index: u16) {
        self.rings[queue].avail = index;
        self.put(self.rings[queue].base + 0x1000 + 2, &index.to_le_bytes());
    }

    /// Asks for an interrupt at the next used buffer.
    pub(super) fn want_interrupt(&self, queue: usize) {
        let Ring {
            base, size, used, ..
        } = self.rings[queue];
        self.put(base + 0x1000 + 4 + u64::from(size) * 2, &used.to_le_bytes());
    }

    /// The next used buffer: its head and length.
    pub(super) fn used(&mut self, queue: usize) -> Option<(u16, u32)> {
        let Ring {
            base, size, used, ..
        } = self.rings[queue];
        let index = u16::from_le_bytes(self.get(base + 0x2000 + 2, 2).try_into().unwrap());
        if index == used {
            return None;
        }
        let element = self.get(base + 0x2000 + 4 + u64::from(used % size) * 8, 8);
        self.rings[queue].used = used.wrapping_add(1);
        let head = u32::from_le_bytes(element[..4].try_into().unwrap());
        let length = u32::from_le_bytes(element[4..].try_into().unwrap());
        Some((u16::try_from(head).unwrap(), length))
    }

    /// The index after which the device wants to be notified.
    pub(super) fn avail_event(&self, queue: usize) -> u16 {
        let Ring { base, size, .. } = self.rings[queue];
        let bytes = self.get(base + 0x2000 + 4 + u64::from(size) * 8, 2);
        u16::from_le_bytes(bytes.try_into().unwrap())
    }

    pub(super) fn put(&self, address: u64, bytes: &[u8]) {
        self.memory
            .write_slice(bytes, GuestAddress(address))
            .unwrap();
    }

    pub(super) fn get(&self, address: u64, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.memory
            .read_slice(&mut bytes, GuestAddress(address))
            .unwrap();
        bytes
    }

    /// Edges so far.
    pub(super) fn edges(&self) -> u64 {
        self.trigger.0.load(Ordering::SeqCst)
    }

    /// A driver's view after save and restore: the same rings, new registers.
    pub(super) fn moved_to(self, transport: Transport, trigger: &Arc<CountingTrigger>) -> Self {
        FakeDriver {
            transport,
            trigger: Arc::clone(trigger),
            ..self
        }
    }
}
