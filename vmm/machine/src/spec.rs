//! The specification as it came, checked: every number within its bound, every index with its descriptor.

use std::fs::File;
use std::os::fd::OwnedFd;

use bulkhead_protocol::vmm::{FdIndex, MAX_MEMORY_MIB, MAX_VCPUS, MIN_MEMORY_MIB, MachineSpec};

/// The lowest vsock address of a guest (`VMADDR_CID_HOST` is 2).
const MIN_CID: u32 = 3;

/// A specification that no machine can have.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// A number out of its bounds.
    #[error("{field} is {found}, not {min} to {max}")]
    Range {
        /// Which.
        field: &'static str,
        /// What it is.
        found: u64,
        /// Least allowed.
        min: u64,
        /// Most allowed.
        max: u64,
    },
    /// A shared directory that a guest could not name.
    #[error("a share's tag is empty")]
    NoTag,
    /// A descriptor that did not come along.
    #[error("{field} is descriptor {index} of {count}")]
    Descriptor {
        /// What for.
        field: &'static str,
        /// Which.
        index: u8,
        /// How many came.
        count: usize,
    },
}

/// The machine's files.
#[derive(Debug)]
pub struct Files {
    /// `/dev/kvm`.
    pub kvm: File,
    /// The kernel.
    pub kernel: File,
    /// The initramfs.
    pub initramfs: Option<File>,
    /// All descriptors that came, for the disks' extents and the shares.
    pub others: Vec<OwnedFd>,
}

/// Checks `spec` and takes its files out of `descriptors`.
///
/// # Errors
/// Names the field.
pub fn check(spec: &MachineSpec, descriptors: Vec<OwnedFd>) -> Result<Files, SpecError> {
    check_range("number of vCPUs", spec.vcpus.into(), 1, MAX_VCPUS.into())?;
    check_range(
        "memory in MiB",
        spec.memory_mib.into(),
        MIN_MEMORY_MIB.into(),
        MAX_MEMORY_MIB.into(),
    )?;
    check_range(
        "vsock address",
        spec.vsock_cid.into(),
        MIN_CID.into(),
        (u32::MAX - 1).into(),
    )?;
    for disk in spec.disks.iter() {
        for extent in disk.extents.iter() {
            check_index("a disk's file", extent.file, &descriptors)?;
        }
    }
    for share in spec.shares.iter() {
        check_index("a share's socket", share.socket, &descriptors)?;
        if share.tag.is_empty() {
            return Err(SpecError::NoTag);
        }
    }
    let file = |field, index| -> Result<File, SpecError> {
        let descriptor = check_index(field, index, &descriptors)?;
        // Running out of descriptors here shows as one that is missing.
        let own = descriptor.try_clone().map_err(|_| SpecError::Descriptor {
            field,
            index: index.0,
            count: descriptors.len(),
        })?;
        Ok(File::from(own))
    };
    let kvm = file("KVM", spec.kvm)?;
    let kernel = file("the kernel", spec.kernel)?;
    let initramfs = spec
        .initramfs
        .map(|index| file("the initramfs", index))
        .transpose()?;
    Ok(Files {
        kvm,
        kernel,
        initramfs,
        others: descriptors,
    })
}

fn check_range(field: &'static str, found: u64, min: u64, max: u64) -> Result<(), SpecError> {
    if (min..=max).contains(&found) {
        Ok(())
    } else {
        Err(SpecError::Range {
            field,
            found,
            min,
            max,
        })
    }
}

fn check_index<'a>(
    field: &'static str,
    index: FdIndex,
    descriptors: &'a [OwnedFd],
) -> Result<&'a OwnedFd, SpecError> {
    descriptors
        .get(usize::from(index.0))
        .ok_or(SpecError::Descriptor {
            field,
            index: index.0,
            count: descriptors.len(),
        })
}

#[cfg(test)]
#[path = "spec_test.rs"]
mod tests;
