//! What a device holds between its activation and its reset.

use super::state::{ActiveState, StateError, check_features, check_queue_count};
use super::{Activation, DeviceInfo, DeviceQueue};
use crate::GuestMemory;

/// Features and queues of a driver.
pub(super) struct Running {
    pub(super) features: u64,
    pub(super) queues: Vec<DeviceQueue>,
}

impl Running {
    /// Claims an activation; `None` if a reset overtook it.
    pub(super) fn claim(activation: Activation) -> Option<Self> {
        let claimed = activation.claim()?;
        let queues = claimed.queues.into_iter();
        Some(Running {
            features: claimed.features,
            queues: queues.map(|queue| DeviceQueue::new(queue, false)).collect(),
        })
    }

    /// Chains so far that broke the rules, in all queues.
    pub(super) fn malformed(&self) -> u64 {
        self.queues.iter().map(DeviceQueue::malformed).sum()
    }

    pub(super) fn save(&self) -> ActiveState {
        ActiveState {
            features: self.features,
            queues: self.queues.iter().map(DeviceQueue::save).collect(),
        }
    }

    pub(super) fn restore(
        state: &ActiveState,
        info: &DeviceInfo,
        memory: &GuestMemory,
    ) -> Result<Self, StateError> {
        check_features(state.features, info.features)?;
        check_queue_count(state.queues.len(), info)?;
        let pairs = state.queues.iter().zip(info.queue_sizes).enumerate();
        let queues = pairs.map(|(index, (saved, max_size))| {
            let queue = saved.rebuild(*max_size, state.features, memory);
            let queue = queue.ok_or(StateError::Queue { index })?;
            Ok(DeviceQueue::new(queue, saved.stopped))
        });
        Ok(Running {
            features: state.features,
            queues: queues.collect::<Result<_, _>>()?,
        })
    }
}
