use std::io;

/// What this crate can fail with: always the host's doing, never the guest's.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An ioctl on a KVM descriptor.
    #[error("{ioctl} failed")]
    Ioctl {
        /// Its name in `include/uapi/linux/kvm.h`.
        ioctl: &'static str,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The descriptor is no `/dev/kvm`, or one from before Linux 2.6.22.
    #[error(
        "the KVM descriptor speaks API version {found}, not {}",
        crate::vm::API_VERSION
    )]
    ApiVersion {
        /// What it answered; negative for an error.
        found: i32,
    },
    /// The host's KVM lacks something that every machine needs.
    #[error("this host's KVM lacks {capability}")]
    MissingCapability {
        /// Its name in `include/uapi/linux/kvm.h`.
        capability: &'static str,
    },
    /// Guest memory cannot be had.
    #[error("cannot map {size} bytes of guest memory")]
    Map {
        /// Bytes asked for.
        size: u64,
        /// The kernel's answer.
        source: io::Error,
    },
    /// Ranges of guest memory overlap, are empty, or are out of order.
    #[error("guest memory ranges are empty, out of order, or overlap")]
    Ranges,
    /// State that a vCPU or VM cannot have, from a file or from us.
    #[error("vCPU state: {what}")]
    State {
        /// What is wrong with it.
        what: String,
    },
}

impl Error {
    /// For `map_err` behind an ioctl.
    pub(crate) fn ioctl(name: &'static str) -> impl Fn(vmm_sys_util::errno::Error) -> Error {
        move |source| Error::Ioctl {
            ioctl: name,
            source: io::Error::from_raw_os_error(source.errno()),
        }
    }
}
