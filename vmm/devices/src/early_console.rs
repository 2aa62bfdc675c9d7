//! A write-only serial port for `earlyprintk=serial,ttyS0`, so that a guest that dies can be explained.
//!
//! Guest view: bytes written to port 0x3f8 ([`BASE`], offset 0) leave at once; the line status register
//! always says "transmitter empty". All other registers read 0 and forget what is written to
//! them, so that the scratch and interrupt-identification probes of an 8250 driver find no UART.
//! While the divisor latch is open (bit 7 of the line control register) offset 0 is the
//! divisor, not the transmitter: earlyprintk programs a baud rate before its first byte.
//!
//! Invariant: the host keeps [`RING_BYTES`] whatever the guest prints.

use std::collections::VecDeque;
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};

use crate::bus::{Effect, PortDevice};

/// First port of COM1.
pub const BASE: u16 = 0x3f8;
/// Number of ports it claims.
pub const LEN: u16 = 8;

/// Console bytes kept for the report of a dead guest: a kernel panic with its call traces fits
/// several times over.
pub const RING_BYTES: usize = 64 * 1024;

/// A live line is handed on at its newline, or when it gets this long.
const MAX_LIVE_LINE: usize = 512;

const DATA: u16 = 0;
const LINE_CONTROL: u16 = 3;
const LINE_STATUS: u16 = 5;
const DIVISOR_LATCH: u8 = 0x80;
/// THRE and TEMT: holding register and shift register are empty.
const TRANSMITTER_EMPTY: u8 = 0x60;

/// The last [`RING_BYTES`] that the guest printed; shared with whoever reports its end.
#[derive(Debug, Default)]
pub struct ConsoleRing {
    inner: Mutex<Ring>,
}

#[derive(Debug, Default)]
struct Ring {
    bytes: VecDeque<u8>,
    total: u64,
}

impl ConsoleRing {
    /// An empty ring; it allocates as the guest prints.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::new(ConsoleRing::default())
    }

    /// The newest bytes, oldest first, at most [`RING_BYTES`]. The guest's own bytes: not safe to
    /// print to a terminal as they are.
    #[must_use]
    pub fn tail(&self) -> Vec<u8> {
        self.lock().bytes.iter().copied().collect()
    }

    /// How many bytes the guest has printed in all.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.lock().total
    }

    fn push(&self, byte: u8) {
        let mut ring = self.lock();
        if ring.bytes.len() == RING_BYTES {
            ring.bytes.pop_front();
        }
        ring.bytes.push_back(byte);
        ring.total = ring.total.saturating_add(1);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Ring> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// See the module docs.
pub struct EarlyConsole {
    // Runtime glue.
    ring: Arc<ConsoleRing>,
    live: Option<Box<dyn Write + Send>>,
    // Volatile state: bytes on their way to a human, and one bit; neither is worth saving.
    line: Vec<u8>,
    divisor_latch: bool,
}

impl EarlyConsole {
    /// A console that records in `ring` and, for `--debug`, copies lines to `live`. Errors of `live` are
    /// ignored; it is called on a vCPU's thread, so it stalls that guest (alone) for as long as it blocks.
    #[must_use]
    pub fn new(ring: Arc<ConsoleRing>, live: Option<Box<dyn Write + Send>>) -> Self {
        EarlyConsole {
            ring,
            live,
            line: Vec::new(),
            divisor_latch: false,
        }
    }

    fn transmit(&mut self, byte: u8) {
        self.ring.push(byte);
        let Some(live) = &mut self.live else { return };
        self.line.push(byte);
        if byte == b'\n' || self.line.len() >= MAX_LIVE_LINE {
            // A lost debug view is not worth a guest.
            let _ = live.write_all(&self.line);
            self.line.clear();
        }
    }
}

impl PortDevice for EarlyConsole {
    fn read(&mut self, offset: u16) -> u8 {
        match offset {
            LINE_STATUS => TRANSMITTER_EMPTY,
            _ => 0,
        }
    }

    fn write(&mut self, offset: u16, value: u8) -> Effect {
        match offset {
            DATA if !self.divisor_latch => self.transmit(value),
            LINE_CONTROL => self.divisor_latch = value & DIVISOR_LATCH != 0,
            _ => {}
        }
        Effect::None
    }
}

#[cfg(test)]
#[path = "early_console_test.rs"]
mod tests;
