//! What the guest kernel's file tells about a machine that never became ready.
//!
//! A kernel built without `CONFIG_VIRTIO_MMIO_CMDLINE_DEVICES` boots, finds no disk and no vsock, and says nothing about
//! it: an unknown parameter with a dot in its name is passed over in silence (`unknown_bootoption`, `init/main.c`). In the
//! file of an uncompressed kernel the parameter's name can be looked for; this is done only when a start has failed, for it
//! takes as long as the start.

use std::io::{self, Read};

/// The parameter's name as the kernel has it (`module_param_cb` in `drivers/virtio/virtio_mmio.c`), with the NUL that tells it
/// from a use of it in a built-in command line.
const PARAMETER: &[u8] = b"virtio_mmio.device\0";

const ELF_MAGIC: &[u8] = b"\x7fELF";

/// Where a bzImage has its magic number (`Documentation/arch/x86/boot.rst`).
const BZIMAGE_MAGIC: (usize, &[u8]) = (0x202, b"HdrS");

/// Most that is read: ten times a distribution's kernel.
const MAX_BYTES: u64 = 512 << 20;

/// Read in pieces of this size.
const PIECE_BYTES: usize = 64 << 10;

/// Why a kernel may not have found its devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Suspicion {
    /// The parameter is not there.
    #[error(
        "the guest kernel cannot be told its devices: it was built without CONFIG_VIRTIO_MMIO_CMDLINE_DEVICES \
         (kernel/vmlinux has no parameter virtio_mmio.device)"
    )]
    NoParameter,
    /// A bzImage: what is in it cannot be seen.
    #[error(
        "the guest kernel must have CONFIG_VIRTIO_MMIO_CMDLINE_DEVICES to find its devices; \
         whether it has cannot be seen, for kernel/vmlinux is compressed (a bzImage)"
    )]
    Compressed,
}

/// Looks through a kernel. Nothing is said about one that has the parameter, or that is neither ELF nor bzImage.
///
/// # Errors
/// The file cannot be read.
pub fn suspicion(kernel: impl Read) -> io::Result<Option<Suspicion>> {
    let mut kernel = kernel.take(MAX_BYTES);
    let mut piece = Vec::with_capacity(PIECE_BYTES);
    read_piece(&mut kernel, &mut piece)?;
    let (at, magic) = BZIMAGE_MAGIC;
    if piece.get(at..).is_some_and(|rest| rest.starts_with(magic)) {
        return Ok(Some(Suspicion::Compressed));
    }
    if !piece.starts_with(ELF_MAGIC) {
        return Ok(None);
    }
    loop {
        if piece.windows(PARAMETER.len()).any(|at| at == PARAMETER) {
            return Ok(None);
        }
        // A name that lies across two pieces is whole in the next one.
        let seen = piece.len().saturating_sub(PARAMETER.len() - 1);
        piece.drain(..seen);
        if read_piece(&mut kernel, &mut piece)? == 0 {
            return Ok(Some(Suspicion::NoParameter));
        }
    }
}

/// Fills a piece up; returns how many bytes came.
fn read_piece(kernel: &mut impl Read, piece: &mut Vec<u8>) -> io::Result<u64> {
    let room = PIECE_BYTES.saturating_sub(piece.len()) as u64;
    kernel
        .take(room)
        .read_to_end(piece)
        .map(|count| count as u64)
}

#[cfg(test)]
#[path = "kernel_test.rs"]
mod tests;
