//! The answer to a request for statistics.

use bulkhead_protocol::bounded::{List, Text};
use bulkhead_protocol::vmm::{Counter, MAX_COUNTERS};

use crate::shared::Shared;

/// All counters of the machine.
pub fn collect(shared: &Shared) -> List<Counter, MAX_COUNTERS> {
    let counters: Vec<_> = shared
        .exits
        .all()
        .map(|(kind, value)| Counter {
            name: Text::truncated(&format!("exits.{}", kind.name())),
            value,
        })
        .collect();
    List::try_from(counters).expect("a handful")
}
