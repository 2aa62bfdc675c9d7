use vm_memory::{Bytes, GuestMemoryBackend, GuestMemoryRegion};

use super::*;

#[test]
fn host_addresses_are_aligned_for_huge_pages() {
    let ranges = [
        (GuestAddress(0), 64 << 20),
        (GuestAddress(1 << 32), 3 << 30),
    ];
    let ram = allocate(&ranges).unwrap();
    let memory = ram.memory();
    for region in memory.iter() {
        let host = memory.get_host_address(region.start_addr()).unwrap();
        assert_eq!(host.align_offset(HUGE_PAGE), 0, "{:?}", region.start_addr());
    }
}

#[test]
fn both_ends_of_every_range_can_be_used() {
    let ranges = [
        (GuestAddress(0), 64 << 20),
        (GuestAddress(1 << 32), 3 << 30),
    ];
    let ram = allocate(&ranges).unwrap();
    let memory = ram.memory();
    for (start, size) in ranges {
        for address in [start.0, start.0 + size - 8] {
            memory.write_obj(address, GuestAddress(address)).unwrap();
            assert_eq!(
                memory.read_obj::<u64>(GuestAddress(address)).unwrap(),
                address
            );
        }
    }
    assert!(memory.read_obj::<u8>(GuestAddress(64 << 20)).is_err());
}

#[test]
fn bad_ranges_are_refused() {
    let a = GuestAddress(0);
    assert!(matches!(allocate(&[(a, 0)]), Err(Error::Ranges)));
    assert!(matches!(
        allocate(&[(a, 8192), (GuestAddress(4096), 4096)]),
        Err(Error::Ranges)
    ));
    assert!(matches!(allocate(&[]), Err(Error::Ranges)));
}
