//! The devices that the event loop itself runs: the images' disk, vsock, rng, balloon. None of them waits for a slow file but that
//! disk, whose images are in the host's page cache or on their way there.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

use bulkhead_devices::virtio::blk::BlkCounters;
use bulkhead_devices::virtio::vsock::{Change, ConnectError, Interest, RX_QUEUE, Readiness, Token};
use bulkhead_devices::virtio::{Balloon, Blk, Progress, Rng, Slot, VirtioDevice, Vsock};
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};

use crate::disk_worker::carry_out;
use crate::mailbox::Order;
use crate::shared::Shared;

/// Sockets that one look at the vsock's epoll takes; the rest is there at the next look.
const EVENTS_AT_ONCE: usize = 32;

/// Devices by slot, and the sockets of the guest's connections.
pub struct LoopDevices {
    disks: Vec<(Slot, Blk)>,
    vsock: (Slot, Vsock),
    rng: (Slot, Rng),
    balloon: (Slot, Balloon),
    /// Watches the connections' sockets; itself watched by the loop, so that all of them can be left alone at once.
    sockets: OwnedFd,
}

impl LoopDevices {
    /// Takes the devices over.
    ///
    /// # Errors
    /// When the host has no descriptors left.
    pub fn new(
        disks: Vec<(Slot, Blk)>,
        vsock: (Slot, Vsock),
        rng: (Slot, Rng),
        balloon: (Slot, Balloon),
    ) -> io::Result<Self> {
        Ok(Self {
            disks,
            vsock,
            rng,
            balloon,
            sockets: epoll::create(CreateFlags::CLOEXEC)?,
        })
    }

    /// What the loop watches for the guest's connections.
    pub fn sockets(&self) -> &OwnedFd {
        &self.sockets
    }

    /// Slots of all devices here.
    pub fn slots(&self) -> impl Iterator<Item = Slot> + '_ {
        let disks = self.disks.iter().map(|(slot, _)| *slot);
        disks.chain([self.vsock.0, self.rng.0, self.balloon.0])
    }

    /// Serves a queue once.
    pub fn handle_queue(&mut self, slot: Slot, queue: usize) -> Progress {
        match self.device(slot) {
            Some(device) => device.handle_queue(queue),
            None => Progress::Idle,
        }
    }

    /// Carries out an order for a device here.
    pub fn carry_out(&mut self, order: Order, shared: &Shared) {
        match order {
            Order::Activate(activation) => {
                if let Some(device) = self.device(activation.slot()) {
                    device.activate(activation);
                }
            }
            Order::Reset(slot) => {
                if let Some(device) = self.device(slot) {
                    device.reset();
                    shared.buses.mmio.reset_done(slot);
                }
            }
            Order::Grow(slot, _) => {
                if let Some((_, disk)) = self.disks.iter_mut().find(|(at, _)| *at == slot) {
                    carry_out(disk, order, shared);
                }
            }
        }
    }

    /// The balloon.
    pub fn balloon(&mut self) -> &mut Balloon {
        &mut self.balloon.1
    }

    /// The queue to serve after [`LoopDevices::connect`] and [`LoopDevices::serve_sockets`].
    pub fn to_guest(&self) -> (Slot, usize) {
        (self.vsock.0, RX_QUEUE)
    }

    /// A connection from the host to the guest.
    ///
    /// # Errors
    /// When the device has no room for it, or no driver; the stream is then closed.
    pub fn connect(&mut self, port: u32, stream: UnixStream) -> Result<(), ConnectError> {
        self.vsock.1.connect(port, stream)
    }

    /// Serves the connections' sockets that have something to say.
    pub fn serve_sockets(&mut self) -> io::Result<()> {
        let mut events = Vec::with_capacity(EVENTS_AT_ONCE);
        let at_once = Timespec::default();
        let buffer = rustix::buffer::spare_capacity(&mut events);
        match epoll::wait(&self.sockets, buffer, Some(&at_once)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        for event in &events {
            let flags = event.flags;
            let readiness = Readiness {
                readable: flags.contains(EventFlags::IN),
                writable: flags.contains(EventFlags::OUT),
                hangup: flags.intersects(EventFlags::HUP | EventFlags::ERR),
            };
            self.vsock.1.ready(Token(event.data.u64()), readiness);
        }
        Ok(())
    }

    /// After every call above: follows the connections' wishes, and gives each new connection of the guest to `accept`.
    pub fn settle(&mut self, mut accept: impl FnMut(u32, UnixStream)) {
        while let Some(incoming) = self.vsock.1.take_incoming() {
            accept(incoming.port, incoming.stream);
        }
        let sockets = &self.sockets;
        self.vsock.1.poll_changes(|token, socket, change| {
            let data = EventData::new_u64(token.0);
            // The only failure is the host's limit of watches: the connection then stands still, alone.
            let _ = match change {
                Change::Add(interest) => epoll::add(sockets, socket, data, flags(interest)),
                Change::Modify(interest) => epoll::modify(sockets, socket, data, flags(interest)),
                Change::Remove => epoll::delete(sockets, socket.as_fd()),
            };
        });
    }

    /// What the devices here have counted.
    pub fn counters(&self) -> Vec<(String, u64)> {
        let (vsock, rng) = (self.vsock.1.counters(), self.rng.1.counters());
        let balloon = self.balloon.1.counters();
        let mut counters = vec![
            ("vsock.malformed".to_owned(), vsock.malformed),
            ("vsock.refused".to_owned(), vsock.refused),
            ("vsock.dropped_resets".to_owned(), vsock.dropped_resets),
            ("vsock.host_errors".to_owned(), vsock.host_errors),
            ("rng.malformed".to_owned(), rng.malformed),
            ("rng.host_errors".to_owned(), rng.host_errors),
            (
                "balloon.discarded_bytes".to_owned(),
                balloon.discarded_bytes,
            ),
            ("balloon.malformed".to_owned(), balloon.malformed),
            ("balloon.host_errors".to_owned(), balloon.host_errors),
        ];
        for (slot, disk) in &self.disks {
            counters.extend(disk_counters(*slot, disk.counters()));
        }
        counters
    }

    fn device(&mut self, slot: Slot) -> Option<&mut dyn VirtioDevice> {
        if slot == self.vsock.0 {
            return Some(&mut self.vsock.1);
        }
        if slot == self.rng.0 {
            return Some(&mut self.rng.1);
        }
        if slot == self.balloon.0 {
            return Some(&mut self.balloon.1);
        }
        let (_, disk) = self.disks.iter_mut().find(|(at, _)| *at == slot)?;
        Some(disk)
    }
}

/// A disk's counters, by name.
pub fn disk_counters(slot: Slot, counters: BlkCounters) -> [(String, u64); 5] {
    let name = |what: &str| format!("disk{slot}.{what}");
    [
        (name("read_bytes"), counters.read_bytes),
        (name("written_bytes"), counters.written_bytes),
        (name("malformed"), counters.malformed),
        (name("refused"), counters.refused),
        (name("host_errors"), counters.host_errors),
    ]
}

fn flags(interest: Interest) -> EventFlags {
    let mut flags = EventFlags::empty();
    flags.set(EventFlags::IN, interest.readable);
    flags.set(EventFlags::OUT, interest.writable);
    flags
}
