//! Makes the kernel's ELF file small where it is only padding.
//!
//! The linker aligns parts of the kernel to 2 MiB and fills the gaps; those bytes would be read into guest
//! memory at each start and stay there. So segments are split around long runs of pages that hold padding only, and
//! sections, which no boot loader reads, are left out. Pages that are left out read as zeros in the guest.

use std::ops::Range;

/// Granularity at which guest memory is touched.
const PAGE_BYTES: usize = 4096;
/// Runs shorter than this many pages stay: each split is one more header and one more read.
const RUN_PAGES_MIN: usize = 8;
/// What the linker fills gaps between functions with: `int3`. It is padding for a page as zeros are.
const TEXT_FILL: u8 = 0xcc;

/// Sizes and offsets of the ELF specification's 64-bit file and program headers.
const FILE_HEADER_BYTES: usize = 64;
const PROGRAM_HEADER_BYTES: usize = 56;
const PROGRAM_HEADER_COUNT_AT: usize = 56;
const LOAD: u32 = 1;
const NOTE: u32 = 4;

/// Why a file is not a kernel that could be made compact.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum CompactError {
    /// Not a little-endian 64-bit ELF file.
    #[error("not a little-endian 64-bit ELF file")]
    NotElf,
    /// A header points out of the file.
    #[error("program header {0} points out of the file")]
    OutOfFile(usize),
}

/// A program header, of which the flags and alignment are carried along unread.
#[derive(Clone, Copy)]
struct Segment {
    kind: u32,
    flags: u32,
    offset: u64,
    virtual_address: u64,
    physical_address: u64,
    file_size: u64,
    memory_size: u64,
}

/// Returns `elf` without padding pages and sections.
///
/// # Errors
/// The file is not a 64-bit ELF file, or a header points out of it.
pub(crate) fn compact(elf: &[u8]) -> Result<Vec<u8>, CompactError> {
    let mut pieces = Vec::new();
    for (index, segment) in segments(elf)?.into_iter().enumerate() {
        let bytes = contents(elf, &segment).ok_or(CompactError::OutOfFile(index))?;
        match segment.kind {
            LOAD => pieces.extend(
                kept(bytes)
                    .into_iter()
                    .map(|range| piece(&segment, bytes, range)),
            ),
            NOTE => pieces.push((segment, bytes)),
            _ => {}
        }
    }
    Ok(assemble(elf, &pieces))
}

fn piece<'a>(segment: &Segment, bytes: &'a [u8], range: Range<usize>) -> (Segment, &'a [u8]) {
    let start = u64_of(range.start);
    let is_last = range.end == bytes.len();
    let size = u64_of(range.len());
    // What follows the file's part in memory (bss) belongs to the last piece.
    let memory_size = if is_last {
        segment.memory_size - start
    } else {
        size
    };
    let split = Segment {
        virtual_address: segment.virtual_address + start,
        physical_address: segment.physical_address + start,
        file_size: size,
        memory_size,
        ..*segment
    };
    (split, &bytes[range])
}

/// The parts of a segment's contents that are not long runs of padding pages. The last part always ends
/// where the contents end, so that the memory after it is described.
fn kept(bytes: &[u8]) -> Vec<Range<usize>> {
    let mut kept = Vec::new();
    let mut start = 0;
    let mut run = 0;
    for (page, chunk) in bytes.chunks(PAGE_BYTES).enumerate() {
        let at = page * PAGE_BYTES;
        let is_last = at + chunk.len() == bytes.len();
        if is_padding(chunk) && !is_last {
            run += 1;
            continue;
        }
        if run >= RUN_PAGES_MIN {
            let run_start = at - run * PAGE_BYTES;
            if run_start > start {
                kept.push(start..run_start);
            }
            start = at;
        }
        run = 0;
    }
    kept.push(start..bytes.len());
    kept
}

fn is_padding(page: &[u8]) -> bool {
    page.iter().all(|byte| *byte == 0) || page.iter().all(|byte| *byte == TEXT_FILL)
}

/// Writes file header, program headers and the pieces, each at an offset equal to its address modulo a page.
fn assemble(elf: &[u8], pieces: &[(Segment, &[u8])]) -> Vec<u8> {
    let mut file = elf[..FILE_HEADER_BYTES].to_vec();
    put(&mut file, 32, &u64_of(FILE_HEADER_BYTES).to_le_bytes());
    // No sections: offset, entry size, count and index of the names.
    put(&mut file, 40, &0_u64.to_le_bytes());
    put(&mut file, 58, &[0; 6]);
    let count =
        u16::try_from(pieces.len()).expect("a kernel has few segments, and each run ends one");
    put(&mut file, PROGRAM_HEADER_COUNT_AT, &count.to_le_bytes());

    let mut offset = FILE_HEADER_BYTES + pieces.len() * PROGRAM_HEADER_BYTES;
    let mut contents = Vec::new();
    for (segment, bytes) in pieces {
        let aligned = if segment.kind == LOAD {
            offset.next_multiple_of(PAGE_BYTES)
        } else {
            offset.next_multiple_of(8)
        };
        contents.resize(contents.len() + aligned - offset, 0);
        contents.extend_from_slice(bytes);
        file.extend_from_slice(&header(&Segment {
            offset: u64_of(aligned),
            ..*segment
        }));
        offset = aligned + bytes.len();
    }
    file.extend_from_slice(&contents);
    file
}

fn header(segment: &Segment) -> [u8; PROGRAM_HEADER_BYTES] {
    let mut header = [0; PROGRAM_HEADER_BYTES];
    put(&mut header, 0, &segment.kind.to_le_bytes());
    put(&mut header, 4, &segment.flags.to_le_bytes());
    let alignment = if segment.kind == LOAD {
        u64_of(PAGE_BYTES)
    } else {
        4
    };
    let fields = [
        segment.offset,
        segment.virtual_address,
        segment.physical_address,
        segment.file_size,
        segment.memory_size,
        alignment,
    ];
    for (index, field) in fields.iter().enumerate() {
        put(&mut header, 8 + index * 8, &field.to_le_bytes());
    }
    header
}

fn segments(elf: &[u8]) -> Result<Vec<Segment>, CompactError> {
    // Magic, 64-bit, little-endian.
    if elf.len() < FILE_HEADER_BYTES || !elf.starts_with(b"\x7fELF\x02\x01") {
        return Err(CompactError::NotElf);
    }
    let table = index_of(number(elf, 32, 8)).ok_or(CompactError::OutOfFile(0))?;
    let count = number(elf, PROGRAM_HEADER_COUNT_AT, 2);
    (0..index_of(count).unwrap_or(0))
        .map(|index| {
            let at = index
                .checked_mul(PROGRAM_HEADER_BYTES)
                .and_then(|skip| skip.checked_add(table))
                .filter(|at| {
                    at.checked_add(PROGRAM_HEADER_BYTES)
                        .is_some_and(|end| end <= elf.len())
                })
                .ok_or(CompactError::OutOfFile(index))?;
            let word =
                |offset| u32::try_from(number(elf, at + offset, 4)).expect("four bytes fit u32");
            let long = |offset| number(elf, at + offset, 8);
            Ok(Segment {
                kind: word(0),
                flags: word(4),
                offset: long(8),
                virtual_address: long(16),
                physical_address: long(24),
                file_size: long(32),
                memory_size: long(40),
            })
        })
        .collect()
}

fn contents<'a>(elf: &'a [u8], segment: &Segment) -> Option<&'a [u8]> {
    let start = index_of(segment.offset)?;
    let end = start.checked_add(index_of(segment.file_size)?)?;
    let within = segment.memory_size >= segment.file_size || segment.kind != LOAD;
    elf.get(start..end).filter(|_| within)
}

fn number(bytes: &[u8], at: usize, size: usize) -> u64 {
    bytes[at..at + size]
        .iter()
        .rev()
        .fold(0, |number, byte| number << 8 | u64::from(*byte))
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    bytes[at..at + value.len()].copy_from_slice(value);
}

fn u64_of(length: usize) -> u64 {
    u64::try_from(length).expect("a length in memory fits u64")
}

fn index_of(number: u64) -> Option<usize> {
    usize::try_from(number).ok()
}

#[cfg(test)]
#[path = "compact_test.rs"]
mod tests;
