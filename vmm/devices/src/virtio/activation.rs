//! What travels from the registers to the thread that runs the device.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use virtio_queue::Queue;

use super::Slot;

/// A finished negotiation: frozen features and validated queues.
///
/// Only a transport's step into its active phase makes one, and claiming consumes it, so that no device can be
/// activated twice by one negotiation. Two vCPUs may race so that this arrives after a reset: the
/// reset has then revoked it, and there is nothing to claim.
#[derive(Debug)]
pub struct Activation {
    slot: Slot,
    claimed: Claimed,
    revoked: Revocation,
}

/// Set by the transport when the driver resets the device.
#[derive(Debug, Clone, Default)]
pub(super) struct Revocation(Arc<AtomicBool>);

impl Revocation {
    pub(super) fn revoke(&self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// The content of an [`Activation`] that was still valid.
#[derive(Debug)]
pub(super) struct Claimed {
    /// Negotiated features.
    pub(super) features: u64,
    /// All queues of the device, in order, each valid in guest memory.
    pub(super) queues: Vec<Queue>,
}

impl Activation {
    pub(super) fn new(slot: Slot, features: u64, queues: Vec<Queue>) -> (Self, Revocation) {
        let revoked = Revocation::default();
        let activation = Activation {
            slot,
            claimed: Claimed { features, queues },
            revoked: revoked.clone(),
        };
        (activation, revoked)
    }

    /// The device that it is for.
    #[must_use]
    pub fn slot(&self) -> Slot {
        self.slot
    }

    /// Features and queues, unless the driver has reset the device since.
    #[must_use]
    pub(super) fn claim(self) -> Option<Claimed> {
        let revoked = self.revoked.0.load(Ordering::SeqCst);
        (!revoked).then_some(self.claimed)
    }
}
