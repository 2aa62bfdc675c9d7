//! An uncompressed `vmlinux`, entered by the 64-bit boot protocol at its ELF entry point.
//!
//! Field offsets: System V ABI, ELF-64 object file format, version 1.5.

use std::fs::File;

use linux_loader::loader::bootparam::setup_header;

use super::{
    Kernel, KernelError, Part, check_header, check_in_file, check_in_ram, read_at, u16_at, u32_at,
    u64_at,
};

const MAGIC: &[u8; 4] = b"\x7fELF";
const HEADER_LENGTH: u64 = 64;
const PROGRAM_HEADER_LENGTH: usize = 56;
const CLASS_64: u64 = 2;
const LITTLE_ENDIAN: u64 = 1;
const TYPE_EXECUTABLE: u64 = 2;
const MACHINE_X86_64: u64 = 62;
const PT_LOAD: u32 = 1;

/// Entries of a program header table. Linux has 5.
const MAX_PROGRAM_HEADERS: u64 = 32;

/// Longest command line that Linux takes, without its NUL (`COMMAND_LINE_SIZE`); a vmlinux does not say its own.
const COMMAND_LINE_MAX: usize = 2047;

/// A vmlinux does not say where its initramfs may be: anywhere below 2 GiB, as the header of a bzImage says.
const INITRAMFS_MAX: u64 = 0x7fff_ffff;

pub(super) fn is_elf(head: &[u8]) -> bool {
    head.starts_with(MAGIC)
}

pub(super) fn inspect(
    file: &File,
    file_length: u64,
    head: &[u8],
    low_ram_end: u64,
) -> Result<Kernel, KernelError> {
    check_in_file("ELF header", 0, HEADER_LENGTH, file_length)?;
    check_header("ELF class", head[4].into(), CLASS_64, "2 (64-bit)")?;
    check_header(
        "ELF byte order",
        head[5].into(),
        LITTLE_ENDIAN,
        "1 (little-endian)",
    )?;
    let kind = u16_at(head, 16).into();
    check_header("ELF type", kind, TYPE_EXECUTABLE, "2 (executable)")?;
    let machine = u16_at(head, 18).into();
    check_header("ELF machine", machine, MACHINE_X86_64, "62 (x86-64)")?;
    let table = program_headers(file, file_length, head)?;
    let mut segments = Vec::new();
    for (index, header) in table.chunks_exact(PROGRAM_HEADER_LENGTH).enumerate() {
        if u32_at(header, 0) == PT_LOAD {
            segments.push(segment(index, header, file_length, low_ram_end)?);
        }
    }
    segments.retain(|segment| segment.end > segment.part.address);
    check_apart(&mut segments)?;

    let entry = u64_at(head, 24);
    let entered = |segment: &Segment| {
        let part = segment.part;
        (part.address..part.address + part.length as u64).contains(&entry)
    };
    if !segments.iter().any(entered) {
        return Err(KernelError::Entry { entry });
    }
    Ok(Kernel {
        end: segments
            .iter()
            .map(|segment| segment.end)
            .max()
            .unwrap_or(0),
        parts: segments
            .into_iter()
            .map(|segment| segment.part)
            .filter(|part| part.length > 0)
            .collect(),
        entry,
        initramfs_max: INITRAMFS_MAX,
        command_line_max: COMMAND_LINE_MAX,
        header: setup_header::default(),
    })
}

struct Segment {
    part: Part,
    /// First byte behind it in memory, where zeroes may follow what is in the file.
    end: u64,
}

fn program_headers(file: &File, file_length: u64, head: &[u8]) -> Result<Vec<u8>, KernelError> {
    let size = u16_at(head, 54).into();
    check_header(
        "program header size",
        size,
        PROGRAM_HEADER_LENGTH as u64,
        "56",
    )?;
    let count = u64::from(u16_at(head, 56));
    if count == 0 || count > MAX_PROGRAM_HEADERS {
        return Err(KernelError::Header {
            field: "number of program headers",
            found: count,
            wanted: "1 to 32",
        });
    }
    let offset = u64_at(head, 32);
    let mut table = vec![0; usize::from(u16_at(head, 56)) * PROGRAM_HEADER_LENGTH];
    let what = "program header table";
    check_in_file(what, offset, table.len() as u64, file_length)?;
    read_at(file, offset, &mut table, what)?;
    Ok(table)
}

fn segment(
    index: usize,
    header: &[u8],
    file_length: u64,
    low_ram_end: u64,
) -> Result<Segment, KernelError> {
    let (offset, address) = (u64_at(header, 8), u64_at(header, 24));
    let (in_file, in_memory) = (u64_at(header, 32), u64_at(header, 40));
    check_in_file("segment", offset, in_file, file_length)?;
    if in_file > in_memory {
        return Err(KernelError::SegmentSize {
            index,
            in_file,
            in_memory,
        });
    }
    let end = check_in_ram(address, in_memory, low_ram_end)?;
    let length = usize::try_from(in_file).map_err(|_| KernelError::TooLittleMemory {
        start: address,
        end,
        limit: low_ram_end,
    })?;
    let part = Part {
        offset,
        address,
        length,
    };
    Ok(Segment { part, end })
}

/// Sorts the segments and refuses shared memory.
fn check_apart(segments: &mut [Segment]) -> Result<(), KernelError> {
    segments.sort_by_key(|segment| segment.part.address);
    let shared = segments
        .windows(2)
        .find(|pair| pair[0].end > pair[1].part.address);
    match shared {
        Some(pair) => Err(KernelError::Overlap {
            address: pair[1].part.address,
        }),
        None => Ok(()),
    }
}
