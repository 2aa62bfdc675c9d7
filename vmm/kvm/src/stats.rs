//! KVM's own counters of a vCPU: exits by cause, most of which never come to us.
//!
//! Format: `Documentation/virt/kvm/api.rst`, 4.133 `KVM_GET_STATS_FD`.

use std::fs::File;
use std::io;
use std::os::fd::FromRawFd;
use std::os::unix::fs::FileExt;

use vmm_sys_util::ioctl::ioctl;

use crate::Vcpu;

/// `_IO(KVMIO, 0xce)`; kvm-ioctls does not have it.
const KVM_GET_STATS_FD: u64 = 0xaece;

const HEADER_BYTES: usize = 24;
/// Bytes of a descriptor before its name.
const DESCRIPTOR_BYTES: usize = 16;
/// Descriptors of one vCPU, at most; Linux 6.18 has about 60.
const MAX_DESCRIPTORS: u32 = 1024;
/// Longest name, as Linux has it (`KVM_STATS_NAME_SIZE` is 48).
const MAX_NAME: u32 = 128;

/// The counters of one vCPU; readable from any thread, also after its end.
#[derive(Debug)]
pub struct VcpuStats {
    file: File,
    /// Name and place in the file of each single number.
    numbers: Vec<(String, u64)>,
}

impl VcpuStats {
    /// Opens them; `None` where KVM has none (before Linux 5.14).
    pub fn open(vcpu: &Vcpu) -> Option<Self> {
        // SAFETY: the descriptor is a vCPU's, and the ioctl takes no argument.
        let descriptor = unsafe { ioctl(&vcpu.fd, KVM_GET_STATS_FD) };
        if descriptor < 0 {
            return None;
        }
        // SAFETY: just made for us.
        let file = unsafe { File::from_raw_fd(descriptor) };
        let numbers = numbers(&file).ok()?;
        Some(Self { file, numbers })
    }

    /// All numbers by name, as they are now.
    pub fn read(&self) -> impl Iterator<Item = (&str, u64)> {
        self.numbers.iter().filter_map(|(name, offset)| {
            let mut value = [0; 8];
            self.file.read_exact_at(&mut value, *offset).ok()?;
            Some((name.as_str(), u64::from_le_bytes(value)))
        })
    }
}

/// Reads the descriptors. Arrays (histograms) are left out.
fn numbers(file: &File) -> io::Result<Vec<(String, u64)>> {
    let mut header = [0; HEADER_BYTES];
    file.read_exact_at(&mut header, 0)?;
    let field = |index: usize| word(&header, index * 4);
    let (name_bytes, count) = (field(1), field(2));
    let (descriptors, data) = (u64::from(field(4)), u64::from(field(5)));
    if count > MAX_DESCRIPTORS || name_bytes > MAX_NAME {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let stride = DESCRIPTOR_BYTES + name_bytes as usize;
    let mut table = vec![0; stride * count as usize];
    file.read_exact_at(&mut table, descriptors)?;
    let mut numbers = Vec::new();
    for descriptor in table.chunks_exact(stride) {
        // u32 flags; i16 exponent; u16 numbers; u32 offset; u32 bucket size; name.
        let single = u16::from_le_bytes([descriptor[6], descriptor[7]]) == 1;
        if single {
            let name = descriptor[DESCRIPTOR_BYTES..]
                .split(|byte| *byte == 0)
                .next();
            let name = String::from_utf8_lossy(name.unwrap_or_default()).into_owned();
            numbers.push((name, data + u64::from(word(descriptor, 8))));
        }
    }
    Ok(numbers)
}

fn word(bytes: &[u8], offset: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[offset..offset + 4]);
    u32::from_le_bytes(word)
}

#[cfg(test)]
#[path = "stats_test.rs"]
mod tests;
