use proptest::prelude::*;

use super::*;

fn elf(length: usize, at: usize, name: &[u8]) -> Vec<u8> {
    let mut file = vec![b'v'; length];
    file[..ELF_MAGIC.len()].copy_from_slice(ELF_MAGIC);
    file[at..at + name.len()].copy_from_slice(name);
    file
}

proptest! {
    #[test]
    fn the_parameter_is_found_wherever_it_is(at in 4..3 * PIECE_BYTES, behind in 0..100_usize) {
        let file = elf(at + PARAMETER.len() + behind, at, PARAMETER);
        prop_assert_eq!(suspicion(&file[..]).unwrap(), None);
    }
}

#[test]
fn a_kernel_without_the_parameter_is_suspected() {
    for length in [4, 100, PIECE_BYTES, 2 * PIECE_BYTES + 1] {
        let found = suspicion(&elf(length, 4, b"")[..]).unwrap();
        assert_eq!(found, Some(Suspicion::NoParameter), "{length}");
    }
    // Other drivers' parameters, and a built-in command line.
    for name in [
        &b"virtio_mmio.devices\0"[..],
        b"virtio_mmio.device=4K@0xd0000000:5\0",
    ] {
        let found = suspicion(&elf(1000, 500, name)[..]).unwrap();
        assert_eq!(found, Some(Suspicion::NoParameter));
    }
}

#[test]
fn a_compressed_kernel_cannot_be_judged() {
    let mut file = vec![0; 4096];
    let (at, magic) = BZIMAGE_MAGIC;
    file[at..at + magic.len()].copy_from_slice(magic);
    assert_eq!(suspicion(&file[..]).unwrap(), Some(Suspicion::Compressed));
}

#[test]
fn nothing_is_said_about_what_is_no_kernel() {
    for file in [&b""[..], b"\x7fEL", b"#!/bin/sh\n", &[0; 5000]] {
        assert_eq!(suspicion(file).unwrap(), None);
    }
}

#[test]
fn messages_name_the_option() {
    assert_eq!(
        Suspicion::NoParameter.to_string(),
        "the guest kernel cannot be told its devices: it was built without CONFIG_VIRTIO_MMIO_CMDLINE_DEVICES \
         (kernel/vmlinux has no parameter virtio_mmio.device)"
    );
    assert_eq!(
        Suspicion::Compressed.to_string(),
        "the guest kernel must have CONFIG_VIRTIO_MMIO_CMDLINE_DEVICES to find its devices; \
         whether it has cannot be seen, for kernel/vmlinux is compressed (a bzImage)"
    );
}
