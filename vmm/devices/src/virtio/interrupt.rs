//! The interrupt line of one device: shared by its registers and the thread that runs it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

/// InterruptStatus bit 0: a queue has used buffers.
const USED_BUFFER: u32 = 1;
/// InterruptStatus bit 1: the configuration changed, or the device needs a reset.
const CONFIG_CHANGE: u32 = 2;

/// Raises an edge on the device's interrupt line. The machine supplies it.
pub trait Trigger: Send + Sync {
    /// Raises the edge; must not block.
    ///
    /// # Errors
    /// Those of the host's mechanism; the device counts them.
    fn trigger(&self) -> io::Result<()>;
}

/// InterruptStatus, DEVICE_NEEDS_RESET and the line itself. All atomic: no register access waits for it.
pub struct Interrupt {
    trigger: Box<dyn Trigger>,
    status: AtomicU32,
    needs_reset: AtomicBool,
    failures: AtomicU64,
}

impl Interrupt {
    /// A line with nothing pending.
    #[must_use]
    pub fn new(trigger: Box<dyn Trigger>) -> Arc<Self> {
        Arc::new(Interrupt {
            trigger,
            status: AtomicU32::new(0),
            needs_reset: AtomicBool::new(false),
            failures: AtomicU64::new(0),
        })
    }

    /// Tells the driver that a queue has used buffers.
    pub fn signal_queue(&self) {
        self.signal(USED_BUFFER);
    }

    /// Tells the driver to read the configuration again.
    pub fn signal_config(&self) {
        self.signal(CONFIG_CHANGE);
    }

    /// Tells the driver that the device has stopped until it is reset (DEVICE_NEEDS_RESET).
    pub fn request_reset(&self) {
        self.needs_reset.store(true, Ordering::SeqCst);
        self.signal(CONFIG_CHANGE);
    }

    /// How often the host's mechanism failed: each is an interrupt the guest may have missed.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    pub(super) fn status(&self) -> u32 {
        self.status.load(Ordering::SeqCst)
    }

    pub(super) fn needs_reset(&self) -> bool {
        self.needs_reset.load(Ordering::SeqCst)
    }

    pub(super) fn acknowledge(&self, bits: u32) {
        self.status.fetch_and(!bits, Ordering::SeqCst);
    }

    pub(super) fn clear(&self) {
        self.status.store(0, Ordering::SeqCst);
        self.needs_reset.store(false, Ordering::SeqCst);
    }

    pub(super) fn restore(&self, status: u32, needs_reset: bool) {
        self.status
            .store(status & (USED_BUFFER | CONFIG_CHANGE), Ordering::SeqCst);
        self.needs_reset.store(needs_reset, Ordering::SeqCst);
    }

    /// The bit is set before the edge, and an edge follows every bit: a driver that acknowledges in
    /// between sees either the bit or one interrupt too many, never one too few.
    fn signal(&self, bit: u32) {
        self.status.fetch_or(bit, Ordering::SeqCst);
        if self.trigger.trigger().is_err() {
            self.failures.fetch_add(1, Ordering::Relaxed);
        }
    }
}
