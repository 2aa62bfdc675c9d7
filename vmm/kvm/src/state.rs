//! What a stopped VM consists of besides its memory, as plain bounded data: no descriptor, path or pointer.
//!
//! Saved values come back from files that are not trusted: a wrong one is refused by KVM or changes only the guest.

use kvm_bindings::{
    KVM_MAX_CPUID_ENTRIES, Msrs, kvm_clock_data, kvm_cpuid_entry2, kvm_debugregs, kvm_lapic_state,
    kvm_mp_state, kvm_msr_entry, kvm_regs, kvm_sregs, kvm_vcpu_events, kvm_xcrs, kvm_xsave,
};
use serde::{Deserialize, Serialize};

use crate::{Error, Vcpu, Vm};

/// MSRs of one vCPU, at most; KVM lists about a hundred that [`crate::msr::is_saved`].
pub const MAX_SAVED_MSRS: usize = 512;

/// What belongs to the VM and to none of its vCPUs.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct VmState {
    clock: kvm_clock_data,
}

/// One vCPU.
#[derive(Debug, Serialize, Deserialize)]
pub struct VcpuState {
    cpuid: Vec<kvm_cpuid_entry2>,
    mp_state: kvm_mp_state,
    regs: kvm_regs,
    sregs: kvm_sregs,
    xsave: kvm_xsave,
    xcrs: kvm_xcrs,
    debug_regs: kvm_debugregs,
    lapic: kvm_lapic_state,
    msrs: Vec<kvm_msr_entry>,
    events: kvm_vcpu_events,
}

impl Vm {
    /// Saves the guest's clock. The vCPUs must stand still.
    ///
    /// # Errors
    /// When KVM refuses.
    pub fn save(&self) -> Result<VmState, Error> {
        let clock = self.fd.get_clock().map_err(Error::ioctl("KVM_GET_CLOCK"))?;
        Ok(VmState { clock })
    }

    /// Puts a saved clock into a new VM: it goes on from its own value, whatever the host's did in between.
    ///
    /// # Errors
    /// When KVM refuses it.
    pub fn restore(&self, state: &VmState) -> Result<(), Error> {
        let clock = kvm_clock_data {
            clock: state.clock.clock,
            ..Default::default()
        };
        self.fd
            .set_clock(&clock)
            .map_err(Error::ioctl("KVM_SET_CLOCK"))
    }
}

impl Vcpu {
    /// Saves everything of this vCPU. It must have been out of the guest by [`crate::Exit::Interrupted`], so that no
    /// port or memory access is half done.
    ///
    /// # Errors
    /// When KVM refuses.
    pub fn save(&self) -> Result<VcpuState, Error> {
        let fd = &self.fd;
        // First, for KVM may finish pending work with it; events last, for reading other state may change them.
        let mp_state = fd
            .get_mp_state()
            .map_err(Error::ioctl("KVM_GET_MP_STATE"))?;
        let cpuid = fd
            .get_cpuid2(KVM_MAX_CPUID_ENTRIES)
            .map_err(Error::ioctl("KVM_GET_CPUID2"))?;
        Ok(VcpuState {
            cpuid: cpuid.as_slice().to_vec(),
            mp_state,
            regs: fd.get_regs().map_err(Error::ioctl("KVM_GET_REGS"))?,
            sregs: fd.get_sregs().map_err(Error::ioctl("KVM_GET_SREGS"))?,
            xsave: fd.get_xsave().map_err(Error::ioctl("KVM_GET_XSAVE"))?,
            xcrs: fd.get_xcrs().map_err(Error::ioctl("KVM_GET_XCRS"))?,
            debug_regs: fd
                .get_debug_regs()
                .map_err(Error::ioctl("KVM_GET_DEBUGREGS"))?,
            lapic: fd.get_lapic().map_err(Error::ioctl("KVM_GET_LAPIC"))?,
            msrs: self.read_msrs()?,
            events: fd
                .get_vcpu_events()
                .map_err(Error::ioctl("KVM_GET_VCPU_EVENTS"))?,
        })
    }

    /// Puts a saved state into a new vCPU of the same index.
    ///
    /// # Errors
    /// When it is over a bound, or KVM refuses it: another CPU model, a value that no CPU takes.
    pub fn restore(&self, state: &VcpuState) -> Result<(), Error> {
        check_count("CPUID entries", state.cpuid.len(), KVM_MAX_CPUID_ENTRIES)?;
        check_count("MSRs", state.msrs.len(), MAX_SAVED_MSRS)?;
        let fd = &self.fd;
        self.set_cpuid(&state.cpuid)?;
        fd.set_mp_state(state.mp_state)
            .map_err(Error::ioctl("KVM_SET_MP_STATE"))?;
        fd.set_regs(&state.regs)
            .map_err(Error::ioctl("KVM_SET_REGS"))?;
        fd.set_sregs(&state.sregs)
            .map_err(Error::ioctl("KVM_SET_SREGS"))?;
        // XCRs before the registers that they enable.
        fd.set_xcrs(&state.xcrs)
            .map_err(Error::ioctl("KVM_SET_XCRS"))?;
        self.set_xsave(&state.xsave)?;
        fd.set_debug_regs(&state.debug_regs)
            .map_err(Error::ioctl("KVM_SET_DEBUGREGS"))?;
        // After the APIC base in `sregs`; before the MSRs, for the TSC deadline needs the timer's mode.
        fd.set_lapic(&state.lapic)
            .map_err(Error::ioctl("KVM_SET_LAPIC"))?;
        self.set_msrs(&state.msrs)?;
        fd.set_vcpu_events(&state.events)
            .map_err(Error::ioctl("KVM_SET_VCPU_EVENTS"))
    }

    fn set_xsave(&self, xsave: &kvm_xsave) -> Result<(), Error> {
        // SAFETY: KVM reads more than the structure's 4096 bytes only for a process that asked for dynamic XSAVE
        // features (AMX) by arch_prctl; this one never does, and CPUID does not show them.
        unsafe { self.fd.set_xsave(xsave) }.map_err(Error::ioctl("KVM_SET_XSAVE"))
    }

    /// Reads every saved MSR; those that this vCPU does not have are left out.
    fn read_msrs(&self) -> Result<Vec<kvm_msr_entry>, Error> {
        let mut saved = Vec::with_capacity(self.saved_msrs.len());
        let mut rest = &self.saved_msrs[..];
        while !rest.is_empty() {
            let wanted: Vec<_> = rest
                .iter()
                .map(|index| kvm_msr_entry {
                    index: *index,
                    ..Default::default()
                })
                .collect();
            let mut msrs = Msrs::from_entries(&wanted).map_err(|_| Error::State {
                what: format!("{} MSRs are more than KVM takes", wanted.len()),
            })?;
            let read = self
                .fd
                .get_msrs(&mut msrs)
                .map_err(Error::ioctl("KVM_GET_MSRS"))?;
            saved.extend_from_slice(&msrs.as_slice()[..read]);
            // KVM stops at the first that it cannot read: go on behind it.
            rest = rest.get(read + 1..).unwrap_or_default();
        }
        Ok(saved)
    }
}

fn check_count(what: &str, count: usize, bound: usize) -> Result<(), Error> {
    if count <= bound {
        return Ok(());
    }
    Err(Error::State {
        what: format!("{count} {what}, more than {bound}"),
    })
}

#[cfg(test)]
#[path = "state_test.rs"]
mod tests;
