use super::*;
use crate::vcpu::tests::machine;

#[test]
fn exits_are_counted() {
    // out 0x64, al; out 0x64, al
    let (_ram, _vm, mut vcpu) = machine(&[0xe6, 0x64, 0xe6, 0x64]);
    let stats = VcpuStats::open(&vcpu).expect("Linux 5.14 or later");
    let count = |name| stats.read().find(|(found, _)| *found == name).unwrap().1;
    assert_eq!(count("exits"), 0);
    vcpu.run().unwrap();
    vcpu.run().unwrap();
    assert!(count("io_exits") >= 2 || count("insn_emulation") >= 2);
    drop(vcpu);
    assert!(stats.read().count() > 10);
}
