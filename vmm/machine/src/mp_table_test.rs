use bulkhead_protocol::vmm::MAX_VCPUS;
use proptest::prelude::*;

use super::*;
use crate::layout::MP_POINTER;

fn sum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |sum, byte| sum.wrapping_add(*byte))
}

#[test]
fn the_pointer_leads_to_the_table() {
    let pointer = pointer();
    assert_eq!(&pointer[..4], b"_MP_");
    assert_eq!(pointer[4..8], [0x00, 0xf0, 0x09, 0x00]);
    assert_eq!(sum(&pointer), 0);
}

#[test]
fn entries_are_as_the_specification_has_them() {
    let table = table(1, [5, 6].into_iter());
    assert_eq!(&table[..4], b"PCMP");
    assert_eq!(table[44..48], [PROCESSOR, 0, 0x14, ENABLED | BOOT]);
    assert_eq!(&table[64..72], b"\x01\x00ISA   ");
    assert_eq!(table[72..80], [IO_APIC, 1, 0x11, ENABLED, 0, 0, 0xc0, 0xfe]);
    assert_eq!(table[80..88], [IO_INTERRUPT, VECTORED, 0, 0, 0, 5, 1, 5]);
    assert_eq!(table[88..96], [IO_INTERRUPT, VECTORED, 0, 0, 0, 6, 1, 6]);
    assert_eq!(table.len(), 104);
}

proptest! {
    #[test]
    fn every_machine_has_a_sound_table_that_fits(cpus in 1u8..=MAX_VCPUS, lines in 0u8..=11) {
        let table = table(cpus, 5..5 + lines);
        prop_assert_eq!(sum(&table), 0);
        prop_assert_eq!(usize::from(u16::from_le_bytes([table[4], table[5]])), table.len());
        let entries = u16::from_le_bytes([table[34], table[35]]);
        prop_assert_eq!(entries, u16::from(cpus) + 2 + u16::from(lines) + 1);
        prop_assert!(MP_TABLE + table.len() as u64 <= MP_POINTER);
    }
}
