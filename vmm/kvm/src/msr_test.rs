use super::*;

#[test]
fn string_instructions_are_fast() {
    let msrs = boot_msrs();
    assert_eq!(msrs.len(), 1);
    assert_eq!((msrs[0].index, msrs[0].data), (0x1a0, 1));
}

#[test]
fn what_a_guest_depends_on_is_saved() {
    // TSC, APIC base, SYSENTER_*, PAT, TSC deadline, EFER, STAR..GS base, TSC_AUX, kvm-clock, steal time, PV EOI.
    let needed = [
        0x10,
        0x1b,
        0x174,
        0x175,
        0x176,
        0x277,
        0x6e0,
        0xc000_0080,
        0xc000_0081,
        0xc000_0082,
        0xc000_0100,
        0xc000_0102,
        0xc000_0103,
        0x4b56_4d00,
        0x4b56_4d01,
        0x4b56_4d03,
        0x4b56_4d04,
    ];
    for index in needed {
        assert!(is_saved(index), "{index:#x}");
    }
}

#[test]
fn counters_and_hyper_v_are_not_saved() {
    for index in [
        0xc1,
        0x186,
        0x38f,
        0xc001_0000,
        0xc001_0201,
        0x4000_0000,
        0x4000_0105,
    ] {
        assert!(!is_saved(index), "{index:#x}");
    }
}
