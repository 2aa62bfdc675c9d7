//! Model-specific registers: what they hold when a vCPU starts, and which are saved.

use kvm_bindings::kvm_msr_entry;

/// `IA32_MISC_ENABLE`, Intel SDM volume 4.
const MISC_ENABLE: u32 = 0x1a0;
/// String instructions may move several bytes at once; Linux on Intel takes its slow copies where this is off.
const MISC_ENABLE_FAST_STRINGS: u64 = 1;

/// MSRs of a fresh vCPU that differ from KVM's reset state.
pub fn boot_msrs() -> Vec<kvm_msr_entry> {
    vec![kvm_msr_entry {
        index: MISC_ENABLE,
        data: MISC_ENABLE_FAST_STRINGS,
        ..Default::default()
    }]
}

/// Whether an MSR that KVM can save belongs to the guest's state.
///
/// Left out: performance counters and their controls, and Hyper-V's registers: CPUID does not show them, so no guest
/// depends on them, and some KVM versions list ones that they then refuse.
pub fn is_saved(index: u32) -> bool {
    !matches!(index,
        // IA32_PMC0.., IA32_PERFEVTSEL0.., fixed counters and global controls, PEBS (Intel SDM volume 4).
        0xc1..=0xc8 | 0x186..=0x18d | 0x309..=0x30b | 0x345 | 0x38d..=0x390 | 0x3f1 | 0x3f6 | 0x4c1..=0x4c8 | 0x600
        // PerfEvtSel, PerfCtr, K7 and family 15h; PerfMonV2 (AMD APM volume 2).
        | 0xc001_0000..=0xc001_0007 | 0xc001_0200..=0xc001_020b | 0xc000_0300..=0xc000_0303
        // HV_X64_MSR_*.
        | 0x4000_0000..=0x4000_01ff)
}

#[cfg(test)]
#[path = "msr_test.rs"]
mod tests;
