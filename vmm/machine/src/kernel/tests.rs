use std::io::Write;

use proptest::prelude::*;
use vm_memory::ByteValued;

use super::*;

const LOW_RAM_END: u64 = 64 << 20;
const BASE: u64 = 16 << 20;

/// One program header: type, offset, physical address, bytes in the file, bytes in memory.
type Segment = (u32, u64, u64, u64, u64);

fn elf(entry: u64, segments: &[Segment], file_length: usize) -> Vec<u8> {
    let mut file = vec![0; file_length.max(64 + 56 * segments.len())];
    let mut put = |at: usize, bytes: &[u8]| file[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, b"\x7fELF\x02\x01\x01");
    put(16, &2u16.to_le_bytes());
    put(18, &62u16.to_le_bytes());
    put(24, &entry.to_le_bytes());
    put(32, &64u64.to_le_bytes());
    put(54, &56u16.to_le_bytes());
    put(56, &u16::try_from(segments.len()).unwrap().to_le_bytes());
    for (index, (kind, offset, address, in_file, in_memory)) in segments.iter().enumerate() {
        let at = 64 + index * 56;
        put(at, &kind.to_le_bytes());
        put(at + 8, &offset.to_le_bytes());
        put(at + 24, &address.to_le_bytes());
        put(at + 32, &in_file.to_le_bytes());
        put(at + 40, &in_memory.to_le_bytes());
    }
    file.truncate(file_length);
    file
}

fn bzimage(change: impl FnOnce(&mut setup_header)) -> Vec<u8> {
    let mut header = setup_header {
        setup_sects: 3,
        boot_flag: 0xaa55,
        header: u32::from_le_bytes(*b"HdrS"),
        version: 0x020f,
        loadflags: 1,
        xloadflags: 1,
        pref_address: BASE,
        init_size: 8 << 20,
        initrd_addr_max: 0x7fff_ffff,
        cmdline_size: 2047,
        ..Default::default()
    };
    change(&mut header);
    let mut file = vec![0; 0x1f1];
    file.extend_from_slice(header.as_slice());
    file.resize(8192, 0);
    file
}

fn inspect_bytes(bytes: &[u8]) -> Result<Kernel, KernelError> {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    inspect(&file, LOW_RAM_END)
}

#[track_caller]
fn refused(bytes: &[u8], text: &str) {
    let error = inspect_bytes(bytes).unwrap_err();
    assert_eq!(error.to_string(), text);
}

#[test]
fn a_vmlinux_is_taken_apart() {
    let segments = [
        (1, 0x200, BASE + 0x10_0000, 0x80, 0x4000),
        (1, 0x100, BASE, 0x100, 0x100),
        (4, 0x100, 0, 0x10, 0x10),
    ];
    let kernel = inspect_bytes(&elf(BASE + 0x10, &segments, 0x280)).unwrap();
    let part = |offset, address, length| Part {
        offset,
        address,
        length,
    };
    assert_eq!(
        kernel.parts,
        [
            part(0x100, BASE, 0x100),
            part(0x200, BASE + 0x10_0000, 0x80)
        ]
    );
    assert_eq!((kernel.entry, kernel.end), (BASE + 0x10, BASE + 0x10_4000));
    assert_eq!(kernel.command_line_max, 2047);
}

#[test]
fn a_bzimage_is_entered_at_its_64_bit_entry() {
    let kernel = inspect_bytes(&bzimage(|_| ())).unwrap();
    let part = Part {
        offset: 2048,
        address: BASE,
        length: 6144,
    };
    assert_eq!(kernel.parts, [part]);
    assert_eq!((kernel.entry, kernel.end), (BASE + 0x200, BASE + (8 << 20)));
    // 0 setup sectors are 4.
    let kernel = inspect_bytes(&bzimage(|header| header.setup_sects = 0)).unwrap();
    assert_eq!(kernel.parts[0].offset, 2560);
}

#[test]
fn what_is_no_kernel_is_refused() {
    let text = |length| {
        format!("the kernel file of {length} bytes is neither an ELF vmlinux nor a bzImage")
    };
    refused(b"", &text(0));
    refused(b"#!/bin/sh\n", &text(10));
    refused(&[0xff; 10_000], &text(10_000));
    refused(&bzimage(|header| header.boot_flag = 0), &text(8192));
}

#[test]
fn an_elf_for_something_else_is_refused() {
    let good = elf(BASE, &[(1, 0x100, BASE, 0x100, 0x100)], 0x200);
    let changed = |at: usize, value: u8| {
        let mut file = good.clone();
        file[at] = value;
        file
    };
    inspect_bytes(&good).unwrap();
    refused(
        &changed(4, 1),
        "the kernel's ELF class is 1, not 2 (64-bit)",
    );
    refused(
        &changed(5, 2),
        "the kernel's ELF byte order is 2, not 1 (little-endian)",
    );
    refused(
        &changed(16, 3),
        "the kernel's ELF type is 3, not 2 (executable)",
    );
    refused(
        &changed(18, 183),
        "the kernel's ELF machine is 183, not 62 (x86-64)",
    );
    refused(
        &changed(54, 32),
        "the kernel's program header size is 32, not 56",
    );
    refused(
        &changed(56, 0),
        "the kernel's number of program headers is 0, not 1 to 32",
    );
    refused(
        &changed(57, 0xff),
        "the kernel's number of program headers is 65281, not 1 to 32",
    );
}

#[test]
fn a_cut_elf_is_refused() {
    let good = elf(BASE, &[(1, 0x100, BASE, 0x100, 0x100)], 0x200);
    refused(
        &good[..0x1ff],
        "the kernel's segment needs bytes 256+256 of a file of 511 bytes",
    );
    refused(
        &good[..100],
        "the kernel's program header table needs bytes 64+56 of a file of 100 bytes",
    );
    refused(
        &good[..40],
        "the kernel's ELF header needs bytes 0+64 of a file of 40 bytes",
    );
}

#[test]
fn an_offset_beyond_the_file_is_refused_without_reading_on() {
    refused(
        &elf(BASE, &[(1, u64::MAX - 8, BASE, 0x100, 0x100)], 0x200),
        "the kernel's segment needs bytes 18446744073709551607+256 of a file of 512 bytes",
    );
    refused(
        &elf(BASE, &[(1, 0, BASE, u64::MAX, u64::MAX)], 0x200),
        "the kernel's segment needs bytes 0+18446744073709551615 of a file of 512 bytes",
    );
}

#[test]
fn segments_outside_memory_or_over_each_other_are_refused() {
    refused(
        &elf(BASE, &[(1, 0, 0x1000, 0x100, 0x100)], 0x200),
        "the kernel wants memory 0x1000 to 0x1100, which must lie above 0x100000",
    );
    refused(
        &elf(BASE, &[(1, 0, BASE, 0x100, 1 << 40)], 0x200),
        "the kernel wants memory 0x1000000 to 0x10001000000, and the machine's first memory ends at 0x4000000",
    );
    refused(
        &elf(BASE, &[(1, 0, u64::MAX - 1, 1, 0x100)], 0x200),
        "the kernel wants memory 0xfffffffffffffffe to 0xffffffffffffffff, and the machine's first memory ends at \
         0x4000000",
    );
    refused(
        &elf(
            BASE,
            &[(1, 0, BASE, 0x100, 0x2000), (1, 0, BASE + 0x1000, 1, 1)],
            0x200,
        ),
        "the kernel's segments overlap at 0x1001000",
    );
    refused(
        &elf(BASE, &[(1, 0, BASE, 0x101, 0x100)], 0x200),
        "kernel segment 0 has 257 bytes in the file for 256 in memory",
    );
}

#[test]
fn an_entry_outside_the_kernel_is_refused() {
    for entry in [0, BASE - 1, BASE + 0x100, u64::MAX] {
        refused(
            &elf(entry, &[(1, 0, BASE, 0x100, 0x1000)], 0x200),
            &format!("the kernel's entry point {entry:#x} is in no segment that it loads"),
        );
    }
    refused(
        &elf(BASE, &[(6, 0, BASE, 0x100, 0x100)], 0x200),
        "the kernel's entry point 0x1000000 is in no segment that it loads",
    );
}

#[test]
fn a_bzimage_that_cannot_be_told_its_devices_is_refused() {
    refused(
        &bzimage(|header| header.version = 0x020b),
        "the bzImage has boot protocol 0x20b and load flags 0x1: it cannot be entered in 64-bit mode and so not be told \
         its virtio-mmio devices",
    );
    refused(
        &bzimage(|header| header.xloadflags = 0),
        "the bzImage has boot protocol 0x20f and load flags 0x0: it cannot be entered in 64-bit mode and so not be told \
         its virtio-mmio devices",
    );
    refused(
        &bzimage(|header| header.loadflags = 0),
        "the kernel's LOADED_HIGH flag is 0, not 1 (a bzImage)",
    );
}

#[test]
fn a_bzimage_beyond_its_file_or_the_memory_is_refused() {
    refused(
        &bzimage(|header| header.setup_sects = 255),
        "the kernel's protected-mode code needs bytes 131072+513 of a file of 8192 bytes",
    );
    refused(
        &bzimage(|header| header.init_size = 100 << 20),
        "the kernel wants memory 0x1000000 to 0x7400000, and the machine's first memory ends at 0x4000000",
    );
    refused(
        &bzimage(|header| header.pref_address = 0),
        "the kernel wants memory 0x0 to 0x800000, which must lie above 0x100000",
    );
}

/// Whatever is accepted can be loaded as it says.
fn check_sound(kernel: &Kernel, file_length: u64) {
    let mut end = crate::layout::HIGH_RAM;
    for part in &kernel.parts {
        assert!(part.address >= end);
        end = part.address + part.length as u64;
        assert!(part.offset + part.length as u64 <= file_length);
    }
    assert!(end <= kernel.end && kernel.end <= LOW_RAM_END);
    assert!((crate::layout::HIGH_RAM..kernel.end).contains(&kernel.entry));
}

proptest! {
    #[test]
    fn damaged_elf_headers_are_refused_or_sound(changes: Vec<(u16, u8)>) {
        let segments = [(1, 0x100, BASE, 0x100, 0x200), (1, 0x200, BASE + 0x1000, 0x100, 0x200)];
        let mut file = elf(BASE, &segments, 0x300);
        for (at, value) in changes {
            let at = usize::from(at) % 176;
            file[at] = value;
        }
        if let Ok(kernel) = inspect_bytes(&file) {
            check_sound(&kernel, file.len() as u64);
        }
    }

    #[test]
    fn any_segment_is_refused_or_sound(
        offset: u64, address: u64, in_file: u64, in_memory: u64, entry: u64, near: bool,
    ) {
        let bound = if near { 0x1000_0000 } else { u64::MAX };
        let segment = (1, offset % bound, address % bound, in_file % bound, in_memory % bound);
        let file = elf(entry % bound, &[segment], 0x1000);
        if let Ok(kernel) = inspect_bytes(&file) {
            check_sound(&kernel, file.len() as u64);
        }
    }

    #[test]
    fn any_setup_header_is_refused_or_sound(bytes: Vec<u8>, version: u16, sectors: u8) {
        let mut file = bzimage(|header| (header.version, header.setup_sects) = (version, sectors));
        for (at, byte) in bytes.iter().enumerate().take(100) {
            file[0x206 + at] ^= byte;
        }
        if let Ok(kernel) = inspect_bytes(&file) {
            check_sound(&kernel, file.len() as u64);
        }
    }
}
