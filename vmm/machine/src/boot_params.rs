//! `struct boot_params`, the "zero page": what the kernel is told besides its command line.
//!
//! Source: `Documentation/arch/x86/zero-page.rst` and `boot.rst`.

use linux_loader::loader::bootparam::{SETUP_RNG_SEED, boot_e820_entry, boot_params, setup_header};

use crate::layout;

/// Bytes of the random seed; Linux mixes in as many as there are.
pub const SEED_LENGTH: usize = 32;

const BOOT_FLAG: u16 = 0xaa55;
const MAGIC: u32 = u32::from_le_bytes(*b"HdrS");
/// "Undefined": no loader with a number of its own.
const LOADER_TYPE: u8 = 0xff;
const VERSION: u16 = 0x020f;
/// Alignment of a kernel that says nothing of it (`CONFIG_PHYSICAL_ALIGN`).
const KERNEL_ALIGNMENT: u32 = 2 << 20;
const E820_RAM: u32 = 1;
const E820_RESERVED: u32 = 2;

/// Where the initramfs lies: first address and bytes. It is below 4 GiB.
pub type Initramfs = (u32, u32);

/// Fills in the page for a machine with `memory` bytes. `header` is a bzImage's own, or all zero.
pub fn boot_params(
    header: setup_header,
    memory: u64,
    command_line_length: usize,
    initramfs: Option<Initramfs>,
) -> boot_params {
    let mut params = boot_params {
        hdr: header,
        ..Default::default()
    };
    let hdr = &mut params.hdr;
    if hdr.header != MAGIC {
        hdr.header = MAGIC;
        hdr.version = VERSION;
        hdr.boot_flag = BOOT_FLAG;
        hdr.kernel_alignment = KERNEL_ALIGNMENT;
        hdr.cmdline_size = u32::try_from(command_line_length).expect("checked when it was built");
    }
    hdr.type_of_loader = LOADER_TYPE;
    hdr.cmd_line_ptr = u32::try_from(layout::COMMAND_LINE).expect("below 1 MiB");
    hdr.setup_data = layout::SETUP_DATA;
    (hdr.ramdisk_image, hdr.ramdisk_size) = initramfs.unwrap_or_default();
    let map = memory_map(memory);
    for (slot, entry) in params.e820_table.iter_mut().zip(&map) {
        *slot = *entry;
    }
    params.e820_entries = u8::try_from(map.len()).expect("four at most");
    params
}

/// What is RAM, for the kernel.
fn memory_map(memory: u64) -> Vec<boot_e820_entry> {
    let entry = |start: u64, end: u64, kind| boot_e820_entry {
        addr: start,
        size: end - start,
        r#type: kind,
    };
    let mut map = vec![
        entry(0, layout::MP_TABLE, E820_RAM),
        // Not ours to lose: without it, Linux may put data over the MP table before it is read.
        entry(layout::MP_TABLE, layout::HIGH_RAM, E820_RESERVED),
    ];
    for (start, size) in layout::ram(memory) {
        let first = start.0.max(layout::HIGH_RAM);
        map.push(entry(first, start.0 + size, E820_RAM));
    }
    map
}

/// `struct setup_data` that seeds the kernel's random numbers; the kernel wipes it.
pub fn seed_data(seed: &[u8; SEED_LENGTH]) -> Vec<u8> {
    let length = u32::try_from(SEED_LENGTH).expect("32");
    let mut data = 0u64.to_le_bytes().to_vec(); // No next one.
    data.extend_from_slice(&SETUP_RNG_SEED.to_le_bytes());
    data.extend_from_slice(&length.to_le_bytes());
    data.extend_from_slice(seed);
    data
}

#[cfg(test)]
#[path = "boot_params_test.rs"]
mod tests;
