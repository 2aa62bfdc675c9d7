use super::*;
use crate::Exit;
use crate::vcpu::tests::machine;

/// mov eax, 0x1234; out 0x64, al; out 0x64, ax
const CODE: [u8; 11] = [0xb8, 0x34, 0x12, 0, 0, 0xe6, 0x64, 0x66, 0xe7, 0x64, 0xf4];

fn bytes(state: &VcpuState) -> Vec<u8> {
    postcard::to_stdvec(state).unwrap()
}

#[test]
fn a_vcpu_goes_on_where_it_was_saved() {
    let (_ram, _vm, mut vcpu) = machine(&CODE);
    assert!(matches!(
        vcpu.run().unwrap(),
        Exit::PortWrite { data: [0x34], .. }
    ));
    // KVM_RUN completes the port write and returns before the next instruction.
    vcpu.kick().send(&std::thread::spawn(|| ()));
    assert_eq!(vcpu.run().unwrap(), Exit::Interrupted);
    let saved = bytes(&vcpu.save().unwrap());

    let (_ram, _vm, mut other) = machine(&CODE);
    other
        .restore(&postcard::from_bytes(&saved).unwrap())
        .unwrap();
    assert_eq!(other.rip(), vcpu.rip());
    let exit = other.run().unwrap();
    assert!(
        matches!(
            exit,
            Exit::PortWrite {
                data: [0x34, 0x12],
                ..
            }
        ),
        "{exit:?}"
    );
}

#[test]
fn a_restored_vcpu_saves_the_same() {
    let (_ram, _vm, vcpu) = machine(&CODE);
    let mut first = vcpu.save().unwrap();
    let (_ram, _vm, other) = machine(&[]);
    other.restore(&first).unwrap();
    let mut second = other.save().unwrap();
    // What runs on by itself.
    for state in [&mut first, &mut second] {
        state.msrs.retain(|msr| msr.index != 0x10);
    }
    assert_eq!(bytes(&first), bytes(&second));
}

#[test]
fn too_many_registers_are_refused() {
    let (_ram, _vm, vcpu) = machine(&CODE);
    let mut state = vcpu.save().unwrap();
    state.msrs = vec![state.msrs[0]; MAX_SAVED_MSRS + 1];
    let error = vcpu.restore(&state).unwrap_err();
    assert_eq!(error.to_string(), "vCPU state: 513 MSRs, more than 512");
    state.msrs.clear();
    state.cpuid = vec![state.cpuid[0]; KVM_MAX_CPUID_ENTRIES + 1];
    assert!(vcpu.restore(&state).is_err());
}

#[test]
fn an_unknown_register_is_refused_by_name() {
    let (_ram, _vm, vcpu) = machine(&CODE);
    let mut state = vcpu.save().unwrap();
    state.msrs.push(kvm_msr_entry {
        index: 0xdead_beef,
        data: 1,
        ..Default::default()
    });
    let error = vcpu.restore(&state).unwrap_err();
    assert_eq!(
        error.to_string(),
        "vCPU state: KVM refuses MSR 0xdeadbeef = 0x1"
    );
}

#[test]
fn truncated_state_is_no_state() {
    let (_ram, _vm, vcpu) = machine(&CODE);
    let saved = bytes(&vcpu.save().unwrap());
    for length in (0..saved.len()).step_by(7) {
        assert!(postcard::from_bytes::<VcpuState>(&saved[..length]).is_err());
    }
}

#[test]
fn the_clock_goes_on() {
    let (_ram, vm, _vcpu) = machine(&CODE);
    let saved = postcard::to_stdvec(&vm.save().unwrap()).unwrap();
    let mut state: VmState = postcard::from_bytes(&saved).unwrap();
    // An hour: more than a new VM has by itself.
    state.clock.clock += 3_600_000_000_000;

    let (_ram, other, _vcpu) = machine(&CODE);
    other.restore(&state).unwrap();
    assert!(other.save().unwrap().clock.clock >= state.clock.clock);
}
