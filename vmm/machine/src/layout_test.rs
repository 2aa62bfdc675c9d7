use proptest::prelude::*;

use super::*;

#[test]
fn small_memory_is_one_piece() {
    assert_eq!(ram(64 << 20), [(GuestAddress(0), 64 << 20)]);
    assert_eq!(ram(3 << 30), [(GuestAddress(0), 3 << 30)]);
}

#[test]
fn large_memory_goes_on_above_the_gap() {
    assert_eq!(
        ram(6 << 30),
        [(GuestAddress(0), 3 << 30), (GuestAddress(4 << 30), 3 << 30)]
    );
}

#[test]
fn what_is_written_at_boot_lies_apart_below_one_mebibyte() {
    let areas = [
        (GDT, 32),
        (BOOT_PARAMS, 4096),
        (PAGE_TABLES, 3 * 4096),
        (COMMAND_LINE, 4096),
        (SETUP_DATA, 4096),
        (MP_TABLE, 0xc00),
        (MP_POINTER, 0x400),
    ];
    for pair in areas.windows(2) {
        assert!(pair[0].0 + pair[0].1 <= pair[1].0, "{pair:x?}");
    }
}

proptest! {
    #[test]
    fn no_byte_is_lost_and_none_is_in_the_gap(mib in 64u64..=1 << 20) {
        let bytes = mib << 20;
        let ranges = ram(bytes);
        prop_assert_eq!(ranges.iter().map(|range| range.1).sum::<u64>(), bytes);
        for (start, size) in ranges {
            prop_assert!(size > 0 && (start.0 + size <= GAP_START || start.0 >= GAP_END));
        }
    }
}
