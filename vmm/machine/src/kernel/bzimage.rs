//! A `bzImage`, entered at its 64-bit entry point.
//!
//! Field offsets and rules: `Documentation/arch/x86/boot.rst`.

use linux_loader::loader::bootparam::setup_header;
use vm_memory::ByteValued;

use super::{Kernel, KernelError, Part, check_header, check_in_file, check_in_ram, u16_at};

/// First byte of the setup header in the file.
const HEADER_OFFSET: usize = 0x1f1;
const BOOT_FLAG_OFFSET: usize = 0x1fe;
const BOOT_FLAG: u16 = 0xaa55;
const MAGIC_OFFSET: usize = 0x202;
const MAGIC: &[u8; 4] = b"HdrS";
/// The first protocol with `xloadflags`, and so with a 64-bit entry point.
const MIN_VERSION: u16 = 0x020c;
const LOADED_HIGH: u8 = 1;
const XLF_KERNEL_64: u16 = 1;
const SECTOR: u64 = 512;
/// Setup sectors where the header says 0.
const DEFAULT_SETUP_SECTORS: u8 = 4;
/// The 64-bit entry point, counted from the start of the protected-mode code.
const ENTRY_64: u64 = 0x200;

pub(super) fn is_bzimage(head: &[u8]) -> bool {
    u16_at(head, BOOT_FLAG_OFFSET) == BOOT_FLAG
        && head[MAGIC_OFFSET..MAGIC_OFFSET + MAGIC.len()] == *MAGIC
}

pub(super) fn inspect(
    file_length: u64,
    head: &[u8],
    low_ram_end: u64,
) -> Result<Kernel, KernelError> {
    let bytes = &head[HEADER_OFFSET..HEADER_OFFSET + size_of::<setup_header>()];
    let mut header = setup_header::default();
    header.as_mut_slice().copy_from_slice(bytes);
    let (version, xloadflags) = (header.version, header.xloadflags);
    if version < MIN_VERSION || xloadflags & XLF_KERNEL_64 == 0 {
        return Err(KernelError::No64BitEntry {
            version,
            xloadflags,
        });
    }
    let loaded_high = u64::from(header.loadflags & LOADED_HIGH);
    check_header("LOADED_HIGH flag", loaded_high, 1, "1 (a bzImage)")?;

    let sectors = match header.setup_sects {
        0 => DEFAULT_SETUP_SECTORS,
        sectors => sectors,
    };
    let setup_length = (u64::from(sectors) + 1) * SECTOR;
    // The code must reach at least to its entry point.
    let what = "protected-mode code";
    check_in_file(what, setup_length, ENTRY_64 + 1, file_length)?;
    let code_length = file_length - setup_length;

    // It unpacks itself in `init_size` bytes from where it is loaded.
    let address = header.pref_address;
    let needed = u64::from(header.init_size).max(code_length);
    let end = check_in_ram(address, needed, low_ram_end)?;
    let length = usize::try_from(code_length).map_err(|_| KernelError::Unknown {
        length: file_length,
    })?;
    Ok(Kernel {
        parts: vec![Part {
            offset: setup_length,
            address,
            length,
        }],
        entry: address + ENTRY_64,
        end,
        initramfs_max: header.initrd_addr_max.into(),
        command_line_max: usize::try_from(header.cmdline_size).unwrap_or(usize::MAX),
        header,
    })
}
