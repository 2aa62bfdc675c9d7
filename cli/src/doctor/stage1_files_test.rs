use std::fs;

use super::*;

/// An ELF head with one segment of `size` bytes at `offset`.
fn elf(offset: u64, size: u64) -> Vec<u8> {
    let mut bytes = vec![0; 64 + 56];
    bytes[..6].copy_from_slice(b"\x7fELF\x02\x01");
    bytes[18] = 62;
    bytes[32] = 64; // program headers follow the file header
    bytes[54] = 56;
    bytes[56] = 1;
    bytes[64 + 8..64 + 16].copy_from_slice(&offset.to_le_bytes());
    bytes[64 + 32..64 + 40].copy_from_slice(&size.to_le_bytes());
    bytes
}

/// A root file system in which nothing is wrong.
fn whole() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    for program in [
        "run",
        "enter",
        "stop",
        "app-add",
        "relay",
        "vmm",
        "virtiofsd",
    ] {
        fs::write(root.join(program), elf(0, 0)).unwrap();
        let permissions = fs::Permissions::from_mode(0o755);
        fs::set_permissions(root.join(program), permissions).unwrap();
    }
    fs::create_dir(root.join("kernel")).unwrap();
    fs::write(root.join("kernel/vmlinux"), elf(100, 20)).unwrap();
    let mut archive = b"070701".to_vec();
    archive.resize(9000, 0);
    archive.extend(b"TRAILER!!!\0\0\0\0");
    fs::write(root.join("initramfs.cpio"), archive).unwrap();
    let mut ext4 = vec![0; 4096];
    ext4[1024 + 56..1024 + 58].copy_from_slice(&[0x53, 0xef]);
    fs::write(root.join("scratch.ext4"), ext4).unwrap();
    directory
}

fn defects(directory: &tempfile::TempDir) -> Vec<String> {
    let list = examine(directory.path());
    list.iter()
        .map(|defect| format!("{} {}", defect.file, defect.problem))
        .collect()
}

#[test]
fn a_whole_image_has_no_defect() {
    assert_eq!(defects(&whole()), [""; 0]);
}

#[test]
fn an_empty_one_lacks_everything() {
    let directory = tempfile::tempdir().unwrap();
    let expected = FILES.map(|(file, _)| format!("{file} is missing"));
    assert_eq!(defects(&directory), expected);
}

#[test]
fn each_defect_is_told_apart() {
    let cases: [(&str, Vec<u8>, &str); 11] = [
        (
            "run",
            b"#!/bin/sh\nexit 0; # long enough\n".to_vec(),
            "run is not an ELF program",
        ),
        ("vmm", b"\x7fELF".to_vec(), "vmm is cut off"),
        (
            "kernel/vmlinux",
            vec![0; 4096],
            "kernel/vmlinux is not an ELF kernel",
        ),
        ("kernel/vmlinux", elf(100, 21), "kernel/vmlinux is cut off"),
        (
            "kernel/vmlinux",
            elf(u64::MAX, u64::MAX),
            "kernel/vmlinux is cut off",
        ),
        (
            "kernel/vmlinux",
            elf(0, 0)[..100].to_vec(),
            "kernel/vmlinux is cut off",
        ),
        (
            "initramfs.cpio",
            vec![0x1f; 100],
            "initramfs.cpio is not a cpio archive",
        ),
        (
            "initramfs.cpio",
            b"070701 and then nothing".to_vec(),
            "initramfs.cpio is cut off",
        ),
        (
            "initramfs.cpio",
            b"07".to_vec(),
            "initramfs.cpio is cut off",
        ),
        (
            "scratch.ext4",
            vec![0; 4096],
            "scratch.ext4 is not an ext4 file system",
        ),
        ("scratch.ext4", vec![0; 100], "scratch.ext4 is cut off"),
    ];
    for (file, bytes, expected) in cases {
        let directory = whole();
        fs::write(directory.path().join(file), bytes).unwrap();
        assert_eq!(defects(&directory), [expected]);
    }
    let directory = whole();
    let relay = directory.path().join("relay");
    fs::set_permissions(relay, fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(defects(&directory), ["relay is not executable"]);
}
