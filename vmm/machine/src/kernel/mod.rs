//! Kernel files: what kind it is, whether it can boot here, and what goes where. Reading one changes nothing.
//!
//! The file may come from a stage1 image of somebody else's making: every number in it is checked against the file and
//! the machine before it is used. The parsers are our own, for they decide before anything is loaded; a second parser
//! that loads would have to agree with them.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use linux_loader::loader::bootparam::setup_header;

mod bzimage;
mod elf;

/// A kernel that can boot, and how.
#[derive(Debug)]
pub struct Kernel {
    /// Parts of the file, ascending in memory.
    pub parts: Vec<Part>,
    /// First instruction, 64-bit.
    pub entry: u64,
    /// First byte behind all that the kernel takes before it manages memory.
    pub end: u64,
    /// Last byte at which an initramfs may lie.
    pub initramfs_max: u64,
    /// Longest command line, without its NUL.
    pub command_line_max: usize,
    /// The setup header to hand over.
    pub header: setup_header,
}

/// A range of the kernel file and where in memory it goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// First byte in the file.
    pub offset: u64,
    /// First byte in guest memory.
    pub address: u64,
    /// Bytes.
    pub length: usize,
}

/// A kernel file that cannot boot.
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    /// It cannot be read.
    #[error("cannot read the kernel's {what}")]
    Read {
        /// Which part.
        what: &'static str,
        /// The system's answer.
        source: io::Error,
    },
    /// It is neither an ELF file nor a bzImage.
    #[error("the kernel file of {length} bytes is neither an ELF vmlinux nor a bzImage")]
    Unknown {
        /// Its length.
        length: u64,
    },
    /// It is for another machine, or of another form than an executable 64-bit kernel.
    #[error("the kernel's {field} is {found}, not {wanted}")]
    Header {
        /// Field of the file's header.
        field: &'static str,
        /// What it holds.
        found: u64,
        /// What it must hold.
        wanted: &'static str,
    },
    /// A part of it lies outside the file.
    #[error("the kernel's {what} needs bytes {offset}+{length} of a file of {file_length} bytes")]
    Truncated {
        /// Which part.
        what: &'static str,
        /// First byte.
        offset: u64,
        /// Bytes.
        length: u64,
        /// The file's length.
        file_length: u64,
    },
    /// A segment holds more in the file than in memory.
    #[error("kernel segment {index} has {in_file} bytes in the file for {in_memory} in memory")]
    SegmentSize {
        /// Index in the program header table.
        index: usize,
        /// Bytes in the file.
        in_file: u64,
        /// Bytes in memory.
        in_memory: u64,
    },
    /// A segment lies where no kernel may.
    #[error("the kernel wants memory {start:#x} to {end:#x}, which must lie above {limit:#x}")]
    TooLow {
        /// First byte.
        start: u64,
        /// Behind the last.
        end: u64,
        /// Lowest address allowed.
        limit: u64,
    },
    /// The machine has too little memory.
    #[error(
        "the kernel wants memory {start:#x} to {end:#x}, and the machine's first memory ends at {limit:#x}"
    )]
    TooLittleMemory {
        /// First byte.
        start: u64,
        /// Behind the last.
        end: u64,
        /// End of low RAM.
        limit: u64,
    },
    /// Two segments share memory.
    #[error("the kernel's segments overlap at {address:#x}")]
    Overlap {
        /// First shared byte.
        address: u64,
    },
    /// The entry point is not in the file.
    #[error("the kernel's entry point {entry:#x} is in no segment that it loads")]
    Entry {
        /// First instruction.
        entry: u64,
    },
    /// It speaks an older boot protocol, or cannot be entered in 64-bit mode.
    #[error(
        "the bzImage has boot protocol {:#x} and load flags {xloadflags:#x}: it cannot be entered in 64-bit mode and so \
         not be told its virtio-mmio devices",
        version
    )]
    No64BitEntry {
        /// Version, 0x20c or more for a 64-bit entry.
        version: u16,
        /// `xloadflags`; bit 0 says 64-bit entry.
        xloadflags: u16,
    },
}

/// Bytes at the start of the file that say what it is: up to the end of a bzImage's setup header.
const HEAD_LENGTH: usize = 0x1f1 + size_of::<setup_header>();

/// Reads the kernel's headers. `low_ram_end` is the end of RAM below the 32-bit gap.
///
/// # Errors
/// When it is no kernel that can boot in this machine, with the reason.
pub fn inspect(file: &File, low_ram_end: u64) -> Result<Kernel, KernelError> {
    let read = |source| KernelError::Read {
        what: "length",
        source,
    };
    let file_length = file.metadata().map_err(read)?.len();
    let mut head = [0; HEAD_LENGTH];
    let there = HEAD_LENGTH.min(usize::try_from(file_length).unwrap_or(HEAD_LENGTH));
    read_at(file, 0, &mut head[..there], "header")?;
    if elf::is_elf(&head) {
        elf::inspect(file, file_length, &head, low_ram_end)
    } else if bzimage::is_bzimage(&head) {
        bzimage::inspect(file_length, &head, low_ram_end)
    } else {
        Err(KernelError::Unknown {
            length: file_length,
        })
    }
}

fn read_at(
    file: &File,
    offset: u64,
    bytes: &mut [u8],
    what: &'static str,
) -> Result<(), KernelError> {
    file.read_exact_at(bytes, offset)
        .map_err(|source| KernelError::Read { what, source })
}

/// `length` bytes from `offset` on are in the file.
fn check_in_file(
    what: &'static str,
    offset: u64,
    length: u64,
    file_length: u64,
) -> Result<(), KernelError> {
    match offset.checked_add(length) {
        Some(end) if end <= file_length => Ok(()),
        _ => Err(KernelError::Truncated {
            what,
            offset,
            length,
            file_length,
        }),
    }
}

/// The memory from `start` on is RAM where a kernel may be; gives its end.
fn check_in_ram(start: u64, length: u64, low_ram_end: u64) -> Result<u64, KernelError> {
    let end = start.saturating_add(length);
    if start < crate::layout::HIGH_RAM {
        return Err(KernelError::TooLow {
            start,
            end,
            limit: crate::layout::HIGH_RAM,
        });
    }
    if end > low_ram_end {
        return Err(KernelError::TooLittleMemory {
            start,
            end,
            limit: low_ram_end,
        });
    }
    Ok(end)
}

fn check_header(
    field: &'static str,
    found: u64,
    accepted: u64,
    wanted: &'static str,
) -> Result<(), KernelError> {
    if found == accepted {
        Ok(())
    } else {
        Err(KernelError::Header {
            field,
            found,
            wanted,
        })
    }
}

/// Little-endian numbers out of a header that is long enough.
fn u16_at(bytes: &[u8], offset: usize) -> u16 {
    u16::from_le_bytes([bytes[offset], bytes[offset + 1]])
}

fn u32_at(bytes: &[u8], offset: usize) -> u32 {
    u32::from(u16_at(bytes, offset)) | u32::from(u16_at(bytes, offset + 2)) << 16
}

fn u64_at(bytes: &[u8], offset: usize) -> u64 {
    u64::from(u32_at(bytes, offset)) | u64::from(u32_at(bytes, offset + 4)) << 32
}

#[cfg(test)]
mod tests;
