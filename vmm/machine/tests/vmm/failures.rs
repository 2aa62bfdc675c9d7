//! Machines that cannot be, and a VMM that meets its own fault: one line each.

use std::fs::File;
use std::os::fd::AsFd;
use std::process::Command;

use bulkhead_protocol::bounded::{List, Text};
use bulkhead_protocol::vmm::{DiskAccess, DiskSpec, ExitReason, Extent, FdIndex, ToVmm};

use crate::harness::{Vmm, kernel, kvm, spec, temporary};

const LOOP: [u8; 2] = [0xeb, 0xfe];

#[test]
fn a_kernel_that_is_none_is_told() {
    let end = Vmm::start(&spec(), &temporary(b"#!/bin/sh\n")).end();
    end.assert_failed("the kernel file of 10 bytes is neither an ELF vmlinux nor a bzImage");
    assert!(end.console.is_empty());
}

#[test]
fn a_descriptor_that_is_not_kvm_is_told() {
    let null = File::open("/dev/null").unwrap();
    let kernel = kernel(&LOOP);
    let end = Vmm::start_with(&spec(), &[null.as_fd(), kernel.as_fd()]).end();
    end.assert_failed("the KVM descriptor speaks API version -1, not 12");
}

#[test]
fn a_missing_descriptor_is_told() {
    let end = Vmm::start_with(&spec(), &[kvm().as_fd()]).end();
    end.assert_failed("the kernel is descriptor 1 of 1");
}

#[test]
fn a_read_only_disk_on_a_writable_descriptor_is_told() {
    let mut spec = spec();
    let extent = Extent {
        file: FdIndex(2),
        offset: 0,
        length: 4096,
    };
    let disk = DiskSpec {
        extents: List::try_from(vec![extent]).unwrap(),
        access: DiskAccess::ReadOnly,
        own_thread: false,
    };
    spec.disks = List::try_from(vec![disk]).unwrap();
    let descriptors = [kvm(), kernel(&LOOP), temporary(&[0; 4096])];
    let descriptors: Vec<_> = descriptors.iter().map(AsFd::as_fd).collect();
    let end = Vmm::start_with(&spec, &descriptors).end();
    end.assert_failed("disk 0: extent's fd is not opened read-only");
}

#[test]
fn another_first_message_is_told() {
    let vmm = Vmm::spawn();
    vmm.send(&ToVmm::Stop, &[]);
    vmm.end()
        .assert_failed("the first control message is Stop, not a machine");
}

#[test]
fn a_message_out_of_place_is_told() {
    let vmm = Vmm::run(&LOOP);
    vmm.send(&ToVmm::Connect { port: 80 }, &[]);
    vmm.end()
        .assert_failed("control message Connect { port: 80 } is out of place");
}

#[test]
fn a_start_without_control_socket_is_told() {
    let output = Command::new(env!("CARGO_BIN_EXE_vmm")).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(
        stderr,
        "vmm: descriptor 3 is no control socket: Bad file descriptor (os error 9)\n"
    );
}

#[test]
fn the_version_is_told() {
    let output = Command::new(env!("CARGO_BIN_EXE_vmm"))
        .arg("--version")
        .output()
        .unwrap();
    assert_eq!(output.stdout, b"vmm 0.1.0\n");
    assert!(output.status.success());
}

/// Set in the process that is to panic.
const PANIC: &str = "BULKHEAD_TEST_PANIC";

#[test]
fn a_panic_in_any_thread_ends_the_process_with_its_reason() {
    if std::env::var_os(PANIC).is_some() {
        panic_as_told();
    }
    let own = std::env::current_exe().unwrap();
    let vmm = Vmm::spawn_program(
        "env".as_ref(),
        &[
            &format!("{PANIC}=1"),
            own.to_str().unwrap(),
            "--exact",
            "failures::a_panic_in_any_thread_ends_the_process_with_its_reason",
            "--nocapture",
        ],
    );
    let end = vmm.end();
    let Some(ExitReason::Failed { message }) = &end.reason else {
        panic!("{:?}: {}", end.reason, end.stderr);
    };
    assert!(
        message.starts_with("thread disk1: panicked at "),
        "{message}"
    );
    assert!(message.ends_with("told to"), "{message}");
    assert_eq!(end.console, b"last words");
    assert_eq!(end.code, Some(1));
}

fn panic_as_told() -> ! {
    use std::sync::Arc;

    use bulkhead_devices::bus::PortDevice;
    use bulkhead_devices::{ConsoleRing, EarlyConsole};
    use bulkhead_machine::control::Control;
    use bulkhead_machine::end::{Report, report_panics};

    let control = bulkhead_kvm::inherited::control_socket().unwrap();
    let ring = ConsoleRing::new();
    let mut console = EarlyConsole::new(Arc::clone(&ring), None);
    for byte in b"last words" {
        let _ = console.write(0, *byte);
    }
    report_panics(Report::new(Arc::new(Control::new(control)), ring));
    let thread = std::thread::Builder::new().name("disk1".to_owned());
    let _ = thread.spawn(|| panic!("told to")).unwrap().join();
    unreachable!("the hook has ended the process")
}

#[test]
fn a_too_small_machine_is_told() {
    let mut spec = spec();
    spec.memory_mib = 1;
    let end = Vmm::start(&spec, &kernel(&LOOP)).end();
    end.assert_failed("memory in MiB is 1, not 64 to 1048576");
}

#[test]
fn a_command_line_that_leaves_no_room_for_devices_is_told() {
    let mut spec = spec();
    spec.command_line = Text::try_from("x".repeat(2040)).unwrap();
    let end = Vmm::start(&spec, &kernel(&LOOP)).end();
    end.assert_failed(
        "the kernel's command line with its devices is 2145 bytes, and it takes 2047",
    );
}
