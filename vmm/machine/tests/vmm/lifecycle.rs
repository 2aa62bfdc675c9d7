//! Machines that start, run, stand still and end.

use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

use bulkhead_protocol::bounded::List;
use bulkhead_protocol::vmm::{DiskAccess, DiskSpec, ExitReason, Extent, FdIndex, FromVmm, ToVmm};

use crate::harness::{ENTRY, Vmm, kernel, kvm, spec, temporary};

/// jmp $
const LOOP: [u8; 2] = [0xeb, 0xfe];
/// mov al, 0xfe; out 0x64, al
const RESET: [u8; 4] = [0xb0, 0xfe, 0xe6, 0x64];

/// mov esi, text; mov ecx, length; mov dx, 0x3f8; rep outsb; reset; text
fn print(text: &[u8]) -> Vec<u8> {
    const BEFORE_TEXT: u32 = 20;
    let mut code = vec![0xbe];
    let address = u32::try_from(ENTRY).unwrap() + BEFORE_TEXT;
    code.extend_from_slice(&address.to_le_bytes());
    code.push(0xb9);
    code.extend_from_slice(&u32::try_from(text.len()).unwrap().to_le_bytes());
    code.extend_from_slice(&[0x66, 0xba, 0xf8, 0x03, 0xf3, 0x6e]);
    code.extend_from_slice(&RESET);
    assert_eq!(code.len(), BEFORE_TEXT as usize);
    code.extend_from_slice(text);
    code
}

#[test]
fn a_reset_ends_the_machine() {
    let vmm = Vmm::start(&spec(), &kernel(&RESET));
    let end = vmm.end();
    end.assert(&ExitReason::GuestReset, 0);
    assert_eq!(end.stderr, "");
}

#[test]
fn a_triple_fault_is_told() {
    // ud2
    Vmm::run(&[0x0f, 0x0b])
        .end()
        .assert(&ExitReason::TripleFault, 3);
}

#[test]
fn what_kvm_cannot_run_is_told_with_its_place() {
    // mov eax, 0x30000000; jmp rax: there is no memory to fetch from.
    let end = Vmm::run(&[0xb8, 0, 0, 0, 0x30, 0xff, 0xe0]).end();
    let reason = ExitReason::KvmInternalError {
        suberror: 1,
        rip: 0x3000_0000,
    };
    end.assert(&reason, 4);
}

#[test]
fn phases_come_in_order() {
    let vmm = Vmm::start(&spec(), &kernel(&LOOP));
    let times = vmm.wait_for_start();
    assert!(times.process_start_ns > 0);
    assert!(times.vm_created_ns > times.process_start_ns);
    assert!(times.kernel_loaded_ns > times.process_start_ns);
    assert!(times.first_run_ns > times.vm_created_ns.max(times.kernel_loaded_ns));
    vmm.stop().assert(&ExitReason::Stopped, 2);
}

#[test]
fn the_console_comes_with_the_end() {
    let end = Vmm::start(&spec(), &kernel(&print(b"Kernel panic\n"))).end();
    end.assert(&ExitReason::GuestReset, 0);
    assert_eq!(end.console, b"Kernel panic\n");
    assert_eq!(end.stderr, "");
}

#[test]
fn the_debug_console_shows_it_meanwhile() {
    let mut spec = spec();
    spec.debug_console = true;
    let end = Vmm::start(&spec, &kernel(&print(b"Kernel panic\n"))).end();
    assert_eq!(end.stderr, "Kernel panic\n");
    assert_eq!(end.console, b"Kernel panic\n");
}

#[test]
fn a_console_flood_leaves_its_tail() {
    let text: Vec<u8> = (0..100_000u32).map(|at| at.to_le_bytes()[1]).collect();
    let end = Vmm::start(&spec(), &kernel(&print(&text))).end();
    assert_eq!(end.console, text[text.len() - 65536..]);
}

#[test]
fn vcpus_stand_still_and_go_on() {
    let mut spec = spec();
    // All but the first wait for their start-up call.
    spec.vcpus = 4;
    let vmm = Vmm::start(&spec, &kernel(&LOOP));
    vmm.wait_for_start();
    for _ in 0..20 {
        vmm.send(&ToVmm::Pause, &[]);
        vmm.expect(&FromVmm::Paused);
        vmm.send(&ToVmm::Pause, &[]);
        vmm.expect(&FromVmm::Paused);
        vmm.send(&ToVmm::Resume, &[]);
        vmm.expect(&FromVmm::Resumed);
    }
    vmm.send(&ToVmm::Pause, &[]);
    vmm.expect(&FromVmm::Paused);
    vmm.stop().assert(&ExitReason::Stopped, 2);
}

#[test]
fn a_disk_worker_stands_still_too() {
    let mut spec = spec();
    spec.disks = disks(&[(2, true), (3, false)]);
    let (kernel, first, second) = (kernel(&LOOP), temporary(&[0; 4096]), read_only());
    let descriptors = [kvm(), kernel, first, second];
    let descriptors: Vec<_> = descriptors.iter().map(AsFd::as_fd).collect();
    let vmm = Vmm::start_with(&spec, &descriptors);
    vmm.wait_for_start();
    vmm.send(&ToVmm::Pause, &[]);
    vmm.expect(&FromVmm::Paused);
    vmm.send(&ToVmm::Resume, &[]);
    vmm.expect(&FromVmm::Resumed);
    vmm.stop().assert(&ExitReason::Stopped, 2);
}

#[test]
fn a_closed_control_socket_ends_the_machine() {
    let mut vmm = Vmm::run(&LOOP);
    vmm.close_control();
    let end = vmm.end();
    assert_eq!((end.code, end.stderr.as_str()), (Some(2), ""));
}

#[test]
fn signals_of_a_terminal_end_nothing() {
    let vmm = Vmm::run(&LOOP);
    for signal in ["-INT", "-TERM", "-HUP"] {
        vmm.signal(signal);
    }
    vmm.send(&ToVmm::Pause, &[]);
    vmm.expect(&FromVmm::Paused);
    vmm.stop().assert(&ExitReason::Stopped, 2);
}

#[test]
fn statistics_name_their_counters() {
    let vmm = Vmm::run(&LOOP);
    vmm.send(&ToVmm::Stats, &[]);
    let Some((FromVmm::Stats(counters), _)) = vmm.receive() else {
        panic!("no statistics")
    };
    let names: Vec<_> = counters
        .iter()
        .map(|counter| counter.name.as_str())
        .collect();
    for name in ["exits.port_write", "kvm.exits", "vsock.malformed"] {
        assert!(names.contains(&name), "{names:?}");
    }
    vmm.stop().assert(&ExitReason::Stopped, 2);
}

#[test]
fn a_guest_without_driver_refuses_connections() {
    let vmm = Vmm::run(&LOOP);
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    vmm.send(&ToVmm::Connect { port: 80 }, &[theirs.as_fd()]);
    drop(theirs);
    assert_eq!(ours.read(&mut [0]).unwrap(), 0);
    vmm.stop().assert(&ExitReason::Stopped, 2);
}

#[test]
fn a_disk_grows_and_bad_growth_changes_nothing() {
    let mut spec = spec();
    spec.disks = disks(&[(2, false)]);
    let descriptors = [kvm(), kernel(&LOOP), read_only()];
    let descriptors: Vec<_> = descriptors.iter().map(AsFd::as_fd).collect();
    let vmm = Vmm::start_with(&spec, &descriptors);
    vmm.wait_for_start();
    let extent = |length| Extent {
        file: FdIndex(0),
        offset: 0,
        length,
    };
    for length in [4096, 5000] {
        let extent = extent(length);
        vmm.send(&ToVmm::GrowDisk { disk: 0, extent }, &[read_only().as_fd()]);
    }
    vmm.send(&ToVmm::Pause, &[]);
    vmm.expect(&FromVmm::Paused);
    let end = vmm.stop();
    end.assert(&ExitReason::Stopped, 2);
    assert_eq!(
        end.stderr,
        "vmm: cannot grow the disk in slot 0: extent offset 0 must be a multiple of 4096, and its length 5000 one of 512 and \
         not 0\n"
    );
}

fn disks<const MAX: usize>(list: &[(u8, bool)]) -> List<DiskSpec, MAX> {
    let disk = |(file, writable): &(u8, bool)| DiskSpec {
        extents: List::try_from(vec![Extent {
            file: FdIndex(*file),
            offset: 0,
            length: 4096,
        }])
        .unwrap(),
        access: match writable {
            true => DiskAccess::Writable,
            false => DiskAccess::ReadOnly,
        },
        own_thread: *writable,
    };
    List::try_from(list.iter().map(disk).collect::<Vec<_>>()).unwrap()
}

/// A page of zeroes that cannot be written.
fn read_only() -> std::fs::File {
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().set_len(4096).unwrap();
    std::fs::File::open(file.path()).unwrap()
}
