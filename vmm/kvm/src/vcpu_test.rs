use std::fs::OpenOptions;
use std::sync::mpsc;
use std::thread;

use vm_memory::{Bytes, GuestAddress};

use super::*;
use crate::cpuid::{Topology, cpuid};
use crate::memory::{GuestRam, Sharing, allocate};
use crate::{ExitKind, Kvm};

const GDT: u64 = 0x500;
const PML4: u64 = 0x1000;
const PDPT: u64 = 0x2000;
const PD: u64 = 0x3000;
const CODE: u64 = 0x10_0000;

pub(crate) fn kvm() -> Kvm {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/kvm")
        .expect("these tests need /dev/kvm");
    Kvm::from_fd(file.into()).unwrap()
}

/// A VM of 64 MiB with `code` before vCPU 0 in long mode, the first GiB identity-mapped.
pub(crate) fn machine(code: &[u8]) -> (GuestRam, Vm, Vcpu) {
    install_kick_handler().unwrap();
    let kvm = kvm();
    let ram = allocate(&[(GuestAddress(0), 64 << 20)], Sharing::Private).unwrap();
    let memory = ram.memory();
    let vm = Vm::new(&kvm, &ram).unwrap();
    let gdt = [0u64, 0, 0x00af_9b00_0000_ffff, 0x00cf_9300_0000_ffff];
    for (entry, at) in gdt.into_iter().zip((GDT..).step_by(8)) {
        memory.write_obj(entry, GuestAddress(at)).unwrap();
    }
    memory.write_obj(PDPT | 3, GuestAddress(PML4)).unwrap();
    memory.write_obj(PD | 3, GuestAddress(PDPT)).unwrap();
    for page in 0..512u64 {
        let entry = page << 21 | 0x83;
        memory
            .write_obj(entry, GuestAddress(PD + page * 8))
            .unwrap();
    }
    memory.write_slice(code, GuestAddress(CODE)).unwrap();

    let vcpu = Vcpu::new(&vm, 0).unwrap();
    let host = kvm.host_cpu().unwrap();
    let topology = Topology { index: 0, count: 1 };
    vcpu.set_cpuid(&cpuid(&host, topology)).unwrap();
    vcpu.set_msrs(&crate::msr::boot_msrs()).unwrap();
    vcpu.enter_long_mode(LongModeEntry {
        rip: CODE,
        rsi: 0,
        cr3: PML4,
        gdt_address: GDT,
        gdt_limit: 31,
    })
    .unwrap();
    (ram, vm, vcpu)
}

#[test]
fn another_descriptor_than_kvm_is_refused() {
    let file = OpenOptions::new().read(true).open("/dev/null").unwrap();
    let error = Kvm::from_fd(file.into()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the KVM descriptor speaks API version -1, not 12"
    );
}

#[test]
fn a_port_write_comes_out_in_place() {
    // mov al, 0xfe; out 0x64, al
    let (_ram, _vm, mut vcpu) = machine(&[0xb0, 0xfe, 0xe6, 0x64]);
    let exit = vcpu.run().unwrap();
    assert_eq!(exit.kind(), ExitKind::PortWrite);
    assert_eq!(
        exit,
        Exit::PortWrite {
            port: 0x64,
            size: 1,
            data: &[0xfe]
        }
    );
}

#[test]
fn a_port_read_is_answered_in_place() {
    // in ax, dx with dx = 0x3fd; out dx, ax
    let (_ram, _vm, mut vcpu) = machine(&[0x66, 0xba, 0xfd, 0x03, 0x66, 0xed, 0x66, 0xef]);
    match vcpu.run().unwrap() {
        Exit::PortRead {
            port: 0x3fd,
            size: 2,
            data,
        } => data.copy_from_slice(&[0x34, 0x12]),
        other => panic!("{other:?}"),
    }
    let data = &[0x34, 0x12];
    let written = Exit::PortWrite {
        port: 0x3fd,
        size: 2,
        data,
    };
    assert_eq!(vcpu.run().unwrap(), written);
}

#[test]
fn a_string_write_keeps_the_size_of_one_access() {
    // mov esi, CODE; mov ecx, 4; mov dx, 0x3f8; rep outsw
    let code = [
        0xbe, 0x00, 0x00, 0x10, 0x00, 0xb9, 0x04, 0x00, 0x00, 0x00, 0x66, 0xba, 0xf8, 0x03, 0xf3,
        0x66, 0x6f,
    ];
    let (_ram, _vm, mut vcpu) = machine(&code);
    let mut seen = Vec::new();
    while seen.len() < 8 {
        match vcpu.run().unwrap() {
            Exit::PortWrite {
                port: 0x3f8,
                size: 2,
                data,
            } => seen.extend_from_slice(data),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(seen, code[..8]);
}

#[test]
fn memory_accesses_outside_ram_come_out() {
    // mov ebx, 0x30000000; mov dword [rbx], 0x12345678; mov eax, [rbx]; out 0x64, al
    let code = [
        0xbb, 0x00, 0x00, 0x00, 0x30, 0xc7, 0x03, 0x78, 0x56, 0x34, 0x12, 0x8b, 0x03, 0xe6, 0x64,
    ];
    let (_ram, _vm, mut vcpu) = machine(&code);
    let written = Exit::MmioWrite {
        address: 0x3000_0000,
        data: &[0x78, 0x56, 0x34, 0x12],
    };
    assert_eq!(vcpu.run().unwrap(), written);
    match vcpu.run().unwrap() {
        Exit::MmioRead {
            address: 0x3000_0000,
            data,
        } => data.copy_from_slice(&[0xaa, 0, 0, 0]),
        other => panic!("{other:?}"),
    }
    assert!(matches!(
        vcpu.run().unwrap(),
        Exit::PortWrite { data: [0xaa], .. }
    ));
}

#[test]
fn a_triple_fault_is_told_apart() {
    // ud2, without an interrupt table
    let (_ram, _vm, mut vcpu) = machine(&[0x0f, 0x0b]);
    assert_eq!(vcpu.run().unwrap(), Exit::TripleFault);
}

#[test]
fn a_kick_stops_a_vcpu_in_the_guest_in_a_halt_and_before_it_enters() {
    // jmp $; sti-less hlt
    for code in [&[0xeb, 0xfe][..], &[0xf4]] {
        let (_ram, _vm, mut vcpu) = machine(code);
        let kick = vcpu.kick();
        let (told, wait) = mpsc::channel();
        let thread = thread::spawn(move || {
            for _ in 0..100 {
                assert_eq!(vcpu.run().unwrap(), Exit::Interrupted);
                told.send(()).unwrap();
            }
        });
        for _ in 0..100 {
            kick.send(&thread);
            wait.recv().unwrap();
        }
        thread.join().unwrap();
        kick.send(&thread::spawn(|| ()));
    }
}

#[test]
fn a_write_event_needs_no_answer_of_ours() {
    // mov ebx, 0x30000050; mov dword [rbx], 1; mov dword [rbx], 2; out 0x64, al
    let code = [
        0xbb, 0x50, 0x00, 0x00, 0x30, 0xc7, 0x03, 1, 0, 0, 0, 0xc7, 0x03, 2, 0, 0, 0, 0xe6, 0x64,
    ];
    let (_ram, vm, mut vcpu) = machine(&code);
    let event = crate::Event::new().unwrap();
    vm.register_write_event(&event, GuestAddress(0x3000_0050), 1)
        .unwrap();
    let second = Exit::MmioWrite {
        address: 0x3000_0050,
        data: &[2, 0, 0, 0],
    };
    assert_eq!(vcpu.run().unwrap(), second);
    assert!(event.hear());
    assert!(!event.hear());
    assert_eq!(vcpu.run().unwrap().kind(), ExitKind::PortWrite);
}

#[test]
fn a_message_that_no_apic_takes_is_lost() {
    // The local APIC is off at reset, so the message is lost, which is no error of ours.
    let (_ram, vm, _vcpu) = machine(&[0xf4]);
    vm.send(crate::vm::Message {
        address: 0xfee0_0000,
        data: 0x31,
    })
    .unwrap();
}

#[test]
fn a_paravirtual_feature_that_is_not_shown_does_not_exist() {
    let (_ram, _vm, vcpu) = machine(&[]);
    let write = |index, data| {
        vcpu.set_msrs(&[kvm_msr_entry {
            index,
            data,
            ..Default::default()
        }])
    };
    // PV EOI is shown; asynchronous page faults are not.
    write(0x4b56_4d04, 0).unwrap();
    let error = write(0x4b56_4d02, 1).unwrap_err();
    assert_eq!(
        error.to_string(),
        "vCPU state: KVM refuses MSR 0x4b564d02 = 0x1"
    );
}
