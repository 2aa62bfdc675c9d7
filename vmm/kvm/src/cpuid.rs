//! The CPU that a guest sees, as a pure function of what the host can show and where in the machine the vCPU is.
//!
//! Leaves are let through by name, all others read as zero. Within them, taken away: VMX, SVM, SMX, performance
//! counters, power and thermal management, machine-check and memory-type registers (a guest that finds them reads and
//! writes dozens of MSRs at boot, to no end), trace and allocation technologies, SGX, AMX, and every KVM feature that is
//! not in [`KVM_FEATURES`]. Every vCPU is a core of its own in one package.
//!
//! Bit names: Intel SDM volume 2A, CPUID; AMD APM volume 3, appendix E; `arch/x86/include/asm/cpufeatures.h`;
//! `Documentation/virt/kvm/x86/cpuid.rst`.

use kvm_bindings::{KVM_CPUID_FLAG_SIGNIFCANT_INDEX, kvm_cpuid_entry2};

/// What the host's KVM can show a guest.
#[derive(Debug, Clone)]
pub struct HostCpu {
    /// `KVM_GET_SUPPORTED_CPUID`.
    pub supported: Vec<kvm_cpuid_entry2>,
    /// KVM emulates the TSC deadline timer, which `KVM_GET_SUPPORTED_CPUID` does not say.
    pub tsc_deadline: bool,
}

/// Where in the machine a vCPU is.
#[derive(Debug, Clone, Copy)]
pub struct Topology {
    /// Index of the vCPU, and its APIC id.
    pub index: u8,
    /// vCPUs of the machine; more than `index`.
    pub count: u8,
}

/// Paravirtual features that a guest may use (leaf 0x4000_0001 EAX): kvm-clock in its second form and its stability, no
/// port delays, steal time, EOI without exit, spinlocks that yield, TLB flush, IPIs and yield by hypercall.
///
/// Absent on purpose: asynchronous page faults, migration control and extended destinations, which need state or
/// promises that a snapshot would have to carry.
pub const KVM_FEATURES: u32 =
    1 << 1 | 1 << 3 | 1 << 5 | 1 << 6 | 1 << 7 | 1 << 9 | 1 << 11 | 1 << 13 | 1 << 24;

const KVM_SIGNATURE_LEAF: u32 = 0x4000_0000;
const KVM_FEATURES_LEAF: u32 = 0x4000_0001;

/// Leaf 1 ECX: DTES64, MONITOR, DS-CPL, VMX, SMX, EIST, TM2, PDCM, DCA.
const LEAF_1_ECX_OFF: u32 =
    1 << 2 | 1 << 3 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 7 | 1 << 8 | 1 << 15 | 1 << 18;
const X2APIC: u32 = 1 << 21;
const TSC_DEADLINE: u32 = 1 << 24;
const HYPERVISOR: u32 = 1 << 31;
/// Leaf 1 EDX: MCE, MTRR, MCA, DS, ACPI, TM, PBE.
const LEAF_1_EDX_OFF: u32 = 1 << 7 | 1 << 12 | 1 << 14 | 1 << 21 | 1 << 22 | 1 << 29 | 1 << 31;
const HTT: u32 = 1 << 28;
/// Leaf 6 EAX: ARAT, the APIC timer runs in all sleep states.
const ARAT: u32 = 1 << 2;
/// Leaf 7 EBX: TSC_ADJUST (Linux reads and compares it at every turn), SGX, RDT-M, MPX, RDT-A, processor trace.
const LEAF_7_EBX_OFF: u32 = 1 << 1 | 1 << 2 | 1 << 12 | 1 << 14 | 1 << 15 | 1 << 25;
/// Leaf 7 ECX: key locker, bus-lock detection, SGX launch control, protection keys for supervisor.
const LEAF_7_ECX_OFF: u32 = 1 << 23 | 1 << 24 | 1 << 30 | 1 << 31;
/// Leaf 7 EDX: PCONFIG, architectural LBR, AMX-BF16, AMX-TILE, AMX-INT8, core capabilities.
const LEAF_7_EDX_OFF: u32 = 1 << 18 | 1 << 19 | 1 << 22 | 1 << 24 | 1 << 25 | 1 << 30;
/// Leaf 7.1 EAX: AMX-FP16, architectural performance monitoring.
const LEAF_7_1_EAX_OFF: u32 = 1 << 8 | 1 << 21;
/// Leaf 7.1 EDX: AMX-COMPLEX.
const LEAF_7_1_EDX_OFF: u32 = 1 << 8;
/// Leaf 0xd.0 EAX and its sub-leaves: AMX tile configuration and data.
const XCR0_OFF: u32 = 1 << 17 | 1 << 18;
/// Leaf 0x8000_0001 ECX: SVM, extended APIC space, IBS, SKINIT, watchdog, LWP, node id, core, NB and L2 counters,
/// MONITORX.
const AMD_ECX_OFF: u32 = 1 << 2
    | 1 << 3
    | 1 << 10
    | 1 << 12
    | 1 << 13
    | 1 << 15
    | 1 << 19
    | 1 << 23
    | 1 << 24
    | 1 << 28
    | 1 << 29;
/// Leaf 0x8000_0001 EDX: MCE, MTRR, MCA, as in leaf 1.
const AMD_EDX_OFF: u32 = 1 << 7 | 1 << 12 | 1 << 14;
/// Leaf 0x8000_0007 EDX: the TSC runs at one rate in all states.
const INVARIANT_TSC: u32 = 1 << 8;

/// `KVM_SET_CPUID2` for one vCPU.
///
/// Entries come in the order of `host.supported`, those that only we know at the end. Linux looks leaves up by number.
pub fn cpuid(host: &HostCpu, topology: Topology) -> Vec<kvm_cpuid_entry2> {
    debug_assert!(topology.index < topology.count);
    let mut entries: Vec<_> = host
        .supported
        .iter()
        .filter_map(|entry| guest_entry(*entry, host, topology))
        .collect();
    if basic_leaves(&entries) >= 0xb {
        entries.extend(extended_topology(topology));
    }
    entries
}

fn basic_leaves(entries: &[kvm_cpuid_entry2]) -> u32 {
    entries
        .iter()
        .find(|entry| entry.function == 0)
        .map_or(0, |entry| entry.eax)
}

/// One supported entry as the guest sees it, or nothing for a leaf that it does not.
fn guest_entry(
    mut entry: kvm_cpuid_entry2,
    host: &HostCpu,
    topology: Topology,
) -> Option<kvm_cpuid_entry2> {
    match (entry.function, entry.index) {
        // Vendors, brand, caches and TLBs in AMD's form, sizes; features that need no word from us.
        (0 | 2 | 0x8000_0000 | 0x8000_0002..=0x8000_0006 | 0x8000_0019 | 0x8000_001a, _)
        | (0x8000_0021, _) => {}
        (1, _) => features(&mut entry, host, topology),
        (4, _) => intel_cache(&mut entry, topology),
        (6, _) => keep_only(&mut entry, ARAT),
        (7, 0) => {
            entry.ebx &= !LEAF_7_EBX_OFF;
            entry.ecx &= !LEAF_7_ECX_OFF;
            entry.edx &= !LEAF_7_EDX_OFF;
        }
        (7, 1) => {
            entry.eax &= !LEAF_7_1_EAX_OFF;
            entry.edx &= !LEAF_7_1_EDX_OFF;
        }
        (7, 2) => {}
        (0xd, 0) => entry.eax &= !XCR0_OFF,
        (0xd, 17 | 18) => return None,
        (0xd, _) => {}
        (KVM_SIGNATURE_LEAF, _) => entry.eax = KVM_FEATURES_LEAF,
        (KVM_FEATURES_LEAF, _) => {
            entry.eax &= KVM_FEATURES;
            (entry.ebx, entry.ecx, entry.edx) = (0, 0, 0);
        }
        (0x8000_0001, _) => {
            entry.ecx &= !AMD_ECX_OFF;
            entry.edx &= !AMD_EDX_OFF;
        }
        (0x8000_0007, _) => {
            entry.edx &= INVARIANT_TSC;
            (entry.eax, entry.ebx, entry.ecx) = (0, 0, 0);
        }
        // ECX: bits 7:0 cores less one, 15:12 width of the APIC id within the package.
        (0x8000_0008, _) => {
            entry.ecx = u32::from(topology.count - 1) | (id_width(topology.count) << 12);
        }
        (0x8000_001d, _) => amd_cache(&mut entry, topology),
        // EAX: APIC id; EBX: bits 7:0 core id, 15:8 threads per core less one; ECX: node 0 of one.
        (0x8000_001e, _) => {
            entry.eax = topology.index.into();
            entry.ebx = topology.index.into();
            (entry.ecx, entry.edx) = (0, 0);
        }
        _ => return None,
    }
    Some(entry)
}

fn features(entry: &mut kvm_cpuid_entry2, host: &HostCpu, topology: Topology) {
    // EBX: bits 15:8 cache line size / 8 stays, 23:16 logical processors, 31:24 APIC id; 7:0 brand index is 0.
    entry.ebx = (entry.ebx & 0xff00)
        | (1 << id_width(topology.count)) << 16
        | u32::from(topology.index) << 24;
    entry.ecx = (entry.ecx & !LEAF_1_ECX_OFF & !TSC_DEADLINE) | HYPERVISOR | X2APIC;
    if host.tsc_deadline {
        entry.ecx |= TSC_DEADLINE;
    }
    entry.edx &= !(LEAF_1_EDX_OFF | HTT);
    if topology.count > 1 {
        entry.edx |= HTT;
    }
}

/// EAX: bits 4:0 type (0 for none), 7:5 level, 25:14 ids sharing the cache less one, 31:26 ids in the package less one.
fn intel_cache(entry: &mut kvm_cpuid_entry2, topology: Topology) {
    if entry.eax & 0x1f == 0 {
        return;
    }
    let ids = (1 << id_width(topology.count)) - 1;
    let sharing = if is_last_level(entry.eax) { ids } else { 0 };
    // Six bits for the package: Linux takes leaf 0xb where the number of ids is larger.
    entry.eax = (entry.eax & 0x3fff) | sharing << 14 | ids.min(0x3f) << 26;
}

/// As [`intel_cache`], without the package.
fn amd_cache(entry: &mut kvm_cpuid_entry2, topology: Topology) {
    if entry.eax & 0x1f == 0 {
        return;
    }
    let sharing = if is_last_level(entry.eax) {
        u32::from(topology.count - 1)
    } else {
        0
    };
    entry.eax = (entry.eax & 0x3fff) | sharing << 14;
}

const fn is_last_level(eax: u32) -> bool {
    (eax >> 5) & 0x7 >= 3
}

fn keep_only(entry: &mut kvm_cpuid_entry2, eax: u32) {
    entry.eax &= eax;
    (entry.ebx, entry.ecx, entry.edx) = (0, 0, 0);
}

/// Leaf 0xb. ECX: bits 7:0 sub-leaf, 15:8 type (1 thread, 2 core, 0 end); EAX: bits of the APIC id to shift away for the
/// next level; EBX: logical processors; EDX: x2APIC id.
fn extended_topology(topology: Topology) -> [kvm_cpuid_entry2; 3] {
    const THREAD: u32 = 1 << 8;
    const CORE: u32 = 2 << 8;
    let level = |index, eax, ebx, kind| kvm_cpuid_entry2 {
        function: 0xb,
        index,
        flags: KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
        eax,
        ebx,
        ecx: kind | index,
        edx: topology.index.into(),
        ..Default::default()
    };
    [
        level(0, 0, 1, THREAD),
        level(1, id_width(topology.count), topology.count.into(), CORE),
        level(2, 0, 0, 0),
    ]
}

/// Bits that hold every APIC id of `count` vCPUs.
fn id_width(count: u8) -> u32 {
    u32::from(count).next_power_of_two().trailing_zeros()
}

#[cfg(test)]
#[path = "cpuid_test.rs"]
mod tests;
