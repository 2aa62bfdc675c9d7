use proptest::prelude::*;

use super::*;
use crate::vcpu::tests::kvm;

/// A host that claims every bit of every leaf.
fn boastful_host() -> HostCpu {
    let leaves = (0..=0x24)
        .chain(0x4000_0000..=0x4000_0010)
        .chain(0x8000_0000..=0x8000_0026);
    let supported = leaves
        .flat_map(|function| (0..20).map(move |index| all_ones(function, index)))
        .collect();
    HostCpu {
        supported,
        tsc_deadline: true,
    }
}

fn all_ones(function: u32, index: u32) -> kvm_cpuid_entry2 {
    kvm_cpuid_entry2 {
        function,
        index,
        flags: KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
        eax: u32::MAX,
        ebx: u32::MAX,
        ecx: u32::MAX,
        edx: u32::MAX,
        ..Default::default()
    }
}

fn leaf(entries: &[kvm_cpuid_entry2], function: u32, index: u32) -> Option<kvm_cpuid_entry2> {
    entries
        .iter()
        .find(|entry| (entry.function, entry.index) == (function, index))
        .copied()
}

const ONE: Topology = Topology { index: 0, count: 1 };

#[test]
fn no_virtualization_counters_or_unlisted_kvm_features() {
    let guest = cpuid(&boastful_host(), ONE);
    let one = leaf(&guest, 1, 0).unwrap();
    assert_eq!(one.ecx & (1 << 5), 0, "VMX");
    assert_eq!(one.ecx & (1 << 15), 0, "PDCM");
    let amd = leaf(&guest, 0x8000_0001, 0).unwrap();
    assert_eq!(amd.ecx & (1 << 2), 0, "SVM");
    assert_eq!(amd.ecx & (1 << 23), 0, "PERFCTR_CORE");
    assert_eq!(leaf(&guest, 0x4000_0001, 0).unwrap().eax, KVM_FEATURES);
    for absent in [5, 0xa, 0xf, 0x10, 0x12, 0x14, 0x15, 0x1f, 0x23, 0x4000_0002] {
        assert_eq!(leaf(&guest, absent, 0), None, "{absent:#x}");
    }
    for absent in [0x8000_000a, 0x8000_001b, 0x8000_001f, 0x8000_0022] {
        assert_eq!(leaf(&guest, absent, 0), None, "{absent:#x}");
    }
    assert_eq!(leaf(&guest, 0xd, 17), None, "AMX");
    assert_eq!(leaf(&guest, 0xd, 0).unwrap().eax & (3 << 17), 0, "AMX");
}

#[test]
fn the_hypervisor_and_its_timer_are_told() {
    let mut host = boastful_host();
    for (tsc_deadline, expected) in [(true, TSC_DEADLINE), (false, 0)] {
        host.tsc_deadline = tsc_deadline;
        let one = leaf(&cpuid(&host, ONE), 1, 0).unwrap();
        assert_eq!(one.ecx & TSC_DEADLINE, expected);
        assert_ne!(one.ecx & HYPERVISOR, 0);
        assert_ne!(one.ecx & X2APIC, 0);
    }
}

#[test]
fn a_host_without_a_feature_does_not_get_it() {
    let mut host = boastful_host();
    for entry in &mut host.supported {
        (entry.eax, entry.ebx, entry.ecx, entry.edx) = (0, 0, 0, 0);
    }
    let guest = cpuid(&host, ONE);
    assert_eq!(leaf(&guest, 0x4000_0001, 0).unwrap().eax, 0);
    assert_eq!(leaf(&guest, 7, 0).unwrap().ebx, 0);
    assert_eq!(leaf(&guest, 0xb, 0), None, "beyond the last basic leaf");
}

#[test]
fn this_host_gives_a_guest_a_64_bit_cpu() {
    let host = kvm().host_cpu().unwrap();
    let guest = cpuid(&host, ONE);
    assert!(guest.len() <= kvm_bindings::KVM_MAX_CPUID_ENTRIES);
    assert_ne!(leaf(&guest, 0x8000_0001, 0).unwrap().edx & (1 << 29), 0);
    assert_ne!(leaf(&guest, 0x4000_0001, 0).unwrap().eax & (1 << 3), 0);
}

proptest! {
    #[test]
    fn every_vcpu_is_its_own_core_in_one_package(count in 1u8..=64, seed: u8) {
        let index = seed % count;
        let guest = cpuid(&boastful_host(), Topology { index, count });
        let id = u32::from(index);
        prop_assert_eq!(leaf(&guest, 1, 0).unwrap().ebx >> 24, id);
        prop_assert_eq!(leaf(&guest, 0x8000_001e, 0).unwrap().eax, id);
        let (threads, cores) = (leaf(&guest, 0xb, 0).unwrap(), leaf(&guest, 0xb, 1).unwrap());
        prop_assert_eq!((threads.eax, threads.ebx, threads.edx), (0, 1, id));
        prop_assert_eq!((cores.ebx, cores.edx), (u32::from(count), id));
        prop_assert_eq!(id >> cores.eax, 0, "one package");
        prop_assert_eq!(leaf(&guest, 0x8000_0008, 0).unwrap().ecx & 0xff, u32::from(count) - 1);
    }

    #[test]
    fn nothing_is_invented(function: u32, index: u32, bits: [u32; 4]) {
        let [eax, ebx, ecx, edx] = bits;
        let entry = kvm_cpuid_entry2 { function, index, eax, ebx, ecx, edx, ..Default::default() };
        let host = HostCpu { supported: vec![entry], tsc_deadline: false };
        prop_assert!(cpuid(&host, ONE).len() <= 4);
    }
}
