//! `/dev/kvm` and the VM made from it.

use std::os::fd::{FromRawFd, IntoRawFd, OwnedFd};
use std::sync::Arc;

use kvm_bindings::{
    KVM_API_VERSION, KVM_CAP_PMU_CAPABILITY, KVM_CAP_SPLIT_IRQCHIP, KVM_MAX_CPUID_ENTRIES,
    KVM_PMU_CAP_DISABLE, kvm_enable_cap, kvm_msi, kvm_userspace_memory_region,
};
use kvm_ioctls::{Cap, IoEventAddress, VmFd};
use vm_memory::{Address, GuestAddress, GuestMemoryBackend, GuestMemoryMmap, GuestMemoryRegion};

use crate::cpuid::HostCpu;
use crate::memory::GuestRam;
use crate::msr::is_saved;
use crate::{Error, Event};

/// The KVM API that this crate speaks; it has not changed since Linux 2.6.22.
#[allow(clippy::cast_possible_wrap, reason = "12")]
pub const API_VERSION: i32 = KVM_API_VERSION as i32;

/// Three pages of guest-physical space that Intel CPUs without unrestricted guest mode need; outside all memory, below
/// the identity-map page that KVM puts at 0xfffb_c000 by default.
const TSS_ADDRESS: usize = 0xfffb_d000;

/// What no machine can do without.
const REQUIRED: [(Cap, &str); 7] = [
    (Cap::SplitIrqchip, "KVM_CAP_SPLIT_IRQCHIP"),
    (Cap::SignalMsi, "KVM_CAP_SIGNAL_MSI"),
    (Cap::UserMemory, "KVM_CAP_USER_MEMORY"),
    (Cap::SetTssAddr, "KVM_CAP_SET_TSS_ADDR"),
    (Cap::ExtCpuid, "KVM_CAP_EXT_CPUID"),
    (Cap::Ioeventfd, "KVM_CAP_IOEVENTFD"),
    (Cap::ImmediateExit, "KVM_CAP_IMMEDIATE_EXIT"),
];

/// `/dev/kvm`.
#[derive(Debug)]
pub struct Kvm {
    pub(crate) fd: kvm_ioctls::Kvm,
}

impl Kvm {
    /// Takes `/dev/kvm` over, opened by somebody else.
    ///
    /// # Errors
    /// When it is something else, or lacks what every machine needs.
    pub fn from_fd(fd: OwnedFd) -> Result<Self, Error> {
        // SAFETY: we own the descriptor and give it away. Ioctls on a descriptor that is no /dev/kvm fail; none of
        // those made before the version is known passes memory.
        let fd = unsafe { kvm_ioctls::Kvm::from_raw_fd(fd.into_raw_fd()) };
        let found = fd.get_api_version();
        if found != API_VERSION {
            return Err(Error::ApiVersion { found });
        }
        for (capability, name) in REQUIRED {
            if !fd.check_extension(capability) {
                return Err(Error::MissingCapability { capability: name });
            }
        }
        Ok(Self { fd })
    }

    /// What the host's KVM can show a guest of its CPU.
    ///
    /// # Errors
    /// When KVM does not answer.
    pub fn host_cpu(&self) -> Result<HostCpu, Error> {
        let supported = self
            .fd
            .get_supported_cpuid(KVM_MAX_CPUID_ENTRIES)
            .map_err(Error::ioctl("KVM_GET_SUPPORTED_CPUID"))?;
        Ok(HostCpu {
            supported: supported.as_slice().to_vec(),
            tsc_deadline: self.fd.check_extension(Cap::TscDeadlineTimer),
        })
    }
}

/// An interrupt on its way to local APICs (Intel SDM volume 3, "Message Signalled Interrupts").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message {
    /// Whom it reaches; 0xfeex_xxxx.
    pub address: u32,
    /// Vector and delivery mode.
    pub data: u32,
}

/// A VM with its memory, without vCPUs yet.
#[derive(Debug)]
pub struct Vm {
    pub(crate) fd: VmFd,
    /// MSRs that KVM can save, asked for once.
    pub(crate) saved_msrs: Arc<[u32]>,
}

impl Vm {
    /// Creates the VM and registers its memory. Every later vCPU has a local APIC.
    ///
    /// Absent on purpose: KVM's PIC and IOAPIC, which make a guest clear them with hundreds of exits (the IOAPIC is the
    /// caller's, see [`Vm::send`]), and its PIT, which costs a thread: a guest has its TSC deadline timer and kvm-clock.
    /// Memory comes first: a slot registered after interrupt controllers waits for a grace period, 7 ms.
    ///
    /// # Errors
    /// When KVM refuses a step.
    pub fn new(kvm: &Kvm, ram: &GuestRam) -> Result<Self, Error> {
        let fd = kvm.fd.create_vm().map_err(Error::ioctl("KVM_CREATE_VM"))?;
        register_memory(&fd, ram.memory())?;
        fd.set_tss_address(TSS_ADDRESS)
            .map_err(Error::ioctl("KVM_SET_TSS_ADDR"))?;
        disable_pmu(&fd)?;
        local_apics(&fd)?;
        let msrs = kvm
            .fd
            .get_msr_index_list()
            .map_err(Error::ioctl("KVM_GET_MSR_INDEX_LIST"))?;
        Ok(Self {
            fd,
            saved_msrs: msrs
                .as_slice()
                .iter()
                .copied()
                .filter(|msr| is_saved(*msr))
                .collect(),
        })
    }

    /// Sends an interrupt to local APICs.
    ///
    /// # Errors
    /// When KVM refuses it; a guest whose APICs are off only loses it.
    pub fn send(&self, message: Message) -> Result<(), Error> {
        let message = kvm_msi {
            address_lo: message.address,
            data: message.data,
            ..Default::default()
        };
        self.fd
            .signal_msi(message)
            .map(drop)
            .map_err(Error::ioctl("KVM_SIGNAL_MSI"))
    }

    /// The guest's 4-byte write of `value` to `address` becomes a write to `event`, with no return from [`crate::Vcpu::run`].
    ///
    /// # Errors
    /// When KVM refuses.
    pub fn register_write_event(
        &self,
        event: &Event,
        address: GuestAddress,
        value: u32,
    ) -> Result<(), Error> {
        self.fd
            .register_ioevent(
                event.inner(),
                &IoEventAddress::Mmio(address.raw_value()),
                value,
            )
            .map_err(Error::ioctl("KVM_IOEVENTFD"))
    }
}

fn register_memory(fd: &VmFd, memory: &GuestMemoryMmap) -> Result<(), Error> {
    for (slot, region) in (0..).zip(memory.iter()) {
        let host = memory
            .get_host_address(region.start_addr())
            .map_err(|_| Error::Ranges)?;
        let region = kvm_userspace_memory_region {
            slot,
            flags: 0,
            guest_phys_addr: region.start_addr().raw_value(),
            memory_size: region.len(),
            userspace_addr: host.addr() as u64,
        };
        // SAFETY: the region is mapped for reading and writing over its whole length, and a `GuestRam` is
        // never unmapped.
        unsafe { fd.set_user_memory_region(region) }
            .map_err(Error::ioctl("KVM_SET_USER_MEMORY_REGION"))?;
    }
    Ok(())
}

/// From now on vCPUs have local APICs in KVM; all other interrupt controllers are ours.
fn local_apics(fd: &VmFd) -> Result<(), Error> {
    let mut cap = kvm_enable_cap {
        cap: KVM_CAP_SPLIT_IRQCHIP,
        ..Default::default()
    };
    // No line of an IOAPIC of ours wants to hear of the end of an interrupt: all are edge-triggered.
    cap.args[0] = 0;
    fd.enable_cap(&cap)
        .map_err(Error::ioctl("KVM_ENABLE_CAP(KVM_CAP_SPLIT_IRQCHIP)"))
}

/// CPUID shows no performance counters; this takes away the MSRs behind them too, where KVM can (Linux 5.18).
fn disable_pmu(fd: &VmFd) -> Result<(), Error> {
    let offered = fd.check_extension_raw(KVM_CAP_PMU_CAPABILITY.into());
    if u32::try_from(offered).is_ok_and(|offered| offered & KVM_PMU_CAP_DISABLE != 0) {
        let mut cap = kvm_enable_cap {
            cap: KVM_CAP_PMU_CAPABILITY,
            ..Default::default()
        };
        cap.args[0] = KVM_PMU_CAP_DISABLE.into();
        fd.enable_cap(&cap)
            .map_err(Error::ioctl("KVM_ENABLE_CAP(KVM_CAP_PMU_CAPABILITY)"))?;
    }
    Ok(())
}
