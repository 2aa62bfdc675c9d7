//! What the threads of a machine share.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bulkhead_devices::Effect;
use bulkhead_devices::virtio::Slot;
use bulkhead_devices::virtio::blk::BlkCounters;
use bulkhead_kvm::{Event, ExitKind};
use bulkhead_protocol::vmm::ExitReason;

use crate::devices::{Buses, Line};
use crate::gate::Gate;
use crate::mailbox::{Mailbox, Order};

/// Shared by vCPUs, disk workers and the event loop.
pub struct Shared {
    /// What guest accesses reach.
    pub buses: Buses,
    /// Each device's owner, by slot.
    pub owners: Vec<Arc<Mailbox>>,
    /// Each device's queue bells, by slot.
    pub lines: Vec<Line>,
    /// Where the vCPUs stand still.
    pub vcpus: Gate,
    /// Where the disk workers stand still.
    pub workers: Gate,
    /// Rung when the loop has to look at what changed here.
    pub wake: Arc<Event>,
    /// Exits to us by kind.
    pub exits: ExitCounters,
    /// `CLOCK_MONOTONIC` in nanoseconds just before the first run; 0 until then.
    pub first_run_ns: AtomicU64,
    /// What the disks with a thread of their own have counted, by slot; copied in after each turn.
    disk_counters: Mutex<BTreeMap<Slot, BlkCounters>>,
    end: Mutex<Option<ExitReason>>,
}

impl Shared {
    /// For a machine that has not started.
    pub fn new(
        buses: Buses,
        owners: Vec<Arc<Mailbox>>,
        lines: Vec<Line>,
        vcpus: Gate,
        workers: Gate,
        wake: Arc<Event>,
    ) -> Self {
        Self {
            buses,
            owners,
            lines,
            vcpus,
            workers,
            wake,
            exits: ExitCounters::default(),
            first_run_ns: AtomicU64::new(0),
            disk_counters: Mutex::default(),
            end: Mutex::new(None),
        }
    }

    /// The machine is to end. The first reason counts.
    pub fn end(&self, reason: ExitReason) {
        let mut end = self.end.lock().unwrap_or_else(PoisonError::into_inner);
        end.get_or_insert(reason);
        drop(end);
        self.ring();
    }

    /// Why the machine is to end, once it is.
    pub fn ended(&self) -> Option<ExitReason> {
        self.end
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// A disk's thread tells what it has counted.
    pub fn publish_counters(&self, slot: Slot, counters: BlkCounters) {
        let mut all = self
            .disk_counters
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        all.insert(slot, counters);
    }

    /// What the disks' threads have told.
    pub fn disk_counters(&self) -> BTreeMap<Slot, BlkCounters> {
        self.disk_counters
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Makes the loop look.
    pub fn ring(&self) {
        // Counting up cannot fail before 2^64 - 1.
        let _ = self.wake.ring();
    }

    /// Carries out what a guest's write asks for. After a reset the vCPU must not run on.
    pub fn apply(&self, effect: Effect) -> ControlFlow<()> {
        match effect {
            Effect::None => {}
            Effect::Reset => {
                self.end(ExitReason::GuestReset);
                return ControlFlow::Break(());
            }
            Effect::Activate(activation) => {
                self.order(activation.slot(), Order::Activate(activation));
            }
            Effect::ResetDevice(slot) => self.order(slot, Order::Reset(slot)),
            Effect::Notify { slot, queue } => {
                let line = self.lines.get(usize::from(slot.0));
                if let Some(event) = line.and_then(|line| line.queues.get(queue)) {
                    let _ = event.ring();
                }
            }
        }
        ControlFlow::Continue(())
    }

    fn order(&self, slot: Slot, order: Order) {
        if let Some(owner) = self.owners.get(usize::from(slot.0)) {
            owner.send(order);
        }
    }
}

/// Exits of all vCPUs to the VMM, by kind.
#[derive(Debug, Default)]
pub struct ExitCounters([AtomicU64; ExitKind::ALL.len()]);

impl ExitCounters {
    /// Counts one.
    pub fn count(&self, kind: ExitKind) {
        self.0[kind as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// How many of each kind.
    pub fn all(&self) -> impl Iterator<Item = (ExitKind, u64)> + '_ {
        ExitKind::ALL
            .into_iter()
            .map(|kind| (kind, self.0[kind as usize].load(Ordering::Relaxed)))
    }
}
