//! Programs of 32 bits: they run, and the system call filter is theirs too.

use bulkhead_tests::images::busybox_oci;

use crate::bulkhead::{Call, pod};

/// Where the file lies in memory.
const BASE: u32 = 0x0804_8000;

/// An i386 ELF executable without a library: makes the directory `/made` and exits with the error number of that.
fn program() -> Vec<u8> {
    const HEADERS: u32 = 52 + 32;
    const CODE: u32 = 28;
    let path = (BASE + HEADERS + CODE).to_le_bytes();
    let words = |words: &[u32]| {
        words
            .iter()
            .flat_map(|w| w.to_le_bytes())
            .collect::<Vec<u8>>()
    };
    let halves = |halves: &[u16]| {
        halves
            .iter()
            .flat_map(|h| h.to_le_bytes())
            .collect::<Vec<u8>>()
    };
    let text = b"/made\0";
    let length = HEADERS + CODE + 6;
    [
        // 32 bits, little-endian, version 1.
        b"\x7fELF\x01\x01\x01\0\0\0\0\0\0\0\0\0".to_vec(),
        // ET_EXEC, EM_386.
        halves(&[2, 3]),
        // Version, entry, program headers, section headers, flags.
        words(&[1, BASE + HEADERS, 52, 0, 0]),
        // Sizes and counts of the headers.
        halves(&[52, 32, 1, 0, 0, 0]),
        // PT_LOAD of the whole file, readable and executable.
        words(&[1, 0, BASE, BASE, length, length, 5, 4096]),
        // mov $39 (mkdir), %eax; mov $path, %ebx; mov $0755, %ecx; int $0x80
        vec![0xb8, 39, 0, 0, 0, 0xbb, path[0], path[1], path[2], path[3]],
        vec![0xb9, 0xed, 1, 0, 0, 0xcd, 0x80],
        // neg %eax; mov %eax, %ebx; mov $1 (exit), %eax; int $0x80
        vec![0xf7, 0xd8, 0x89, 0xc3, 0xb8, 1, 0, 0, 0, 0xcd, 0x80],
        text.to_vec(),
    ]
    .concat()
}

/// Writes the program in the app and runs it.
fn running() -> Call {
    let octal: String = program().iter().map(|b| format!("\\{b:03o}")).collect();
    let script = format!("printf '{octal}' > /p; chmod +x /p; /p; echo $?; ls -d /made");
    pod(&busybox_oci()).shell(&script)
}

#[test]
fn a_32_bit_program_runs_under_the_default_filter() {
    running().run().exits(0).prints("0\n/made\n");
}

#[test]
fn the_filter_holds_for_calls_of_32_bit_programs() {
    // EACCES is 13; /made is not there, which `ls` says with 1.
    running()
        .flag("--seccomp=mode=remove,errno=EACCES,mkdir")
        .run()
        .exits(1)
        .prints("13\n");
}
