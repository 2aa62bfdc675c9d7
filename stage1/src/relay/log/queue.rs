//! What waits to be logged.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use super::Source;

/// Bytes that wait, at most; as many may be in the hands of the writer.
pub(super) const WAITING_BYTES_MAX: usize = 4 << 20;

/// Something for the writer.
#[derive(Debug)]
pub(super) enum Entry {
    /// Bytes of an output.
    Bytes(Source, SystemTime, Vec<u8>),
    /// So many bytes of it could not wait here.
    Lost(Source, SystemTime, u64),
    /// It has ended.
    End(Source, SystemTime),
    /// Everything has ended.
    Finish(SystemTime),
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Entry>,
    /// Of them, bytes.
    bytes: usize,
    /// What had no room since the last bytes that had some.
    lost: BTreeMap<Source, u64>,
    /// The writer is at it.
    busy: bool,
}

#[derive(Debug, Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        // No code panics while it holds the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn push_bytes(&self, source: Source, time: SystemTime, bytes: &[u8]) {
        let mut state = self.lock();
        if state.bytes + bytes.len() > WAITING_BYTES_MAX {
            let lost = state.lost.entry(source).or_default();
            *lost = lost.saturating_add(count(bytes.len()));
            return;
        }
        if let Some(lost) = state.lost.remove(&source) {
            let entry = Entry::Lost(source.clone(), time, lost);
            state.waiting.push_back(entry);
        }
        state.bytes += bytes.len();
        let entry = Entry::Bytes(source, time, bytes.to_vec());
        state.waiting.push_back(entry);
        drop(state);
        self.changed.notify_all();
    }

    /// One of those that come a few times in a stream's life.
    pub(super) fn push(&self, entry: Entry) {
        let mut state = self.lock();
        let (Entry::Bytes(_, time, _)
        | Entry::Lost(_, time, _)
        | Entry::End(_, time)
        | Entry::Finish(time)) = &entry;
        let lost = std::mem::take(&mut state.lost).into_iter();
        let lost = lost.map(|(source, lost)| Entry::Lost(source, *time, lost));
        state.waiting.extend(lost);
        state.waiting.push_back(entry);
        drop(state);
        self.changed.notify_all();
    }

    /// Waits for something to do, and does all that there is.
    pub(super) fn take_turn(&self, work: impl FnOnce(VecDeque<Entry>)) {
        let state = self.lock();
        let idle = |state: &mut State| state.waiting.is_empty();
        let waited = self.changed.wait_while(state, idle);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner);
        state.busy = true;
        state.bytes = 0;
        let entries = std::mem::take(&mut state.waiting);
        drop(state);
        work(entries);
        self.lock().busy = false;
        self.changed.notify_all();
    }

    pub(super) fn wait_until_idle(&self, limit: Duration) {
        let busy = |state: &mut State| state.busy || !state.waiting.is_empty();
        let state = self.lock();
        let _ = self.changed.wait_timeout_while(state, limit, busy);
    }
}

pub(super) fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}
