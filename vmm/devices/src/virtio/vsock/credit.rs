//! Flow control of one stream, both ways: pure arithmetic modulo 2^32.
//!
//! Invariant: no value that the guest sends makes a sender send more than the guest's `buf_alloc`, or a receiver hold
//! more than [`CONNECTION_BUFFER`].

use std::num::Wrapping;

use super::CONNECTION_BUFFER;

/// What may still be sent to the guest.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct SendCredit {
    sent: Wrapping<u32>,
    peer_buf_alloc: u32,
    peer_fwd_cnt: Wrapping<u32>,
}

impl SendCredit {
    /// Takes the two fields of any packet of the guest.
    pub(super) fn update(&mut self, buf_alloc: u32, fwd_cnt: u32) {
        self.peer_buf_alloc = buf_alloc;
        self.peer_fwd_cnt = Wrapping(fwd_cnt);
    }

    /// Bytes that may be sent now. A guest that claims to have taken what was never sent has a difference near
    /// 2^32 under way, and so no credit.
    pub(super) fn available(&self) -> u32 {
        let under_way = (self.sent - self.peer_fwd_cnt).0;
        self.peer_buf_alloc.saturating_sub(under_way)
    }

    /// Counts bytes that were sent: never more than [`SendCredit::available`].
    pub(super) fn spend(&mut self, bytes: u32) {
        self.sent += bytes;
    }
}

/// What the guest may still send.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct ReceiveCredit {
    received: Wrapping<u32>,
    forwarded: Wrapping<u32>,
    /// The `forwarded` that the guest was told last.
    told: Wrapping<u32>,
}

impl ReceiveCredit {
    /// Takes a payload into account; false if the guest exceeds its window.
    pub(super) fn accept(&mut self, bytes: u32) -> bool {
        let held = (self.received - self.forwarded).0;
        let fits = bytes <= CONNECTION_BUFFER.saturating_sub(held);
        if fits {
            self.received += bytes;
        }
        fits
    }

    /// Counts bytes that left the buffer: never more than were accepted.
    pub(super) fn forward(&mut self, bytes: u32) {
        self.forwarded += bytes;
    }

    /// Whether the guest's idea of the window is so old that it may stall: a quarter of it. The last
    /// byte of a full window leaves all four quarters to tell.
    pub(super) fn is_stale(&self) -> bool {
        (self.forwarded - self.told).0 >= CONNECTION_BUFFER / 4
    }

    /// The `fwd_cnt` for a header that is about to be sent.
    pub(super) fn tell(&mut self) -> u32 {
        self.told = self.forwarded;
        self.forwarded.0
    }
}

#[cfg(test)]
#[path = "credit_test.rs"]
mod tests;
