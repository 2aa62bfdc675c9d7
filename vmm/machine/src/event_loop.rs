//! The one epoll loop: queues of the devices that need no thread of their own, the guest's connections, the control
//! socket.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use bulkhead_devices::virtio::blk::Extent;
use bulkhead_devices::virtio::{Progress, Slot};
use bulkhead_kvm::VcpuStats;
use bulkhead_protocol::vmm::{self, ExitReason, FromVmm, StartTimes, ToVmm};
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};

use crate::control::{Control, ControlError};
use crate::end::{chain, failure};
use crate::loop_devices::LoopDevices;
use crate::mailbox::{Mailbox, Order};
use crate::pressure::Pressure;
use crate::shared::Shared;
use crate::stats;
use crate::vcpus::VcpuThreads;

/// Ready descriptors that one turn takes; the rest is there at the next.
const EVENTS_AT_ONCE: usize = 32;

/// What a descriptor is, in its epoll data. Queues are `QUEUE | slot << 8 | queue`.
const WAKE: u64 = 0;
const CONTROL: u64 = 1;
const MAILBOX: u64 = 2;
const SOCKETS: u64 = 3;
const PRESSURE: u64 = 4;
const QUEUE: u64 = 1 << 16;

/// How far a pause is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pause {
    Running,
    /// vCPUs are on their way to their gate.
    StoppingVcpus,
    /// vCPUs stand; disk workers finish what they do.
    StoppingWorkers,
    Paused,
}

/// The loop and what it owns.
pub struct EventLoop {
    epoll: OwnedFd,
    shared: Arc<Shared>,
    control: Arc<Control>,
    mailbox: Arc<Mailbox>,
    devices: LoopDevices,
    vcpus: VcpuThreads,
    /// The disks' slots, in the specification's order.
    disks: Vec<Slot>,
    times: StartTimes,
    stats: Vec<VcpuStats>,
    started: bool,
    pause: Pause,
    pressure: Option<Pressure>,
    /// Queues that used up their turn, or were rung during a pause.
    again: Vec<(Slot, usize)>,
}

/// What the loop needs; see the fields of [`EventLoop`].
pub struct Parts {
    /// Shared with all threads.
    pub shared: Arc<Shared>,
    /// The control socket.
    pub control: Arc<Control>,
    /// Orders to the devices here.
    pub mailbox: Arc<Mailbox>,
    /// The devices here.
    pub devices: LoopDevices,
    /// The vCPUs, running.
    pub vcpus: VcpuThreads,
    /// The disks' slots.
    pub disks: Vec<Slot>,
    /// When the start's phases ended, but the last.
    pub times: StartTimes,
    /// The vCPUs' counters.
    pub stats: Vec<VcpuStats>,
}

impl EventLoop {
    /// Watches everything; runs nothing yet.
    ///
    /// # Errors
    /// When the host has no descriptors or watches left.
    pub fn new(parts: Parts) -> io::Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        watch(&epoll, &*parts.shared.wake, WAKE)?;
        watch(&epoll, &*parts.control, CONTROL)?;
        watch(&epoll, parts.mailbox.bell(), MAILBOX)?;
        watch(&epoll, parts.devices.sockets(), SOCKETS)?;
        for slot in parts.devices.slots() {
            let line = &parts.shared.lines[usize::from(slot.0)];
            for (index, queue) in (0..).zip(&line.queues) {
                let token = QUEUE | u64::from(slot.0) << 8 | index;
                watch(&epoll, &**queue, token)?;
            }
        }
        Ok(Self {
            epoll,
            shared: parts.shared,
            control: parts.control,
            mailbox: parts.mailbox,
            devices: parts.devices,
            vcpus: parts.vcpus,
            disks: parts.disks,
            times: parts.times,
            stats: parts.stats,
            started: false,
            pause: Pause::Running,
            pressure: None,
            again: Vec::new(),
        })
    }

    /// Runs until the machine has a reason to end. The vCPUs may still run then: see [`EventLoop::join`].
    pub fn run(&mut self) -> ExitReason {
        let mut events = Vec::with_capacity(EVENTS_AT_ONCE);
        loop {
            if let Some(reason) = self.shared.ended() {
                // It may have ended before the loop came to say that it began.
                self.tell_start();
                return reason;
            }
            if let Err(error) = self.turn(&mut events) {
                return failure(&format!("the event loop fails: {}", chain(&error)));
            }
        }
    }

    /// Stops the vCPUs and waits for their threads.
    pub fn join(self) {
        self.shared.vcpus.end();
        self.vcpus.join();
        self.shared.workers.end();
        for owner in &self.shared.owners {
            owner.ring();
        }
    }

    fn turn(&mut self, events: &mut Vec<epoll::Event>) -> io::Result<()> {
        events.clear();
        let busy = self.pause == Pause::Running && !self.again.is_empty();
        let timeout = match busy {
            true => Some(Timespec::default()),
            false => self.until_calm(),
        };
        let buffer = rustix::buffer::spare_capacity(events);
        match epoll::wait(&self.epoll, buffer, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        if busy {
            for (slot, queue) in std::mem::take(&mut self.again) {
                self.serve_queue(slot, queue);
            }
        }
        for event in events.iter() {
            self.dispatch(event.data.u64())?;
        }
        self.ease();
        self.settle();
        Ok(())
    }

    fn dispatch(&mut self, token: u64) -> io::Result<()> {
        match token {
            WAKE => {
                self.shared.wake.hear();
                self.tell_start();
                self.proceed_pause()?;
            }
            CONTROL => match self.control.receive() {
                Ok(Some((message, descriptors))) => self.obey(message, descriptors)?,
                // Whoever holds the other end is gone, and with it everybody who could use this machine.
                Ok(None) => self.shared.end(ExitReason::Stopped),
                Err(ControlError::Socket(error))
                    if error.kind() == io::ErrorKind::ConnectionReset =>
                {
                    self.shared.end(ExitReason::Stopped);
                }
                Err(error) => self.shared.end(failure(&chain(&error))),
            },
            MAILBOX => self.carry_out_orders(),
            PRESSURE => self.press(),
            SOCKETS => {
                self.devices.serve_sockets()?;
                self.serve_guest_connections();
            }
            queue => {
                let slot = Slot((queue >> 8 & 0xff) as u8);
                self.queue_rung(slot, (queue & 0xff) as usize);
            }
        }
        Ok(())
    }

    fn queue_rung(&mut self, slot: Slot, queue: usize) {
        let line = &self.shared.lines[usize::from(slot.0)];
        if line.queues[queue].hear() {
            if self.pause == Pause::Running {
                self.serve_queue(slot, queue);
            } else {
                self.remember(slot, queue);
            }
        }
    }

    fn serve_queue(&mut self, slot: Slot, queue: usize) {
        if self.devices.handle_queue(slot, queue) == Progress::Again {
            self.remember(slot, queue);
        }
    }

    fn serve_guest_connections(&mut self) {
        let (slot, queue) = self.devices.to_guest();
        if self.pause == Pause::Running {
            self.serve_queue(slot, queue);
        } else {
            self.remember(slot, queue);
        }
    }

    /// Bounded by the number of queues.
    fn remember(&mut self, slot: Slot, queue: usize) {
        if !self.again.contains(&(slot, queue)) {
            self.again.push((slot, queue));
        }
    }

    fn carry_out_orders(&mut self) {
        while let Some(order) = self.mailbox.take() {
            self.devices.carry_out(order, &self.shared);
        }
    }

    /// Follows what the guest's connections ask for, and hands new ones over.
    fn settle(&mut self) {
        let control = &self.control;
        self.devices.settle(|port, stream| {
            // A reader that is too far behind loses the connection, and the guest sees it closed.
            let _ = control.send(&FromVmm::Connection { port }, Some(stream.as_fd()));
        });
    }

    fn tell(&self, message: &FromVmm) {
        // A reader that is gone is noticed as the end of the socket; one that is far behind asks again.
        let _ = self.control.send(message, None);
    }

    fn tell_start(&mut self) {
        let first_run_ns = self.shared.first_run_ns.load(Ordering::Acquire);
        if first_run_ns != 0 && !self.started {
            self.started = true;
            self.times.first_run_ns = first_run_ns;
            self.tell(&FromVmm::Started(self.times));
        }
    }

    fn obey(&mut self, message: ToVmm, descriptors: Vec<OwnedFd>) -> io::Result<()> {
        match (message, single(descriptors)) {
            (ToVmm::Connect { port }, Some(stream)) => {
                // The refused stream is closed, which is the answer.
                let _ = self.devices.connect(port, UnixStream::from(stream));
                self.serve_guest_connections();
            }
            (ToVmm::GrowDisk { disk, extent }, Some(file)) => self.grow(disk, extent, file),
            (ToVmm::WatchPressure, Some(trigger)) => self.watch_pressure(trigger)?,
            (ToVmm::Pause, None) => self.start_pause()?,
            (ToVmm::Resume, None) => self.resume()?,
            (ToVmm::Stats, None) => self.tell_stats(),
            (ToVmm::Stop, None) => self.shared.end(ExitReason::Stopped),
            (message, _) => {
                let text = format!("control message {message:?} is out of place");
                self.shared.end(failure(&text));
            }
        }
        Ok(())
    }

    fn tell_stats(&self) {
        let devices = self.devices.counters();
        let counters = stats::collect(&self.shared, &self.stats, devices);
        self.tell(&FromVmm::Stats(counters));
    }

    fn grow(&mut self, disk: u8, extent: vmm::Extent, file: OwnedFd) {
        let Some(slot) = self.disks.get(usize::from(disk)) else {
            let text = format!("there is no disk {disk} to grow");
            return self.shared.end(failure(&text));
        };
        let extent = Extent {
            file: File::from(file),
            offset: extent.offset,
            length: extent.length,
        };
        self.shared.owners[usize::from(slot.0)].send(Order::Grow(*slot, extent));
    }

    fn watch_pressure(&mut self, trigger: OwnedFd) -> io::Result<()> {
        let pressure = Pressure::of(trigger);
        let data = EventData::new_u64(PRESSURE);
        epoll::add(&self.epoll, &pressure, data, EventFlags::PRI)?;
        self.pressure = Some(pressure);
        Ok(())
    }

    /// A machine that stands still is asked for nothing.
    fn pressure(&mut self) -> Option<&mut Pressure> {
        self.pressure
            .as_mut()
            .filter(|_| self.pause == Pause::Running)
    }

    fn until_calm(&mut self) -> Option<Timespec> {
        let left = self.pressure()?.left(Instant::now())?;
        Timespec::try_from(left).ok()
    }

    /// The host is short of memory.
    fn press(&mut self) {
        if let Some(pressure) = self.pressure() {
            pressure.is_felt(Instant::now());
            self.devices.balloon().press();
        }
    }

    /// The host is well again, if it is.
    fn ease(&mut self) {
        let pressure = self.pressure();
        if pressure.is_some_and(|pressure| pressure.has_passed(Instant::now())) {
            self.devices.balloon().release();
        }
    }

    fn start_pause(&mut self) -> io::Result<()> {
        match self.pause {
            Pause::Running => {
                self.pause = Pause::StoppingVcpus;
                epoll::delete(&self.epoll, self.devices.sockets())?;
                self.shared.vcpus.close();
                self.vcpus.kick();
            }
            Pause::Paused => self.tell(&FromVmm::Paused),
            Pause::StoppingVcpus | Pause::StoppingWorkers => {}
        }
        Ok(())
    }

    /// vCPUs first, for their last accesses may leave orders to the disk workers.
    fn proceed_pause(&mut self) -> io::Result<()> {
        if self.pause == Pause::StoppingVcpus && self.shared.vcpus.all_stand() {
            self.pause = Pause::StoppingWorkers;
            self.shared.workers.close();
            for owner in &self.shared.owners {
                owner.ring();
            }
        }
        if self.pause == Pause::StoppingWorkers && self.shared.workers.all_stand() {
            self.carry_out_orders();
            self.pause = Pause::Paused;
            self.tell(&FromVmm::Paused);
        }
        Ok(())
    }

    fn resume(&mut self) -> io::Result<()> {
        if self.pause != Pause::Running {
            self.pause = Pause::Running;
            watch(&self.epoll, self.devices.sockets(), SOCKETS)?;
            self.shared.workers.open();
            self.shared.vcpus.open();
        }
        self.tell(&FromVmm::Resumed);
        Ok(())
    }
}

fn watch(epoll: &OwnedFd, descriptor: impl AsFd, token: u64) -> io::Result<()> {
    epoll::add(epoll, descriptor, EventData::new_u64(token), EventFlags::IN)?;
    Ok(())
}

/// The one descriptor that came along; more than one is none, and closed.
fn single(mut descriptors: Vec<OwnedFd>) -> Option<OwnedFd> {
    let last = descriptors.pop();
    if descriptors.is_empty() { last } else { None }
}
