use std::io::Write;

use bulkhead_kvm::memory::{Sharing, allocate};

use super::*;

const MEMORY: u64 = 64 << 20;
const ENTRY: u64 = 16 << 20;

/// An ELF kernel with one segment of `length` zeroes.
fn kernel(length: u64) -> File {
    let mut file = vec![0u8; 0x1000 + usize::try_from(length).unwrap()];
    let mut put = |at: usize, bytes: &[u8]| file[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, b"\x7fELF\x02\x01\x01");
    put(16, &[2, 0, 62, 0]);
    put(24, &ENTRY.to_le_bytes());
    put(32, &64u64.to_le_bytes());
    put(54, &[56, 0, 1, 0]);
    put(64, &1u32.to_le_bytes());
    put(72, &0x1000u64.to_le_bytes());
    put(88, &ENTRY.to_le_bytes());
    put(96, &length.to_le_bytes());
    put(104, &length.to_le_bytes());
    put(0x1000, b"KERNEL");
    temporary(&file)
}

fn temporary(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file
}

fn load_with(
    kernel: &File,
    initramfs: Option<&File>,
    command_line: &str,
) -> Result<(GuestRam, LongModeEntry), BootError> {
    let ram = allocate(&layout::ram(MEMORY), Sharing::Private).unwrap();
    let spec = BootSpec {
        kernel,
        initramfs,
        command_line,
        cpus: 1,
        memory: MEMORY,
        devices: 2,
    };
    let plan = plan(&spec)?;
    plan.write_boot_data(&ram)?;
    plan.copy(&ram)?;
    let entry = plan.entry();
    Ok((ram, entry))
}

fn text(ram: &GuestRam, address: u64, length: usize) -> String {
    let mut bytes = vec![0; length];
    ram.memory()
        .read_slice(&mut bytes, GuestAddress(address))
        .unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}

#[test]
fn everything_is_where_the_kernel_looks() {
    let initramfs = temporary(b"070701");
    let (ram, entry) = load_with(&kernel(0x1234), Some(&initramfs), "quiet").unwrap();
    assert_eq!((entry.rip, entry.rsi), (ENTRY, layout::BOOT_PARAMS));
    assert_eq!(text(&ram, ENTRY, 6), "KERNEL");
    let line = "quiet virtio_mmio.device=4K@0xd0000000:1 virtio_mmio.device=4K@0xd0001000:2\0";
    assert_eq!(text(&ram, layout::COMMAND_LINE, line.len()), line);
    assert_eq!(text(&ram, layout::MP_POINTER, 4), "_MP_");
    assert_eq!(text(&ram, layout::MP_TABLE, 4), "PCMP");
    // Behind the kernel's 0x1234 bytes, at a page.
    assert_eq!(text(&ram, ENTRY + 0x2000, 6), "070701");
    let params: linux_loader::loader::bootparam::boot_params = ram
        .memory()
        .read_obj(GuestAddress(layout::BOOT_PARAMS))
        .unwrap();
    assert_eq!(u64::from(params.hdr.ramdisk_image), ENTRY + 0x2000);
    assert_eq!({ params.hdr.ramdisk_size }, 6);
}

#[test]
fn two_machines_get_two_seeds() {
    let kernel = kernel(16);
    let seed = || {
        let (ram, _) = load_with(&kernel, None, "").unwrap();
        let mut seed = [0; SEED_LENGTH];
        let address = GuestAddress(layout::SETUP_DATA + 16);
        ram.memory().read_slice(&mut seed, address).unwrap();
        seed
    };
    assert_ne!(seed(), seed());
}

#[test]
fn an_initramfs_that_does_not_fit_is_refused() {
    let initramfs = tempfile::tempfile().unwrap();
    initramfs.set_len(1 << 40).unwrap();
    let error = load_with(&kernel(16), Some(&initramfs), "").unwrap_err();
    assert_eq!(
        error.to_string(),
        "the initramfs of 1099511627776 bytes does not fit between the kernel's end at 0x1001000 and 0x4000000"
    );
}

#[test]
fn a_command_line_that_does_not_fit_is_refused() {
    let error = load_with(&kernel(16), None, &"x".repeat(2000)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the kernel's command line with its devices is 2070 bytes, and it takes 2047"
    );
}

#[test]
fn the_first_gibibyte_is_mapped_to_itself() {
    let (ram, entry) = load_with(&kernel(16), None, "").unwrap();
    let word = |address| ram.memory().read_obj::<u64>(GuestAddress(address)).unwrap();
    let directory = word(word(entry.cr3) & !0xfff) & !0xfff;
    for page in 0..512 {
        assert_eq!(word(directory + page * 8), page << 21 | 0x83);
    }
    assert_eq!(word(entry.gdt_address + 16), 0x00af_9b00_0000_ffff);
}

#[test]
fn two_threads_copy_every_byte_once() {
    let initramfs: Vec<u8> = (0..9_000_001u32).map(|at| at.to_le_bytes()[2]).collect();
    let initramfs = temporary(&initramfs);
    let kernel = kernel(0x1234);
    let ram = allocate(&layout::ram(MEMORY), Sharing::Private).unwrap();
    let spec = BootSpec {
        kernel: &kernel,
        initramfs: Some(&initramfs),
        command_line: "",
        cpus: 1,
        memory: MEMORY,
        devices: 0,
    };
    let plan = plan(&spec).unwrap();
    std::thread::scope(|scope| {
        let other = scope.spawn(|| plan.copy(&ram));
        plan.copy(&ram).unwrap();
        other.join().unwrap().unwrap();
    });
    let mut copied = vec![0; 9_000_001];
    let address = GuestAddress(ENTRY + 0x2000);
    ram.memory().read_slice(&mut copied, address).unwrap();
    for (at, byte) in (0u32..).zip(copied) {
        assert_eq!(byte, at.to_le_bytes()[2], "{at}");
    }
}

#[test]
fn a_file_that_shrinks_meanwhile_is_told() {
    let kernel = kernel(0x1234);
    let ram = allocate(&layout::ram(MEMORY), Sharing::Private).unwrap();
    let spec = BootSpec {
        kernel: &kernel,
        initramfs: None,
        command_line: "",
        cpus: 1,
        memory: MEMORY,
        devices: 0,
    };
    let plan = plan(&spec).unwrap();
    kernel.set_len(0x1001).unwrap();
    let error = plan.copy(&ram).unwrap_err();
    assert_eq!(error.to_string(), "cannot read the kernel");
}
