//! Where things are in guest-physical memory.
//!
//! ```text
//!        0x500  GDT
//!       0x7000  boot_params (the "zero page")
//!       0x9000  page tables, 3 pages
//!      0x20000  command line
//!      0x21000  setup_data: random seed
//!      0x9f000  MP table; reserved up to 1 MiB
//!        1 MiB  RAM: the kernel where it wants to be, the initramfs behind it
//!        3 GiB  nothing; from 0xd000_0000 on the virtio-mmio windows; IOAPIC and local APICs below 4 GiB
//!        4 GiB  the rest of RAM
//! ```

use bulkhead_kvm::memory::RamRange;
use vm_memory::GuestAddress;

/// Descriptor table of the kernel's entry.
pub const GDT: u64 = 0x500;
/// `struct boot_params`.
pub const BOOT_PARAMS: u64 = 0x7000;
/// Top-level page table; the two others follow it.
pub const PAGE_TABLES: u64 = 0x9000;
/// Kernel command line, with its NUL.
pub const COMMAND_LINE: u64 = 0x2_0000;
/// `struct setup_data` with the random seed.
pub const SETUP_DATA: u64 = 0x2_1000;
/// MP configuration table; end of low RAM.
pub const MP_TABLE: u64 = 0x9_f000;
/// MP floating pointer: the first address of the last KiB of low memory, where Linux looks.
pub const MP_POINTER: u64 = 0x9_fc00;
/// First byte of RAM above the legacy hole; no kernel starts below.
pub const HIGH_RAM: u64 = 1 << 20;
/// End of RAM below 4 GiB. The address space from here on belongs to devices.
pub const GAP_START: u64 = 3 << 30;
/// First byte of the RAM that did not fit below.
pub const GAP_END: u64 = 4 << 30;

/// First virtio-mmio window.
pub const VIRTIO_BASE: u64 = 0xd000_0000;
/// Interrupt line of the first virtio device. Linux takes interrupt 0 for none.
pub const VIRTIO_GSI: u32 = 1;
/// The same as an index.
pub const VIRTIO_LINE: usize = VIRTIO_GSI as usize;
/// Virtio devices, at most: interrupt lines 1 to 15, those of the ISA bus, which is what the MP table can say.
pub const MAX_VIRTIO_DEVICES: usize = 15;
/// Registers of [`crate::ioapic`].
pub const IOAPIC: u32 = 0xfec0_0000;
/// Registers of KVM's local APICs.
pub const LOCAL_APIC: u32 = 0xfee0_0000;

/// RAM of a machine with `bytes` of memory, ascending.
pub fn ram(bytes: u64) -> Vec<RamRange> {
    let low = bytes.min(GAP_START);
    let mut ranges = vec![(GuestAddress(0), low)];
    if bytes > low {
        ranges.push((GuestAddress(GAP_END), bytes - low));
    }
    ranges
}

/// End of the RAM below the gap.
pub fn low_ram_end(bytes: u64) -> u64 {
    bytes.min(GAP_START)
}

#[cfg(test)]
#[path = "layout_test.rs"]
mod tests;
