//! Debian's kernel: its modules, and its image unpacked.
//!
//! The software processor would need more than a second to unpack the image; here it takes 0.3.

use std::collections::HashSet;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};

use crate::cache;

/// An installed Debian kernel with its modules.
pub(crate) struct Kernel {
    pub(crate) release: String,
    image: PathBuf,
}

/// What nothing loads by itself: the way to the host's file system and the command's streams, KVM,
/// and devices that programs open by name. The kernel asks for the rest when it is needed.
const BOOT_MODULES: [&str; 13] = [
    "virtio_pci",
    "virtio_blk",
    "virtio_console",
    "9pnet_virtio",
    "9p",
    "crc32c_generic", // ext4 asks for it by algorithm, not by dependency
    "ext4",
    "overlay",
    "kvm-amd",
    "tun",
    "vhost_net",
    "fuse",
    "loop",
];

impl Kernel {
    /// The newest kernel in `/boot` that has modules.
    pub(crate) fn find() -> Result<Self> {
        let mut releases: Vec<String> = fs::read_dir("/lib/modules")
            .context("read /lib/modules")?
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter(|release| {
                Path::new("/boot")
                    .join(format!("vmlinuz-{release}"))
                    .exists()
            })
            .collect();
        releases.sort();
        let release = releases
            .pop()
            .context("no kernel in /boot with modules in /lib/modules (linux-image-amd64)")?;
        let image = PathBuf::from(format!("/boot/vmlinuz-{release}"));
        Ok(Self { release, image })
    }

    /// The ELF image inside the compressed one, unpacked once and kept in the cache.
    pub(crate) fn unpacked(&self) -> Result<PathBuf> {
        let file =
            fs::read(&self.image).with_context(|| format!("read {}", self.image.display()))?;
        let unpacked = cache::directory("nested").join(format!("vmlinux-{}", cache::key(&[&file])));
        if !unpacked.exists() {
            let elf = unpack(&file).with_context(|| format!("unpack {}", self.image.display()))?;
            cache::write_whole(&unpacked, &elf)?;
        }
        Ok(unpacked)
    }

    /// Paths of [`BOOT_MODULES`] and of all that they need, in loading order.
    pub(crate) fn boot_modules(&self) -> Result<Vec<PathBuf>> {
        let directory = Path::new("/lib/modules").join(&self.release);
        let dependencies = directory.join("modules.dep");
        let dependencies = fs::read_to_string(&dependencies)
            .with_context(|| format!("read {}", dependencies.display()))?;
        let mut order = Vec::new();
        for name in BOOT_MODULES {
            order.extend(loading_order(&dependencies, name)?);
        }
        let mut seen = HashSet::new();
        order.retain(|path| seen.insert(*path));
        Ok(order.into_iter().map(|path| directory.join(path)).collect())
    }
}

/// Finds the payload by the setup header (Linux's Documentation/arch/x86/boot.rst).
fn unpack(image: &[u8]) -> Result<Vec<u8>> {
    const SETUP_SECTS: usize = 0x1f1;
    const PAYLOAD_OFFSET: usize = 0x248;
    const PAYLOAD_LENGTH: usize = 0x24c;
    const SECTOR: usize = 512;

    let number = |at: usize| -> Result<usize> {
        let bytes = image
            .get(at..at + 4)
            .context("too short for a setup header")?;
        Ok(u32::from_le_bytes(bytes.try_into()?).try_into()?)
    };
    let setup_sectors = usize::from(*image.get(SETUP_SECTS).context("empty image")?);
    let start = (setup_sectors + 1) * SECTOR + number(PAYLOAD_OFFSET)?;
    let payload = image
        .get(start..start + number(PAYLOAD_LENGTH)?)
        .context("payload lies outside of the image")?;
    if !payload.starts_with(b"\xfd7zXZ") {
        bail!("payload is not compressed by xz, as Debian 12 does");
    }
    let mut elf = Vec::new();
    liblzma::read::XzDecoder::new(payload).read_to_end(&mut elf)?;
    Ok(elf)
}

/// One module's line of `modules.dep` ("module: need, need of need …"), turned into loading order.
fn loading_order<'a>(dependencies: &'a str, name: &str) -> Result<Vec<&'a str>> {
    let file = format!("/{}.ko", name);
    let (module, needs) = dependencies
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(module, _)| module.ends_with(&file))
        .ok_or_else(|| anyhow!("no module {name} in modules.dep"))?;
    let mut order: Vec<&str> = needs.split_whitespace().rev().collect();
    order.push(module);
    Ok(order)
}

#[cfg(test)]
#[path = "kernel_test.rs"]
mod tests;
