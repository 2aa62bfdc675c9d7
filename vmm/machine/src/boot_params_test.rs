use proptest::prelude::*;

use super::*;

fn map(memory: u64) -> Vec<(u64, u64, u32)> {
    let params = boot_params(setup_header::default(), memory, 0, None);
    params.e820_table[..usize::from(params.e820_entries)]
        .iter()
        .map(|entry| (entry.addr, entry.size, entry.r#type))
        .collect()
}

#[test]
fn the_kernel_is_told_all_memory_but_the_legacy_hole() {
    assert_eq!(
        map(6 << 30),
        [
            (0, 0x9f000, E820_RAM),
            (0x9f000, 0x61000, E820_RESERVED),
            (1 << 20, (3 << 30) - (1 << 20), E820_RAM),
            (4 << 30, 3 << 30, E820_RAM),
        ]
    );
}

#[test]
fn a_vmlinux_gets_a_header_and_a_bzimage_keeps_its_own() {
    let params = boot_params(
        setup_header::default(),
        64 << 20,
        5,
        Some((0x200_0000, 0x1234)),
    );
    let hdr = params.hdr;
    assert_eq!({ hdr.header }, MAGIC);
    assert_eq!(({ hdr.cmd_line_ptr }, { hdr.cmdline_size }), (0x2_0000, 5));
    assert_eq!(
        ({ hdr.ramdisk_image }, { hdr.ramdisk_size }),
        (0x200_0000, 0x1234)
    );
    assert_eq!({ hdr.setup_data }, layout::SETUP_DATA);

    let own = setup_header {
        header: MAGIC,
        version: 0x020d,
        init_size: 77,
        ..Default::default()
    };
    let hdr = boot_params(own, 64 << 20, 5, None).hdr;
    assert_eq!(({ hdr.version }, { hdr.init_size }), (0x020d, 77));
    assert_eq!({ hdr.type_of_loader }, LOADER_TYPE);
}

#[test]
fn the_seed_is_one_entry_of_its_type() {
    let data = seed_data(&[7; SEED_LENGTH]);
    assert_eq!(data[..8], [0; 8]);
    assert_eq!(data[8..16], [9, 0, 0, 0, 32, 0, 0, 0]);
    assert_eq!(data[16..], [7; 32]);
}

proptest! {
    #[test]
    fn the_map_is_ascending_and_complete(mib in 64u64..=1 << 20) {
        let map = map(mib << 20);
        for pair in map.windows(2) {
            prop_assert!(pair[0].0 + pair[0].1 <= pair[1].0);
        }
        prop_assert_eq!(map.iter().map(|entry| entry.1).sum::<u64>(), mib << 20);
    }
}
