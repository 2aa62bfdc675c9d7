//! The answer to a request for statistics.

use std::collections::BTreeMap;

use bulkhead_kvm::VcpuStats;
use bulkhead_protocol::bounded::{List, Text};
use bulkhead_protocol::vmm::{Counter, MAX_COUNTERS};

use crate::loop_devices::disk_counters;
use crate::shared::Shared;

/// Exits to us by kind (`exits.*`), KVM's own counters summed over the vCPUs (`kvm.*`), and what the devices of the loop
/// have counted.
pub fn collect(
    shared: &Shared,
    vcpus: &[VcpuStats],
    devices: Vec<(String, u64)>,
) -> List<Counter, MAX_COUNTERS> {
    let mut kvm: BTreeMap<&str, u64> = BTreeMap::new();
    for (name, value) in vcpus.iter().flat_map(VcpuStats::read) {
        let sum = kvm.entry(name).or_default();
        *sum = sum.saturating_add(value);
    }
    let disks = shared
        .disk_counters()
        .into_iter()
        .flat_map(|(slot, counters)| disk_counters(slot, counters));
    let exits = shared
        .exits
        .all()
        .map(|(kind, value)| (format!("exits.{}", kind.name()), value));
    let kvm = kvm
        .into_iter()
        .map(|(name, value)| (format!("kvm.{name}"), value));
    let counters: Vec<_> = exits
        .chain(devices)
        .chain(disks)
        .chain(kvm)
        .take(MAX_COUNTERS)
        .map(|(name, value)| Counter {
            name: Text::truncated(&name),
            value,
        })
        .collect();
    List::try_from(counters).expect("no more than its bound are taken")
}
