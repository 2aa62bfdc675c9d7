//! Guest memory: aligned for huge pages, and never unmapped. It is private and anonymous, or, for a machine that another
//! process serves, a sealed memory file.
//!
//! Memory that is never unmapped makes a KVM memory slot valid for as long as the process lives, whatever order things
//! are dropped in. A VMM process is one machine, so nothing is lost.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::ptr::null_mut;
use std::sync::Arc;

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap, mmap_anonymous, munmap};
use vm_memory::mmap::MmapRegionBuilder;
use vm_memory::{
    FileOffset, GuestAddress, GuestMemoryBackend, GuestMemoryMmap, GuestMemoryRegion,
    GuestRegionMmap,
};

use crate::Error;

/// Host addresses are aligned to this, as guest addresses are: KVM maps 2 MiB at once only where both agree.
const HUGE_PAGE: usize = 2 << 20;

/// A range of guest-physical addresses that is RAM: first address and bytes.
pub type RamRange = (GuestAddress, u64);

/// Who can have the machine's memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sharing {
    /// This process alone.
    Private,
    /// Also processes that get its file: one memory file, all ranges one after the other, whose length nobody can change.
    /// So nobody can take a page away under another's hands with a `SIGBUS`.
    File,
}

/// Guest memory made by [`allocate`], and so never unmapped.
#[derive(Debug, Clone)]
pub struct GuestRam(GuestMemoryMmap);

impl GuestRam {
    /// The same memory for those who only read and write it.
    pub fn memory(&self) -> &GuestMemoryMmap {
        &self.0
    }

    /// Reads `length` bytes of `file` from `offset` on straight into guest memory, with no copy between.
    ///
    /// # Errors
    /// When the bytes end before, the file cannot be read, or the range is not in one piece of RAM (`InvalidInput`).
    pub fn read_file(
        &self,
        file: &File,
        offset: u64,
        address: GuestAddress,
        length: usize,
    ) -> io::Result<()> {
        let slice = self
            .0
            .get_slice(address, length)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        let guard = slice.ptr_guard_mut();
        let mut done = 0;
        while done < length {
            let position = offset
                .checked_add(done as u64)
                .and_then(|position| i64::try_from(position).ok())
                .ok_or(io::ErrorKind::InvalidInput)?;
            // SAFETY: the slice is `length` bytes of mapped memory and `done` < `length`. Guest memory has no Rust
            // references into it, so the kernel's writes alias nothing.
            let read = unsafe {
                libc::pread(
                    file.as_raw_fd(),
                    guard.as_ptr().add(done).cast(),
                    length - done,
                    position,
                )
            };
            match usize::try_from(read) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => done += read,
                Err(_) => match io::Error::last_os_error() {
                    error if error.kind() == io::ErrorKind::Interrupted => {}
                    error => return Err(error),
                },
            }
        }
        Ok(())
    }
}

impl GuestRam {
    /// Gives the host pages of a range back; it reads as zeros until it is written again.
    ///
    /// # Errors
    /// When the range is not whole pages in one piece of RAM (`InvalidInput`), or the host does not take them.
    pub fn discard(&self, address: GuestAddress, length: u64) -> io::Result<()> {
        let invalid = || io::Error::from(io::ErrorKind::InvalidInput);
        let length = usize::try_from(length).map_err(|_| invalid())?;
        let slice = self.0.get_slice(address, length).map_err(|_| invalid())?;
        let region = self.0.find_region(address).ok_or_else(invalid)?;
        // Taking a page of a memory file from this mapping alone would leave it in the file.
        let advice = match region.file_offset() {
            Some(_) => Advice::LinuxRemove,
            None => Advice::LinuxDontNeed,
        };
        let start = slice.ptr_guard_mut().as_ptr();
        // SAFETY: the slice is `length` bytes of mapped memory, and there are no Rust references into guest memory that
        // could see its contents change. The kernel refuses what is not aligned to pages.
        unsafe { madvise(start.cast(), length, advice)? };
        Ok(())
    }
}

/// Maps guest memory. It takes no page until it is touched; huge pages are asked for, and are a matter of the host's
/// settings.
///
/// # Errors
/// When the ranges are not ascending and apart, or the host has no address space left.
pub fn allocate(ranges: &[RamRange], sharing: Sharing) -> Result<GuestRam, Error> {
    let file = match sharing {
        Sharing::Private => None,
        Sharing::File => Some(Arc::new(memory_file(ranges)?)),
    };
    let mut offset = 0;
    let mut regions = Vec::with_capacity(ranges.len());
    for &(start, size) in ranges {
        let length = usize::try_from(size).map_err(|_| Error::Ranges)?;
        if length == 0 {
            return Err(Error::Ranges);
        }
        let backing = file.as_ref().map(|file| (&**file, offset));
        let address = map_aligned(length, backing).map_err(|source| Error::Map {
            size,
            source: source.into(),
        })?;
        // SAFETY: the mapping is `length` bytes long, readable and writable, and nobody unmaps it.
        let builder = unsafe {
            MmapRegionBuilder::new(length)
                .with_mmap_prot((ProtFlags::READ | ProtFlags::WRITE).bits().cast_signed())
                .with_mmap_flags(flags(backing.is_some()).bits().cast_signed())
                .with_raw_mmap_pointer(address)
        };
        let builder = match &file {
            Some(file) => builder.with_file_offset(FileOffset::from_arc(Arc::clone(file), offset)),
            None => builder,
        };
        offset += size;
        let region = builder.build().map_err(|_| Error::Ranges)?;
        regions.push(GuestRegionMmap::new(region, start).ok_or(Error::Ranges)?);
    }
    let memory = GuestMemoryMmap::from_regions(regions).map_err(|_| Error::Ranges)?;
    Ok(GuestRam(memory))
}

/// A memory file as long as all ranges together, sealed against another length.
fn memory_file(ranges: &[RamRange]) -> Result<File, Error> {
    let sizes = ranges.iter().map(|(_, size)| *size);
    let size = sizes
        .reduce(|sum, size| sum.saturating_add(size))
        .unwrap_or_default();
    let failed = |source: rustix::io::Errno| Error::Map {
        size,
        source: source.into(),
    };
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let file = File::from(memfd_create("guest", flags).map_err(failed)?);
    file.set_len(size)
        .map_err(|source| Error::Map { size, source })?;
    let seals = SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL;
    fcntl_add_seals(&file, seals).map_err(failed)?;
    Ok(file)
}

fn flags(shared: bool) -> MapFlags {
    if shared {
        MapFlags::SHARED | MapFlags::NORESERVE
    } else {
        MapFlags::PRIVATE | MapFlags::NORESERVE
    }
}

/// Maps more than is asked for, and gives back what lies before and behind the aligned part. `backing` is the file of
/// shared memory and where in it.
fn map_aligned(length: usize, backing: Option<(&File, u64)>) -> rustix::io::Result<*mut u8> {
    let reserved = length
        .checked_add(HUGE_PAGE)
        .ok_or(rustix::io::Errno::NOMEM)?;
    // SAFETY: a new mapping at an address of the kernel's choice touches no other memory.
    let base = unsafe {
        mmap_anonymous(
            null_mut(),
            reserved,
            ProtFlags::READ | ProtFlags::WRITE,
            flags(false),
        )?
    };
    let before = base.align_offset(HUGE_PAGE);
    // SAFETY: `before` < HUGE_PAGE, so the aligned part ends inside the mapping.
    let start = unsafe { base.byte_add(before) };
    // SAFETY: both cut-off parts belong to the mapping just made, and nothing points into them. A part may be empty
    // in front; the one behind has at least one page, for page-aligned lengths leave HUGE_PAGE - before > 0 bytes.
    unsafe {
        if before > 0 {
            munmap(base, before)?;
        }
        let tail = HUGE_PAGE - before;
        munmap(start.byte_add(length.next_multiple_of(4096)), tail)?;
        if let Some((file, offset)) = backing {
            // In place of the aligned part, which this function has just mapped and nobody knows yet.
            let access = ProtFlags::READ | ProtFlags::WRITE;
            let flags = flags(true) | MapFlags::FIXED;
            mmap(start, length, access, flags, file, offset)?;
        }
        // Both are wishes: kernels without huge pages answer EINVAL.
        let _ = madvise(start, length, Advice::LinuxHugepage);
        let _ = madvise(start, length, Advice::LinuxDontDump);
    }
    Ok(start.cast())
}

#[cfg(test)]
#[path = "memory_test.rs"]
mod tests;
