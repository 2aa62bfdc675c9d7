//! The machine's devices, in their fixed order: disks, vsock, rng, balloon, shares; each with its window, interrupt line and bells.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use bulkhead_devices::bus::{MMIO_WINDOW, MmioRange, PortRange};
use bulkhead_devices::virtio::blk::{Access, Disk, DiskError, Extent};
use bulkhead_devices::virtio::{
    Balloon, Blk, DeviceInfo, Interrupt, MMIO_QUEUE_NOTIFY, Rng, Slot, Transport, Trigger,
    VirtioDevice, Vsock, fs,
};
use bulkhead_devices::{
    ConsoleRing, EarlyConsole, Effect, GuestMemory, MmioBus, PortBus, ResetPort, bus::BusError,
    early_console, reset_port,
};
use bulkhead_kvm::memory::GuestRam;
use bulkhead_kvm::{Event, Vm};
use bulkhead_protocol::vmm::{DiskAccess, DiskSpec, ShareSpec};
use vm_memory::GuestAddress;

use crate::interrupts::Interrupts;
use crate::ioapic;
use crate::layout::{IOAPIC, MAX_VIRTIO_DEVICES, VIRTIO_BASE, VIRTIO_LINE};

/// Devices that cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum DevicesError {
    /// A disk whose files do not fit its specification.
    #[error("disk {index}")]
    Disk {
        /// Its place in the specification.
        index: usize,
        /// What is wrong.
        source: DiskError,
    },
    /// More than there are interrupt lines for.
    #[error("{count} virtio devices are more than {MAX_VIRTIO_DEVICES}")]
    TooMany {
        /// How many.
        count: usize,
    },
    /// Two devices at one address.
    #[error(transparent)]
    Bus(#[from] BusError),
    /// The host has no descriptor or KVM no line left.
    #[error("cannot make a device's events")]
    Event(#[from] io::Error),
    /// KVM refuses an event.
    #[error(transparent)]
    Kvm(#[from] bulkhead_kvm::Error),
}

/// What the guest's accesses reach.
pub struct Buses {
    /// I/O ports.
    pub ports: PortBus,
    /// virtio-mmio windows.
    pub mmio: MmioBus,
    /// The IOAPIC.
    pub interrupts: Arc<Interrupts>,
}

/// The devices that run queues, each to be given to the thread that owns it.
pub struct Devices {
    /// All disks, with whether they have a thread of their own.
    pub disks: Vec<(Slot, Blk, bool)>,
    /// The guest's connections.
    pub vsock: (Slot, Vsock),
    /// Random numbers.
    pub rng: (Slot, Rng),
    /// Free memory that comes back.
    pub balloon: (Slot, Balloon),
    /// Shared directories, in the specification's order.
    pub shares: Vec<Share>,
}

/// A shared directory: its registers are here, and all else in another process.
pub struct Share {
    /// Its place.
    pub slot: Slot,
    /// Its name in the guest.
    pub tag: String,
    /// To the other process.
    pub socket: UnixStream,
    /// Shared with the registers.
    pub interrupt: Arc<Interrupt>,
}

/// The events of one device.
#[derive(Debug)]
pub struct Line {
    slot: Slot,
    /// One bell a queue, rung by the guest's notification.
    pub queues: Vec<Arc<Event>>,
}

/// A device's interrupt line.
struct IrqLine {
    interrupts: Arc<Interrupts>,
    line: usize,
}

impl Trigger for IrqLine {
    fn trigger(&self) -> io::Result<()> {
        self.interrupts.raise(self.line)
    }
}

/// What the devices are made of.
pub struct DevicesSpec<'a> {
    /// Disks in the guest's order.
    pub disks: &'a [DiskSpec],
    /// Shared directories.
    pub shares: &'a [ShareSpec],
    /// Descriptors that extents and shares refer to.
    pub files: &'a [OwnedFd],
    /// The guest's vsock address.
    pub vsock_cid: u32,
    /// Copy the early console to standard error.
    pub debug_console: bool,
}

/// Virtio devices of a machine with so many disks and shared directories.
pub const fn count(disks: usize, shares: usize) -> usize {
    disks + 3 + shares
}

/// Lines of the IOAPIC: one for each device, from line 0 on, which nobody uses, to the last.
pub fn interrupt_lines(spec: &DevicesSpec<'_>) -> u8 {
    let lines = VIRTIO_LINE + count(spec.disks.len(), spec.shares.len());
    u8::try_from(lines).map_or(ioapic::MAX_LINES, |lines| lines.min(ioapic::MAX_LINES))
}

/// Makes all devices, their notifications not yet known to KVM. `ring` gets what the guest prints early.
///
/// # Errors
/// When a disk is not as it should be, or the host has no descriptors left.
pub fn build(
    spec: &DevicesSpec<'_>,
    ram: &GuestRam,
    interrupts: &Arc<Interrupts>,
    ring: Arc<ConsoleRing>,
) -> Result<(Buses, Devices, Vec<Line>), DevicesError> {
    let memory = ram.memory();
    let total = count(spec.disks.len(), spec.shares.len());
    if total > MAX_VIRTIO_DEVICES {
        return Err(DevicesError::TooMany { count: total });
    }
    let mut plugged = Plugged {
        interrupts: Arc::clone(interrupts),
        windows: Vec::with_capacity(total),
        lines: Vec::with_capacity(total),
    };
    let mut disks = Vec::with_capacity(spec.disks.len());
    for (index, disk) in spec.disks.iter().enumerate() {
        let opened =
            open_disk(disk, spec.files).map_err(|source| DevicesError::Disk { index, source })?;
        let id = format!("disk{index}");
        let (slot, blk) = plugged.plug(memory, |interrupt| {
            Blk::new(opened, &id, memory.clone(), interrupt)
        })?;
        disks.push((slot, blk, disk.own_thread));
    }
    let vsock = plugged.plug(memory, |interrupt| {
        Vsock::new(spec.vsock_cid, memory.clone(), interrupt)
    })?;
    // The kernel has a seed, and memory to give back comes later.
    let rng = plugged.plug_late(memory, |interrupt| Rng::new(memory.clone(), interrupt))?;
    let owned = ram.clone();
    let discard = Box::new(move |address, length| owned.discard(address, length));
    let balloon = plugged.plug_late(memory, |interrupt| {
        Balloon::new(memory.clone(), interrupt, discard)
    })?;
    let mut shares = Vec::with_capacity(spec.shares.len());
    for share in spec.shares {
        // An index that is not there cannot come here: `Spec` has checked them.
        let socket = spec.files[usize::from(share.socket.0)].try_clone()?;
        let (slot, interrupt) = plugged.registers(memory, |_| fs::info(&share.tag))?;
        if share.late {
            plugged.hide_once();
        }
        shares.push(Share {
            slot,
            tag: share.tag.to_string(),
            socket: UnixStream::from(socket),
            interrupt,
        });
    }
    let buses = Buses {
        ports: ports(ring, spec.debug_console)?,
        mmio: MmioBus::new(plugged.windows)?,
        interrupts: Arc::clone(interrupts),
    };
    let devices = Devices {
        disks,
        vsock,
        rng,
        balloon,
        shares,
    };
    Ok((buses, devices, plugged.lines))
}

fn ports(ring: Arc<ConsoleRing>, debug_console: bool) -> Result<PortBus, BusError> {
    let live: Option<Box<dyn io::Write + Send>> = if debug_console {
        Some(Box::new(io::stderr()))
    } else {
        None
    };
    PortBus::new(vec![
        PortRange {
            base: reset_port::BASE,
            len: reset_port::LEN,
            device: Box::new(ResetPort),
        },
        PortRange {
            base: early_console::BASE,
            len: early_console::LEN,
            device: Box::new(EarlyConsole::new(ring, live)),
        },
    ])
}

/// The devices made so far.
struct Plugged {
    interrupts: Arc<Interrupts>,
    windows: Vec<MmioRange>,
    lines: Vec<Line>,
}

impl Plugged {
    /// Makes the next device, and its registers.
    fn plug<D: VirtioDevice>(
        &mut self,
        memory: &GuestMemory,
        make: impl FnOnce(Arc<Interrupt>) -> D,
    ) -> Result<(Slot, D), DevicesError> {
        let mut device = None;
        let (slot, _) = self.registers(memory, |interrupt| {
            device.insert(make(Arc::clone(interrupt))).info()
        })?;
        Ok((slot, device.expect("made with its registers")))
    }

    /// Makes the next device for a driver that the agent binds when the apps run (`agent/src/setup.rs`): no boot needs it.
    fn plug_late<D: VirtioDevice>(
        &mut self,
        memory: &GuestMemory,
        make: impl FnOnce(Arc<Interrupt>) -> D,
    ) -> Result<(Slot, D), DevicesError> {
        let plugged = self.plug(memory, make)?;
        self.hide_once();
        Ok(plugged)
    }

    /// The kernel's first look at the last device finds a placeholder.
    fn hide_once(&mut self) {
        if let Some(window) = self.windows.last_mut() {
            window.transport.hide_once();
        }
    }

    /// Makes the registers of the next device, which runs somewhere else.
    fn registers(
        &mut self,
        memory: &GuestMemory,
        info: impl FnOnce(&Arc<Interrupt>) -> DeviceInfo,
    ) -> Result<(Slot, Arc<Interrupt>), DevicesError> {
        let slot = Slot(u8::try_from(self.lines.len()).expect("counted before"));
        let interrupt = Interrupt::new(Box::new(IrqLine {
            interrupts: Arc::clone(&self.interrupts),
            line: VIRTIO_LINE + self.lines.len(),
        }));
        let info = info(&interrupt);
        self.lines.push(line(slot, &info)?);
        self.windows.push(MmioRange {
            base: window(slot),
            transport: Transport::new(slot, info, memory.clone(), Arc::clone(&interrupt)),
        });
        Ok((slot, interrupt))
    }
}

fn line(slot: Slot, info: &DeviceInfo) -> io::Result<Line> {
    let queues: io::Result<_> = (0..info.queue_count())
        .map(|_| Event::new().map(Arc::new))
        .collect();
    Ok(Line {
        slot,
        queues: queues?,
    })
}

fn window(slot: Slot) -> u64 {
    VIRTIO_BASE + u64::from(slot.0) * MMIO_WINDOW
}

fn open_disk(spec: &DiskSpec, files: &[OwnedFd]) -> Result<Disk, DiskError> {
    let mut extents = Vec::with_capacity(spec.extents.len());
    for extent in spec.extents.iter() {
        // An index that is not there cannot come here: `Spec` has checked them.
        let file = &files[usize::from(extent.file.0)];
        extents.push(Extent {
            file: File::from(file.try_clone().map_err(DiskError::Examine)?),
            offset: extent.offset,
            length: extent.length,
        });
    }
    let access = match spec.access {
        DiskAccess::ReadOnly => Access::ReadOnly,
        DiskAccess::Writable => Access::Writable,
        DiskAccess::Temporary => Access::Temporary,
    };
    Disk::new(extents, access)
}

impl Buses {
    /// One guest load.
    pub fn read_memory(&self, address: u64, data: &mut [u8]) {
        match ioapic_offset(address) {
            Some(offset) => self.interrupts.read(offset, data),
            None => self.mmio.read(address, data),
        }
    }

    /// One guest store.
    pub fn write_memory(&self, address: u64, data: &[u8]) -> Effect {
        match ioapic_offset(address) {
            Some(offset) => {
                self.interrupts.write(offset, data);
                Effect::None
            }
            None => self.mmio.write(address, data),
        }
    }
}

fn ioapic_offset(address: u64) -> Option<u64> {
    let offset = address.checked_sub(IOAPIC.into())?;
    (offset < ioapic::WINDOW).then_some(offset)
}

impl Line {
    /// Tells KVM of the queues' notifications.
    ///
    /// # Errors
    /// When KVM refuses.
    pub fn register(&self, vm: &Vm) -> Result<(), bulkhead_kvm::Error> {
        let address = GuestAddress(window(self.slot) + MMIO_QUEUE_NOTIFY);
        for (value, queue) in (0..).zip(&self.queues) {
            vm.register_write_event(queue, address, value)?;
        }
        Ok(())
    }
}
