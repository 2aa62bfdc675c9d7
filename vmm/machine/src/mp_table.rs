//! The MultiProcessor table, which tells a kernel without ACPI of its CPUs and interrupt lines.
//!
//! Layout: Intel MultiProcessor Specification 1.4, chapter 4. Only what Linux uses is filled in. No entry for the timer
//! (interrupt 0) is there, for there is no PIT, none for a PIC, and none for lines without a device: each costs exits.

use crate::layout::{IOAPIC, LOCAL_APIC, MP_TABLE};

const SPEC_REVISION: u8 = 4;
const PROCESSOR: u8 = 0;
const BUS: u8 = 1;
const IO_APIC: u8 = 2;
const IO_INTERRUPT: u8 = 3;
const LOCAL_INTERRUPT: u8 = 4;
/// Processor flag: usable.
const ENABLED: u8 = 1;
/// Processor flag: the one that boots.
const BOOT: u8 = 2;
/// Interrupt type: the IOAPIC's entry has the vector.
const VECTORED: u8 = 0;
/// Interrupt type.
const NMI: u8 = 1;
/// Version of the local APICs that KVM makes.
const APIC_VERSION: u8 = 0x14;
/// Version of [`crate::ioapic`].
const IOAPIC_VERSION: u8 = 0x11;
/// The interrupt goes to every local APIC.
const ALL_APICS: u8 = 0xff;
const ISA_BUS: u8 = 0;
const TABLE_HEADER_LENGTH: usize = 44;
const LENGTH_OFFSET: usize = 4;
const CHECKSUM_OFFSET: usize = 7;
const POINTER_CHECKSUM_OFFSET: usize = 10;

/// The configuration table of `cpus` processors and one edge-triggered interrupt line for each of `gsis`.
pub fn table(cpus: u8, gsis: impl Iterator<Item = u8>) -> Vec<u8> {
    // Linux takes the IOAPIC's id as given; one past the last CPU's cannot clash.
    let ioapic_id = cpus;
    let mut entries: u16 = 0;
    let mut table = vec![0; TABLE_HEADER_LENGTH];
    let mut push = |entry: &[u8]| {
        table.extend_from_slice(entry);
        entries += 1;
    };
    for cpu in 0..cpus {
        let flags = if cpu == 0 { ENABLED | BOOT } else { ENABLED };
        // Signature and features stay 0: Linux asks the CPU itself.
        let mut entry = [0; 20];
        entry[..4].copy_from_slice(&[PROCESSOR, cpu, APIC_VERSION, flags]);
        push(&entry);
    }
    push(&[BUS, ISA_BUS, b'I', b'S', b'A', b' ', b' ', b' ']);
    let [a, b, c, d] = IOAPIC.to_le_bytes();
    push(&[IO_APIC, ioapic_id, IOAPIC_VERSION, ENABLED, a, b, c, d]);
    // Flags 0: polarity and trigger as the ISA bus has them, active high and edge.
    for gsi in gsis {
        push(&[IO_INTERRUPT, VECTORED, 0, 0, ISA_BUS, gsi, ioapic_id, gsi]);
    }
    push(&[LOCAL_INTERRUPT, NMI, 0, 0, ISA_BUS, 0, ALL_APICS, 1]);

    let length = u16::try_from(table.len()).expect("255 CPUs and 24 lines fit in 64 KiB");
    table[..4].copy_from_slice(b"PCMP");
    table[LENGTH_OFFSET..LENGTH_OFFSET + 2].copy_from_slice(&length.to_le_bytes());
    table[6] = SPEC_REVISION;
    table[8..16].copy_from_slice(b"BULKHEAD");
    table[16..28].copy_from_slice(b"MICROVM     ");
    table[34..36].copy_from_slice(&entries.to_le_bytes());
    table[36..40].copy_from_slice(&LOCAL_APIC.to_le_bytes());
    table[CHECKSUM_OFFSET] = checksum(&table);
    table
}

/// The floating pointer structure, which says where the table is.
pub fn pointer() -> [u8; 16] {
    let mut pointer = [0; 16];
    let address = u32::try_from(MP_TABLE).expect("the table is below 1 MiB");
    pointer[..4].copy_from_slice(b"_MP_");
    pointer[4..8].copy_from_slice(&address.to_le_bytes());
    pointer[8] = 1; // Length, in 16 bytes.
    pointer[9] = SPEC_REVISION;
    pointer[POINTER_CHECKSUM_OFFSET] = checksum(&pointer);
    pointer
}

/// What makes the sum of all bytes 0, as long as its own byte is 0.
fn checksum(bytes: &[u8]) -> u8 {
    bytes
        .iter()
        .fold(0u8, |sum, byte| sum.wrapping_add(*byte))
        .wrapping_neg()
}

#[cfg(test)]
#[path = "mp_table_test.rs"]
mod tests;
