use std::io::Write;

use vm_memory::{Bytes, GuestMemoryBackend, GuestMemoryRegion};

use super::*;

#[test]
fn host_addresses_are_aligned_for_huge_pages() {
    let ranges = [
        (GuestAddress(0), 64 << 20),
        (GuestAddress(1 << 32), 3 << 30),
    ];
    let ram = allocate(&ranges, Sharing::Private).unwrap();
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
    let ram = allocate(&ranges, Sharing::Private).unwrap();
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
    assert!(matches!(
        allocate(&[(a, 0)], Sharing::Private),
        Err(Error::Ranges)
    ));
    assert!(matches!(
        allocate(&[(a, 8192), (GuestAddress(4096), 4096)], Sharing::Private),
        Err(Error::Ranges)
    ));
    assert!(matches!(
        allocate(&[], Sharing::Private),
        Err(Error::Ranges)
    ));
}

#[test]
fn a_file_is_read_to_where_it_belongs() {
    let ram = allocate(&[(GuestAddress(0), 64 << 20)], Sharing::Private).unwrap();
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(b"0123456789").unwrap();
    ram.read_file(&file, 2, GuestAddress(0x1000), 8).unwrap();
    let mut read = [0; 9];
    ram.memory()
        .read_slice(&mut read, GuestAddress(0x1000))
        .unwrap();
    assert_eq!(&read, b"23456789\0");

    let kind = |offset, address, length| {
        ram.read_file(&file, offset, GuestAddress(address), length)
            .unwrap_err()
            .kind()
    };
    assert_eq!(kind(3, 0, 8), io::ErrorKind::UnexpectedEof);
    assert_eq!(kind(0, (64 << 20) - 4, 8), io::ErrorKind::InvalidInput);
    assert_eq!(kind(u64::MAX, 0, 8), io::ErrorKind::InvalidInput);
}

#[test]
fn shared_memory_is_one_sealed_file_with_all_ranges_in_order() {
    let ranges = [
        (GuestAddress(0), 64 << 20),
        (GuestAddress(1 << 32), 32 << 20),
    ];
    let ram = allocate(&ranges, Sharing::File).unwrap();
    let memory = ram.memory();
    memory.write_obj(7_u64, GuestAddress(1 << 32)).unwrap();
    let offsets: Vec<u64> = memory
        .iter()
        .map(|region| region.file_offset().unwrap().start())
        .collect();
    assert_eq!(offsets, [0, 64 << 20]);
    let region = memory.find_region(GuestAddress(1 << 32)).unwrap();
    let host = memory.get_host_address(region.start_addr()).unwrap();
    assert_eq!(host.align_offset(HUGE_PAGE), 0);

    let file = region.file_offset().unwrap().file();
    let mut word = [0; 8];
    std::os::unix::fs::FileExt::read_exact_at(file, &mut word, 64 << 20).unwrap();
    assert_eq!(u64::from_le_bytes(word), 7);
    for length in [32 << 20, 128 << 20] {
        let error = file.set_len(length).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
    }
}

#[test]
fn private_memory_has_no_file() {
    let ram = allocate(&[(GuestAddress(0), 64 << 20)], Sharing::Private).unwrap();
    assert!(ram.memory().iter().all(|r| r.file_offset().is_none()));
}

#[test]
fn discarded_pages_are_the_host_s_and_read_as_zeros() {
    for sharing in [Sharing::Private, Sharing::File] {
        let ranges = [(GuestAddress(0), 4 << 20), (GuestAddress(1 << 32), 4 << 20)];
        let ram = allocate(&ranges, sharing).unwrap();
        let second = GuestAddress(1 << 32);
        ram.memory().write_slice(&vec![7; 4 << 20], second).unwrap();
        ram.discard(GuestAddress((1 << 32) + 4096), 8192).unwrap();
        let mut read = vec![1; 4 * 4096];
        ram.memory().read_slice(&mut read, second).unwrap();
        assert!(read[..4096].iter().all(|byte| *byte == 7), "{sharing:?}");
        assert!(read[4096..3 * 4096].iter().all(|byte| *byte == 0));
        assert!(read[3 * 4096..].iter().all(|byte| *byte == 7));
    }
}

#[test]
fn a_memory_file_is_smaller_by_what_was_discarded() {
    let ram = allocate(&[(GuestAddress(0), 4 << 20)], Sharing::File).unwrap();
    ram.memory()
        .write_slice(&vec![7; 4 << 20], GuestAddress(0))
        .unwrap();
    ram.discard(GuestAddress(0), 4 << 20).unwrap();
    let region = ram.memory().find_region(GuestAddress(0)).unwrap();
    let file = region.file_offset().unwrap().file();
    let blocks = std::os::unix::fs::MetadataExt::blocks(&file.metadata().unwrap());
    assert_eq!(blocks, 0);
}

#[test]
fn nothing_but_whole_pages_of_one_range_is_discarded() {
    let ranges = [(GuestAddress(0), 4 << 20), (GuestAddress(4 << 20), 4 << 20)];
    let ram = allocate(&ranges, Sharing::Private).unwrap();
    for (address, length) in [
        (8, 4096),
        (8 << 20, 4096),
        ((4 << 20) - 4096, 8192),
        (u64::MAX, 4096),
        (0, u64::MAX),
    ] {
        let error = ram.discard(GuestAddress(address), length).unwrap_err();
        let kind = error.kind();
        assert_eq!(kind, io::ErrorKind::InvalidInput, "{address:#x}");
    }
}
