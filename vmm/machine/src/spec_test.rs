use bulkhead_protocol::bounded::{List, Text};
use bulkhead_protocol::vmm::{DiskAccess, DiskSpec, Extent};

use super::*;

fn spec() -> MachineSpec {
    MachineSpec {
        kvm: FdIndex(0),
        vcpus: 1,
        memory_mib: 64,
        kernel: FdIndex(1),
        initramfs: Some(FdIndex(2)),
        command_line: Text::default(),
        disks: List::default(),
        shares: List::default(),
        vsock_cid: 3,
        debug_console: false,
    }
}

fn descriptors(count: usize) -> Vec<OwnedFd> {
    let file = || File::open("/dev/null").unwrap().into();
    std::iter::repeat_with(file).take(count).collect()
}

#[track_caller]
fn refused(change: impl FnOnce(&mut MachineSpec), text: &str) {
    let mut spec = spec();
    change(&mut spec);
    let error = check(&spec, descriptors(3)).unwrap_err();
    assert_eq!(error.to_string(), text);
}

#[test]
fn a_sound_specification_gives_its_files() {
    let files = check(&spec(), descriptors(3)).unwrap();
    assert!(files.initramfs.is_some());
    assert_eq!(files.others.len(), 3);
}

#[test]
fn numbers_out_of_bounds_are_refused() {
    refused(|spec| spec.vcpus = 0, "number of vCPUs is 0, not 1 to 64");
    refused(|spec| spec.vcpus = 65, "number of vCPUs is 65, not 1 to 64");
    refused(
        |spec| spec.memory_mib = 63,
        "memory in MiB is 63, not 64 to 1048576",
    );
    refused(
        |spec| spec.memory_mib = u32::MAX,
        "memory in MiB is 4294967295, not 64 to 1048576",
    );
    refused(
        |spec| spec.vsock_cid = 2,
        "vsock address is 2, not 3 to 4294967294",
    );
}

#[test]
fn descriptors_that_did_not_come_are_refused() {
    refused(|spec| spec.kvm = FdIndex(3), "KVM is descriptor 3 of 3");
    refused(
        |spec| spec.kernel = FdIndex(255),
        "the kernel is descriptor 255 of 3",
    );
    refused(
        |spec| spec.initramfs = Some(FdIndex(9)),
        "the initramfs is descriptor 9 of 3",
    );
    let extent = Extent {
        file: FdIndex(7),
        offset: 0,
        length: 4096,
    };
    refused(
        |spec| {
            let disk = DiskSpec {
                extents: List::try_from(vec![extent]).unwrap(),
                access: DiskAccess::ReadOnly,
                own_thread: false,
            };
            spec.disks = List::try_from(vec![disk]).unwrap();
        },
        "a disk's file is descriptor 7 of 3",
    );
}
