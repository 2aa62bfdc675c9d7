//! The rule from the apps' limits to the machine's size. `docs/vm-size.md` says it in prose.

use bulkhead_protocol::plan::Limits;
use bulkhead_protocol::vmm::{MAX_MEMORY_MIB, MAX_VCPUS, MIN_MEMORY_MIB};

use super::PlanError;

/// Guest memory that is not the apps': the kernel, its tables, page cache to breathe, the agent.
const OVERHEAD_MIB: u64 = 64;

/// The least that a pod gets when an app has no memory limit: what rkt gave.
const UNLIMITED_MIB: u64 = 512;

/// Memory comes in pieces of this size, so that the host can back all of it with huge pages.
const GRANULE_MIB: u64 = 2;

/// What the machine of a pod has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VmSize {
    /// Virtual CPUs.
    pub vcpus: u8,
    /// Memory in MiB.
    pub memory_mib: u32,
    /// Of it, the apps' limits.
    limits_mib: u64,
    /// Apps without a memory limit.
    unlimited: usize,
}

impl VmSize {
    /// The size for apps with these limits, and with `pod` for all of them, on a host with this many CPUs. What the pod's own limit
    /// says takes the place of the apps' sum.
    ///
    /// # Errors
    /// When the sum is over [`MAX_MEMORY_MIB`].
    pub(super) fn of(
        limits: impl Iterator<Item = Limits>,
        pod: Limits,
        host_cpus: u32,
    ) -> Result<Self, PlanError> {
        let (mut bytes, mut unlimited, mut cpus) = (0_u64, 0, 0_u32);
        for limit in limits {
            match limit.memory_bytes {
                Some(memory) => bytes = bytes.saturating_add(memory),
                None => unlimited += 1,
            }
            cpus = cpus.saturating_add(limit.cpu_millis.unwrap_or(0).div_ceil(1000));
        }
        if let Some(memory) = pod.memory_bytes {
            (bytes, unlimited) = (memory, 0);
        }
        if let Some(millis) = pod.cpu_millis {
            cpus = millis.div_ceil(1000);
        }
        let limits_mib = bytes.div_ceil(1 << 20);
        let floor = if unlimited > 0 {
            UNLIMITED_MIB
        } else {
            u64::from(MIN_MEMORY_MIB)
        };
        let mib = (limits_mib + OVERHEAD_MIB)
            .max(floor)
            .next_multiple_of(GRANULE_MIB);
        let memory_mib = u32::try_from(mib).ok().filter(|mib| *mib <= MAX_MEMORY_MIB);
        let memory_mib = memory_mib.ok_or(PlanError::Memory {
            mib,
            bound: MAX_MEMORY_MIB,
        })?;
        let most = host_cpus.clamp(1, u32::from(MAX_VCPUS));
        let vcpus = u8::try_from(cpus.clamp(1, most)).expect("at most MAX_VCPUS, a byte");
        Ok(Self {
            vcpus,
            memory_mib,
            limits_mib,
            unlimited,
        })
    }

    /// Whether a machine of this size can do what its apps may ask for, of which the first one is new.
    ///
    /// # Errors
    /// When one may have more CPUs, or all together more memory, than there is.
    pub(super) fn admit(
        &self,
        name: &str,
        limits: impl Iterator<Item = Limits>,
    ) -> Result<(), PlanError> {
        let refuse = |what, wanted, there| {
            let name = name.to_owned();
            Err(PlanError::NoRoom {
                name,
                what,
                wanted,
                there,
            })
        };
        let mut limits = limits.peekable();
        let cpus = limits.peek().and_then(|own| own.cpu_millis).unwrap_or(0);
        if cpus.div_ceil(1000) > u32::from(self.vcpus) {
            let there = format!("{} CPUs", self.vcpus);
            return refuse("its CPU limit is", format!("{cpus}m"), there);
        }
        let bytes = limits.filter_map(|limits| limits.memory_bytes);
        let bytes = bytes.fold(0, u64::saturating_add);
        let there = u64::from(self.memory_mib).saturating_sub(OVERHEAD_MIB);
        if bytes > there << 20 {
            let wanted = format!("{bytes} bytes");
            let there = format!("{there} MiB for them");
            return refuse("the memory limits of the pod's apps are", wanted, there);
        }
        Ok(())
    }
}

impl std::fmt::Display for VmSize {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} vCPU, {} MiB (limits {} MiB + {OVERHEAD_MIB} MiB overhead",
            self.vcpus, self.memory_mib, self.limits_mib
        )?;
        match self.unlimited {
            0 => write!(f, ", at least {MIN_MEMORY_MIB} MiB)"),
            n => write!(
                f,
                ", at least {UNLIMITED_MIB} MiB for {n} apps without a limit)"
            ),
        }
    }
}
