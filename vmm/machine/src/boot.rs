//! Everything that is in guest memory when the first vCPU enters the guest.

use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};

use bulkhead_kvm::memory::GuestRam;
use bulkhead_kvm::vcpu::{CODE_SELECTOR, DATA_SELECTOR, LongModeEntry};
use bulkhead_protocol::vmm::MAX_VCPUS;
use vm_memory::{Bytes, GuestAddress, GuestMemoryError};

use crate::boot_params::{Initramfs, SEED_LENGTH, boot_params, seed_data};
use crate::command_line::{self, TooLong};
use crate::kernel::{self, Kernel, KernelError, Part};
use crate::{layout, mp_table};

/// What is booted, and how.
#[derive(Debug)]
pub struct BootSpec<'a> {
    /// The kernel file.
    pub kernel: &'a File,
    /// The initramfs file.
    pub initramfs: Option<&'a File>,
    /// Command line without devices.
    pub command_line: &'a str,
    /// vCPUs, at most [`MAX_VCPUS`].
    pub cpus: u8,
    /// Bytes of RAM.
    pub memory: u64,
    /// Virtio devices, at most [`layout::MAX_VIRTIO_DEVICES`].
    pub devices: usize,
}

/// A guest that cannot be booted.
#[derive(Debug, thiserror::Error)]
pub enum BootError {
    /// The kernel file is at fault, or too large for the machine.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// The command line does not fit.
    #[error(transparent)]
    CommandLine(#[from] TooLong),
    /// A file cannot be read into memory.
    #[error("cannot read the {what}")]
    Read {
        /// Kernel or initramfs.
        what: &'static str,
        /// The system's answer.
        source: io::Error,
    },
    /// The initramfs does not fit.
    #[error(
        "the initramfs of {length} bytes does not fit between the kernel's end at {start:#x} and {limit:#x}"
    )]
    InitramfsSize {
        /// Its bytes.
        length: u64,
        /// First address it could have.
        start: u64,
        /// First address it must not reach.
        limit: u64,
    },
    /// The boot data cannot be written: RAM has less than the megabyte that every machine has.
    #[error("cannot write the boot data to guest memory")]
    Write(#[from] GuestMemoryError),
    /// The host has no random numbers.
    #[error("cannot get random numbers for the guest's seed")]
    Random(#[source] io::Error),
}

const PAGE: u64 = 4096;

/// Bytes that one thread copies at a time: a huge page, so that no two threads fault the same one in.
const CHUNK: u64 = 2 << 20;

/// A guest that can be booted, and what is left to do for it.
#[derive(Debug)]
pub struct Plan<'a> {
    spec: &'a BootSpec<'a>,
    kernel: Kernel,
    command_line: String,
    initramfs: Option<Initramfs>,
    chunks: Vec<Chunk<'a>>,
    /// The first chunk that no thread has taken.
    next: AtomicUsize,
}

/// A piece of a file on its way to guest memory.
#[derive(Debug)]
struct Chunk<'a> {
    what: &'static str,
    file: &'a File,
    part: Part,
}

/// Reads the headers of kernel and initramfs and decides what goes where.
///
/// # Errors
/// When the kernel cannot boot in this machine, with the reason.
pub fn plan<'a>(spec: &'a BootSpec<'a>) -> Result<Plan<'a>, BootError> {
    let low_end = layout::low_ram_end(spec.memory);
    let kernel = kernel::inspect(spec.kernel, low_end)?;
    let command_line =
        command_line::build(spec.command_line, spec.devices, kernel.command_line_max)?;
    let mut chunks = Vec::new();
    for part in &kernel.parts {
        chunks.extend(pieces("kernel", spec.kernel, *part));
    }
    let mut initramfs = None;
    if let Some(file) = spec.initramfs {
        let part = place_initramfs(file, &kernel, low_end)?;
        // Both are below 3 GiB.
        initramfs = u32::try_from(part.address)
            .ok()
            .zip(u32::try_from(part.length).ok());
        chunks.extend(pieces("initramfs", file, part));
    }
    Ok(Plan {
        spec,
        kernel,
        command_line,
        initramfs,
        chunks,
        next: AtomicUsize::new(0),
    })
}

impl Plan<'_> {
    /// Writes what is not in a file.
    ///
    /// # Errors
    /// When the host has no random numbers.
    pub fn write_boot_data(&self, ram: &GuestRam) -> Result<(), BootError> {
        write_boot_data(ram, self)
    }

    /// Copies what no other thread has begun to copy. All of it is there when every caller has returned.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn copy(&self, ram: &GuestRam) -> Result<(), BootError> {
        while let Some(chunk) = self.chunks.get(self.next.fetch_add(1, Ordering::Relaxed)) {
            let Part {
                offset,
                address,
                length,
            } = chunk.part;
            ram.read_file(chunk.file, offset, GuestAddress(address), length)
                .map_err(|source| BootError::Read {
                    what: chunk.what,
                    source,
                })?;
        }
        Ok(())
    }

    /// The state of the first vCPU.
    pub fn entry(&self) -> LongModeEntry {
        LongModeEntry {
            rip: self.kernel.entry,
            rsi: layout::BOOT_PARAMS,
            cr3: layout::PAGE_TABLES,
            gdt_address: layout::GDT,
            gdt_limit: GDT_LIMIT,
        }
    }
}

/// Cuts a part at the huge pages of guest memory.
fn pieces<'a>(what: &'static str, file: &'a File, part: Part) -> Vec<Chunk<'a>> {
    let end = part.address + part.length as u64;
    let mut pieces = Vec::new();
    let mut address = part.address;
    while address < end {
        let next = (address + 1).next_multiple_of(CHUNK).min(end);
        let length = usize::try_from(next - address).expect("at most a huge page");
        let offset = part.offset + (address - part.address);
        pieces.push(Chunk {
            what,
            file,
            part: Part {
                offset,
                address,
                length,
            },
        });
        address = next;
    }
    pieces
}

/// Right behind the kernel: it shares the last huge page that the kernel touches anyway.
fn place_initramfs(file: &File, kernel: &Kernel, low_end: u64) -> Result<Part, BootError> {
    let length = file
        .metadata()
        .map_err(|source| BootError::Read {
            what: "initramfs",
            source,
        })?
        .len();
    let address = kernel.end.next_multiple_of(PAGE);
    let limit = low_end.min(kernel.initramfs_max.saturating_add(1));
    let fits = address.checked_add(length).is_some_and(|end| end <= limit);
    match usize::try_from(length) {
        Ok(length) if fits => Ok(Part {
            offset: 0,
            address,
            length,
        }),
        _ => Err(BootError::InitramfsSize {
            length,
            start: address,
            limit,
        }),
    }
}

fn write_boot_data(ram: &GuestRam, plan: &Plan<'_>) -> Result<(), BootError> {
    let (spec, line) = (plan.spec, plan.command_line.as_str());
    debug_assert!(spec.cpus <= MAX_VCPUS && spec.devices <= layout::MAX_VIRTIO_DEVICES);
    let memory = ram.memory();
    let mut seed = [0; SEED_LENGTH];
    rustix::rand::getrandom(&mut seed, rustix::rand::GetRandomFlags::empty())
        .map_err(|source| BootError::Random(source.into()))?;
    memory.write_slice(&seed_data(&seed), GuestAddress(layout::SETUP_DATA))?;

    // The byte behind the line is 0 already: nobody has written there.
    memory.write_slice(line.as_bytes(), GuestAddress(layout::COMMAND_LINE))?;
    let params = boot_params(plan.kernel.header, spec.memory, line.len(), plan.initramfs);
    memory.write_obj(params, GuestAddress(layout::BOOT_PARAMS))?;

    let gsis = (layout::VIRTIO_GSI..)
        .filter_map(|gsi| u8::try_from(gsi).ok())
        .take(spec.devices);
    let table = mp_table::table(spec.cpus, gsis);
    memory.write_slice(&table, GuestAddress(layout::MP_TABLE))?;
    memory.write_slice(&mp_table::pointer(), GuestAddress(layout::MP_POINTER))?;
    write_long_mode_tables(ram)?;
    Ok(())
}

/// Null, null, code, data: [`CODE_SELECTOR`] and [`DATA_SELECTOR`] are the last two. Flat, accessed; code is 64-bit.
const DESCRIPTORS: [u64; 4] = [0, 0, 0x00af_9b00_0000_ffff, 0x00cf_9300_0000_ffff];
const GDT_LIMIT: u16 = 31;
const _: () = assert!(CODE_SELECTOR == 2 * 8 && DATA_SELECTOR == 3 * 8);

const PRESENT_WRITABLE: u64 = 3;
const HUGE: u64 = 1 << 7;
const TABLE_ENTRIES: u64 = 512;

/// The descriptor table, and page tables that map the first GiB to itself by 2 MiB pages: 64-bit kernels start in
/// there and make their own.
fn write_long_mode_tables(ram: &GuestRam) -> Result<(), GuestMemoryError> {
    let memory = ram.memory();
    write_words(ram, layout::GDT, &DESCRIPTORS)?;
    let (pml4, pdpt, pd) = (
        layout::PAGE_TABLES,
        layout::PAGE_TABLES + PAGE,
        layout::PAGE_TABLES + 2 * PAGE,
    );
    memory.write_obj(pdpt | PRESENT_WRITABLE, GuestAddress(pml4))?;
    memory.write_obj(pd | PRESENT_WRITABLE, GuestAddress(pdpt))?;
    let pages: Vec<u64> = (0..TABLE_ENTRIES)
        .map(|page| page << 21 | HUGE | PRESENT_WRITABLE)
        .collect();
    write_words(ram, pd, &pages)
}

fn write_words(ram: &GuestRam, address: u64, words: &[u64]) -> Result<(), GuestMemoryError> {
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    ram.memory().write_slice(&bytes, GuestAddress(address))
}

#[cfg(test)]
#[path = "boot_test.rs"]
mod tests;
