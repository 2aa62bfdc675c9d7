//! The I/O interrupt controller: registers and lines. An interrupt leaves it as a message to the local APICs, which KVM
//! emulates.
//!
//! It is here and not in KVM, for KVM's own comes with a PIC, and a Linux that finds a PIC reads and clears every entry
//! of every IOAPIC, twice: some 600 exits at boot. Without PIC it sets up the lines that the MP table names, and no more.
//!
//! Guest view: Intel 82093AA datasheet, with as many entries as there are lines (Linux with x2APIC saves and restores
//! each): an index register at offset 0, a window at 0x10. Every line is edge-triggered; an edge on a masked line is remembered and delivered when the line is unmasked, as no virtio
//! driver minds one interrupt too many.

use std::sync::{Mutex, MutexGuard, PoisonError};

use bulkhead_kvm::vm::Message;
use serde::{Deserialize, Serialize};

/// Most lines that one controller has.
pub const MAX_LINES: u8 = 24;
/// Bytes of its register window.
pub const WINDOW: u64 = 0x1000;

const INDEX: u64 = 0x00;
const DATA: u64 = 0x10;
const REGISTER_ID: u8 = 0;
const REGISTER_VERSION: u8 = 1;
const REGISTER_ARBITRATION: u8 = 2;
const FIRST_ENTRY: u8 = 0x10;
/// Version of the 82093AA; bits 23:16 of the register are the last entry.
const VERSION: u32 = 0x11;

/// The identification register's writable bits.
const ID_BITS: u32 = 0x0f00_0000;
const VECTOR: u64 = 0xff;
const DELIVERY_MODE: u64 = 0x700;
const LOWEST_PRIORITY: u64 = 0x100;
const LOGICAL: u64 = 1 << 11;
const MASKED: u64 = 1 << 16;
/// What a guest can write of an entry: not delivery status (12) and remote IRR (14).
const WRITABLE: u64 = 0xff00_0000_0001_afff;
const DESTINATION_SHIFT: u32 = 56;

/// Where messages to local APICs go.
const MESSAGE_BASE: u32 = 0xfee0_0000;

/// A saved controller with other lines than the machine's.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the saved IOAPIC has {found} lines, the machine's has {expected}")]
pub struct WrongLines {
    found: usize,
    expected: usize,
}

/// The controller as plain data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IoapicState {
    index: u8,
    id: u32,
    lines: Vec<Line>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Line {
    /// Redirection table entry.
    entry: u64,
    /// An edge came while the line was masked.
    pending: bool,
}

/// See the module docs.
#[derive(Debug)]
pub struct Ioapic {
    state: Mutex<IoapicState>,
}

impl Ioapic {
    /// A controller of `lines` masked lines, at most [`MAX_LINES`].
    pub fn new(lines: u8) -> Self {
        debug_assert!((1..=MAX_LINES).contains(&lines));
        let line = Line {
            entry: MASKED,
            pending: false,
        };
        Self {
            state: Mutex::new(IoapicState {
                index: 0,
                id: 0,
                lines: vec![line; lines.into()],
            }),
        }
    }

    /// Reads at `offset` of the window; anything but a register reads as 0.
    pub fn read(&self, offset: u64, data: &mut [u8]) {
        let state = self.lock();
        let value = match offset {
            INDEX => state.index.into(),
            DATA => state.register(),
            _ => 0,
        };
        data.fill(0);
        for (byte, value) in data.iter_mut().zip(value.to_le_bytes()) {
            *byte = value;
        }
    }

    /// Writes at `offset` of the window. Gives the interrupt that waited for this write, to be sent.
    #[must_use = "an interrupt that is not sent is lost"]
    pub fn write(&self, offset: u64, data: &[u8]) -> Option<Message> {
        let mut word = [0; 4];
        for (to, from) in word.iter_mut().zip(data) {
            *to = *from;
        }
        let mut state = self.lock();
        match offset {
            INDEX => {
                state.index = word[0];
                None
            }
            DATA => state.write_register(u32::from_le_bytes(word)),
            _ => None,
        }
    }

    /// An edge on a line. Gives the interrupt to send, unless the line is masked.
    #[must_use = "an interrupt that is not sent is lost"]
    pub fn raise(&self, line: usize) -> Option<Message> {
        let mut state = self.lock();
        let line = state.lines.get_mut(line)?;
        if line.entry & MASKED == 0 {
            return Some(message(line.entry));
        }
        line.pending = true;
        None
    }

    /// The controller as plain data.
    pub fn save(&self) -> IoapicState {
        self.lock().clone()
    }

    /// Puts a saved state back. Bits that no guest can set are dropped.
    ///
    /// # Errors
    /// When it is that of another number of lines.
    pub fn restore(&self, mut saved: IoapicState) -> Result<(), WrongLines> {
        let mut state = self.lock();
        let (found, expected) = (saved.lines.len(), state.lines.len());
        if found != expected {
            return Err(WrongLines { found, expected });
        }
        for line in &mut saved.lines {
            line.entry &= WRITABLE;
        }
        saved.id &= ID_BITS;
        *state = saved;
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, IoapicState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl IoapicState {
    fn count(&self) -> u32 {
        u32::try_from(self.lines.len()).expect("a dozen")
    }

    fn register(&self) -> u32 {
        match self.index {
            REGISTER_ID | REGISTER_ARBITRATION => self.id,
            REGISTER_VERSION => VERSION | (self.count().saturating_sub(1)) << 16,
            index => {
                let entry = line_of(index)
                    .and_then(|line| self.lines.get(line))
                    .map_or(0, |line| line.entry);
                let bytes = entry.to_le_bytes();
                let half = if index.is_multiple_of(2) { 0 } else { 4 };
                u32::from_le_bytes([
                    bytes[half],
                    bytes[half + 1],
                    bytes[half + 2],
                    bytes[half + 3],
                ])
            }
        }
    }

    fn write_register(&mut self, value: u32) -> Option<Message> {
        if self.index == REGISTER_ID {
            self.id = value & ID_BITS;
            return None;
        }
        let line = self.lines.get_mut(line_of(self.index)?)?;
        let (kept, shift) = if self.index.is_multiple_of(2) {
            (0xffff_ffff_0000_0000, 0)
        } else {
            (0x0000_0000_ffff_ffff, 32)
        };
        line.entry = (line.entry & kept | u64::from(value) << shift) & WRITABLE;
        if line.entry & MASKED == 0 && std::mem::take(&mut line.pending) {
            return Some(message(line.entry));
        }
        None
    }
}

fn line_of(index: u8) -> Option<usize> {
    Some(usize::from(index.checked_sub(FIRST_ENTRY)? / 2))
}

/// An entry as the message that it sends: Intel SDM volume 3, "Message Signalled Interrupts". Edge-triggered, always.
fn message(entry: u64) -> Message {
    let destination = entry.to_le_bytes()[7];
    let mut address = MESSAGE_BASE | u32::from(destination) << 12;
    if entry & LOGICAL != 0 {
        address |= 1 << 2;
    }
    if entry & DELIVERY_MODE == LOWEST_PRIORITY {
        address |= 1 << 3;
    }
    debug_assert_eq!(entry >> DESTINATION_SHIFT, u64::from(destination));
    let data = entry & (VECTOR | DELIVERY_MODE);
    Message {
        address,
        data: u32::try_from(data).expect("eleven bits"),
    }
}

#[cfg(test)]
#[path = "ioapic_test.rs"]
mod tests;
