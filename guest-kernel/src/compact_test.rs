use super::*;
use proptest::prelude::*;

const BASE: u64 = 0xffff_ffff_8100_0000;
const PHYSICAL: u64 = 0x100_0000;

/// An ELF file with one loaded segment (and bss after it) and a note inside it.
fn kernel(bytes: &[u8], bss: u64) -> Vec<u8> {
    let load = Segment {
        kind: LOAD,
        flags: 5,
        offset: 0,
        virtual_address: BASE,
        physical_address: PHYSICAL,
        file_size: u64_of(bytes.len()),
        memory_size: u64_of(bytes.len()) + bss,
    };
    let note = Segment {
        kind: NOTE,
        memory_size: 8,
        file_size: 8,
        ..load
    };
    let mut template = vec![0; FILE_HEADER_BYTES];
    put(&mut template, 0, b"\x7fELF\x02\x01\x01");
    put(&mut template, 24, &BASE.to_le_bytes());
    assemble(&template, &[(load, bytes), (note, &bytes[..8])])
}

/// What a boot loader makes of a file, on memory of zeros.
fn loaded(elf: &[u8], size: usize) -> Vec<u8> {
    let mut memory = vec![0; size];
    for segment in segments(elf)
        .unwrap()
        .iter()
        .filter(|segment| segment.kind == LOAD)
    {
        let at = index_of(segment.physical_address - PHYSICAL).unwrap();
        assert_eq!(
            segment.virtual_address - BASE,
            segment.physical_address - PHYSICAL
        );
        assert!(at + index_of(segment.memory_size).unwrap() <= size);
        let bytes = contents(elf, segment).unwrap();
        memory[at..at + bytes.len()].copy_from_slice(bytes);
    }
    memory
}

#[test]
fn long_padding_is_left_out_and_the_rest_stays_in_place() {
    let mut bytes = vec![1; PAGE_BYTES];
    bytes.extend(vec![TEXT_FILL; 100 * PAGE_BYTES]);
    bytes.extend(vec![2; 10]);
    let original = kernel(&bytes, 5 * 4096);
    let small = compact(&original).unwrap();
    assert!(small.len() < 4 * PAGE_BYTES, "{}", small.len());

    let segments = segments(&small).unwrap();
    let shape: Vec<_> = segments
        .iter()
        .map(|segment| {
            (
                segment.kind,
                segment.virtual_address - BASE,
                segment.file_size,
                segment.memory_size,
            )
        })
        .collect();
    let after = 101 * 4096;
    assert_eq!(
        shape,
        [
            (LOAD, 0, 4096, 4096),
            (LOAD, after, 10, 10 + 5 * 4096),
            (NOTE, 0, 8, 8)
        ]
    );
    assert_eq!(contents(&small, &segments[2]).unwrap(), &[1; 8]);
    assert_eq!(small[24..32], original[24..32], "entry point");

    bytes[PAGE_BYTES..101 * PAGE_BYTES].fill(0);
    assert_eq!(
        loaded(&small, bytes.len() + 5 * PAGE_BYTES)[..bytes.len()],
        bytes
    );
}

fn ends(ranges: &[Range<usize>]) -> Vec<(usize, usize)> {
    ranges
        .iter()
        .map(|range| (range.start, range.end))
        .collect()
}

#[test]
fn short_padding_stays() {
    let mut bytes = vec![1; PAGE_BYTES];
    bytes.extend(vec![0; (RUN_PAGES_MIN - 1) * PAGE_BYTES]);
    bytes.extend(vec![2; PAGE_BYTES]);
    assert_eq!(ends(&kept(&bytes)), [(0, bytes.len())]);
}

#[test]
fn a_segment_of_padding_keeps_its_last_page() {
    let bytes = vec![0; 20 * PAGE_BYTES];
    assert_eq!(ends(&kept(&bytes)), [(19 * PAGE_BYTES, 20 * PAGE_BYTES)]);
}

#[test]
fn other_files_are_refused() {
    assert_eq!(compact(b"MZ"), Err(CompactError::NotElf));
    let mut elf = kernel(&[1; 100], 0);
    put(&mut elf, FILE_HEADER_BYTES + 8, &u64::MAX.to_le_bytes());
    assert_eq!(
        compact(&elf).unwrap_err().to_string(),
        "program header 0 points out of the file"
    );
}

proptest! {
    #[test]
    fn memory_is_the_same_but_for_padding(pages in proptest::collection::vec((0_u8..4, 1_usize..30), 1..12)) {
        let mut bytes = Vec::new();
        for (fill, count) in pages {
            let byte = [0, TEXT_FILL, 7, 9][usize::from(fill)];
            bytes.extend(vec![byte; count * PAGE_BYTES]);
        }
        bytes.push(1);
        let memory = loaded(&compact(&kernel(&bytes, 0)).unwrap(), bytes.len());
        for (before, after) in bytes.chunks(PAGE_BYTES).zip(memory.chunks(PAGE_BYTES)) {
            let left_out = is_padding(before) && after.iter().all(|byte| *byte == 0);
            prop_assert!(left_out || before == after);
        }
    }

    #[test]
    fn no_bytes_make_it_panic(mut bytes in proptest::collection::vec(any::<u8>(), 64..400)) {
        put(&mut bytes, 0, b"\x7fELF\x02\x01");
        let _ = compact(&bytes);
    }
}
