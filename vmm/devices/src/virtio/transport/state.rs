//! Saved registers.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::registers::status;
use super::{Phase, QueueConfig, Transport, fresh_queues};
use crate::GuestMemory;
use crate::virtio::activation::Revocation;
use crate::virtio::state::{StateError, check_features, check_queue_count};
use crate::virtio::{DeviceInfo, Interrupt, Slot};

/// [`Phase`] as plain data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum SavedPhase {
    Negotiating,
    Active,
    Failed,
}

/// The registers as plain data; a reset under way is saved as done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransportState {
    pub(super) device_type: u32,
    pub(super) hidden: bool,
    pub(super) phase: SavedPhase,
    pub(super) status: u8,
    pub(super) device_features_select: u32,
    pub(super) driver_features_select: u32,
    pub(super) driver_features: u64,
    pub(super) queue_select: u32,
    pub(super) queues: Vec<QueueConfig>,
    pub(super) interrupt_status: u32,
    pub(super) needs_reset: bool,
    pub(super) config_generation: u32,
}

impl Transport {
    /// The registers as plain data. Save only when every effect has been delivered, the device's
    /// state and the guest's memory belonging to the same instant.
    #[must_use]
    pub fn save(&self) -> TransportState {
        let mut state = TransportState {
            device_type: self.info.device_type,
            hidden: self.hidden,
            phase: SavedPhase::Negotiating,
            status: self.status,
            device_features_select: self.device_features_select,
            driver_features_select: self.driver_features_select,
            driver_features: self.driver_features,
            queue_select: self.queue_select,
            queues: self.queues.clone(),
            interrupt_status: self.interrupt.status(),
            needs_reset: self.interrupt.needs_reset(),
            config_generation: self.info.config.generation(),
        };
        match self.phase {
            Phase::Negotiating => {}
            Phase::Active(_) => state.phase = SavedPhase::Active,
            Phase::Failed => state.phase = SavedPhase::Failed,
            Phase::Resetting => {
                state.status = 0;
                state.driver_features = 0;
                state.queues = fresh_queues(&self.info);
                state.interrupt_status = 0;
                state.needs_reset = false;
            }
        }
        state
    }

    /// Rebuilds the registers. The device is rebuilt from its own state, not by an activation.
    ///
    /// # Errors
    /// State that no driver could have brought such a device into.
    pub fn restore(
        slot: Slot,
        info: DeviceInfo,
        memory: GuestMemory,
        interrupt: Arc<Interrupt>,
        state: TransportState,
    ) -> Result<Self, StateError> {
        if state.device_type != info.device_type {
            return Err(StateError::DeviceType {
                found: state.device_type,
                expected: info.device_type,
            });
        }
        check_queue_count(state.queues.len(), &info)?;
        check_phase(&state)?;
        if state.status & status::FEATURES_OK != 0 {
            check_features(state.driver_features, info.features)?;
        }
        interrupt.restore(state.interrupt_status, state.needs_reset);
        info.config.restore_generation(state.config_generation);
        let mut transport = Transport::new(slot, info, memory, interrupt);
        transport.hidden = state.hidden;
        transport.status = state.status;
        transport.device_features_select = state.device_features_select;
        transport.driver_features_select = state.driver_features_select;
        transport.driver_features = state.driver_features;
        transport.queue_select = state.queue_select;
        transport.queues = state.queues;
        transport.phase = match state.phase {
            SavedPhase::Negotiating => Phase::Negotiating,
            SavedPhase::Failed => Phase::Failed,
            SavedPhase::Active => {
                let queues = transport.queues.iter().zip(transport.info.queue_sizes);
                for (index, (queue, max)) in queues.enumerate() {
                    queue
                        .validate(*max, transport.driver_features, &transport.memory)
                        .ok_or(StateError::Queue { index })?;
                }
                Phase::Active(Revocation::default())
            }
        };
        Ok(transport)
    }
}

/// Whether the state machine can be in that phase with that status.
fn check_phase(state: &TransportState) -> Result<(), StateError> {
    let failed = state.status & status::FAILED != 0;
    let step = state.status & !status::FAILED;
    let reachable = match state.phase {
        SavedPhase::Negotiating => !failed && step != status::RUNNING,
        SavedPhase::Active => step == status::RUNNING,
        SavedPhase::Failed => failed || step == status::RUNNING,
    };
    if reachable && status::STEPS.contains(&step) {
        Ok(())
    } else {
        Err(StateError::Status(state.status))
    }
}
