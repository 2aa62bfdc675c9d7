//! A vCPU: set up, run, and stopped from another thread.

use std::sync::Arc;
use std::thread::JoinHandle;

use kvm_bindings::{
    CpuId, KVM_CAP_ENFORCE_PV_FEATURE_CPUID, Msrs, kvm_cpuid_entry2, kvm_dtable, kvm_enable_cap,
    kvm_msr_entry, kvm_regs, kvm_segment,
};
use kvm_ioctls::{VcpuExit, VcpuFd};
use vmm_sys_util::signal::{Killable, SIGRTMIN, register_signal_handler};

use crate::run_page::RunPage;
use crate::{Error, Exit, Vm};

/// The state in which a 64-bit kernel is entered (`Documentation/arch/x86/boot.rst`, 64-bit boot protocol). The tables
/// that the registers point to are the caller's to write.
#[derive(Debug, Clone, Copy)]
pub struct LongModeEntry {
    /// First instruction.
    pub rip: u64,
    /// `struct boot_params`.
    pub rsi: u64,
    /// Top-level page table; identity-mapped.
    pub cr3: u64,
    /// Descriptor table with code at selector 0x10 and data at 0x18.
    pub gdt_address: u64,
    /// Last byte of the descriptor table, counted from its first.
    pub gdt_limit: u16,
}

/// Selector of the flat 64-bit code segment (`__BOOT_CS`).
pub const CODE_SELECTOR: u16 = 0x10;
/// Selector of the flat data segment (`__BOOT_DS`).
pub const DATA_SELECTOR: u16 = 0x18;

const CR0_PE: u64 = 1;
const CR0_ET: u64 = 1 << 4;
const CR0_PG: u64 = 1 << 31;
const CR4_PAE: u64 = 1 << 5;
const EFER_LME: u64 = 1 << 8;
const EFER_LMA: u64 = 1 << 10;
/// Bit 1 is always set; interrupts are off.
const RFLAGS: u64 = 2;

/// One vCPU. Lives on the thread that runs it.
#[derive(Debug)]
pub struct Vcpu {
    pub(crate) fd: VcpuFd,
    pub(crate) saved_msrs: Arc<[u32]>,
    page: Arc<RunPage>,
}

impl Vcpu {
    /// Creates vCPU `index`. All but the first wait for the guest's start-up IPI inside [`Vcpu::run`].
    ///
    /// # Errors
    /// When KVM refuses.
    pub fn new(vm: &Vm, index: u8) -> Result<Self, Error> {
        let fd = vm
            .fd
            .create_vcpu(index.into())
            .map_err(Error::ioctl("KVM_CREATE_VCPU"))?;
        let page = RunPage::map(&fd).map_err(|source| Error::Ioctl {
            ioctl: "mmap of the vCPU",
            source: source.into(),
        })?;
        Ok(Self {
            fd,
            saved_msrs: Arc::clone(&vm.saved_msrs),
            page: Arc::new(page),
        })
    }

    /// Gives the vCPU its CPUID, from [`crate::cpuid::cpuid`]. Before the first run. Paravirtual features that it does
    /// not show do not exist for the guest (where KVM can hide them, Linux 5.10).
    ///
    /// # Errors
    /// When KVM refuses.
    pub fn set_cpuid(&self, entries: &[kvm_cpuid_entry2]) -> Result<(), Error> {
        let mut enforce = kvm_enable_cap {
            cap: KVM_CAP_ENFORCE_PV_FEATURE_CPUID,
            ..Default::default()
        };
        enforce.args[0] = 1;
        // Older kernels answer EINVAL; their guests are only told.
        let _ = self.fd.enable_cap(&enforce);
        let entries = CpuId::from_entries(entries).map_err(|_| Error::State {
            what: format!("{} CPUID entries are more than KVM takes", entries.len()),
        })?;
        self.fd
            .set_cpuid2(&entries)
            .map_err(Error::ioctl("KVM_SET_CPUID2"))
    }

    /// Writes MSRs.
    ///
    /// # Errors
    /// When KVM refuses one; the text names it.
    pub fn set_msrs(&self, entries: &[kvm_msr_entry]) -> Result<(), Error> {
        let msrs = Msrs::from_entries(entries).map_err(|_| Error::State {
            what: format!("{} MSRs are more than KVM takes", entries.len()),
        })?;
        let written = self
            .fd
            .set_msrs(&msrs)
            .map_err(Error::ioctl("KVM_SET_MSRS"))?;
        match entries.get(written) {
            None => Ok(()),
            Some(refused) => Err(Error::State {
                what: format!("KVM refuses MSR {:#x} = {:#x}", refused.index, refused.data),
            }),
        }
    }

    /// Puts the vCPU before the first instruction of a 64-bit kernel.
    ///
    /// # Errors
    /// When KVM refuses.
    pub fn enter_long_mode(&self, entry: LongModeEntry) -> Result<(), Error> {
        let mut sregs = self.fd.get_sregs().map_err(Error::ioctl("KVM_GET_SREGS"))?;
        let data = flat_segment(DATA_SELECTOR, DATA_TYPE);
        sregs.cs = kvm_segment {
            l: 1,
            db: 0,
            ..flat_segment(CODE_SELECTOR, CODE_TYPE)
        };
        (sregs.ds, sregs.es, sregs.fs) = (data, data, data);
        (sregs.gs, sregs.ss) = (data, data);
        sregs.gdt = kvm_dtable {
            base: entry.gdt_address,
            limit: entry.gdt_limit,
            ..Default::default()
        };
        // An empty table: until the kernel has its own, a fault is a triple fault.
        sregs.idt = kvm_dtable::default();
        sregs.cr0 = CR0_PE | CR0_ET | CR0_PG;
        sregs.cr3 = entry.cr3;
        sregs.cr4 = CR4_PAE;
        sregs.efer = EFER_LME | EFER_LMA;
        self.fd
            .set_sregs(&sregs)
            .map_err(Error::ioctl("KVM_SET_SREGS"))?;
        let regs = kvm_regs {
            rip: entry.rip,
            rsi: entry.rsi,
            rflags: RFLAGS,
            ..Default::default()
        };
        self.fd
            .set_regs(&regs)
            .map_err(Error::ioctl("KVM_SET_REGS"))
    }

    /// Runs guest code until somebody has to answer.
    ///
    /// # Errors
    /// When KVM cannot run the vCPU at all; the guest cannot cause it.
    pub fn run(&mut self) -> Result<Exit<'_>, Error> {
        let exit = match self.fd.run() {
            Ok(exit) => exit,
            // EAGAIN: a vCPU that waits for its start-up IPI was woken for something else.
            Err(error) if [libc::EINTR, libc::EAGAIN].contains(&error.errno()) => {
                self.page.set_immediate_exit(false);
                return Ok(Exit::Interrupted);
            }
            Err(error) => return Err(Error::ioctl("KVM_RUN")(error)),
        };
        let size = || usize::from(self.page.io_size()).max(1);
        Ok(match exit {
            VcpuExit::IoIn(port, data) => Exit::PortRead {
                port,
                size: size(),
                data,
            },
            VcpuExit::IoOut(port, data) => Exit::PortWrite {
                port,
                size: size(),
                data,
            },
            VcpuExit::MmioRead(address, data) => Exit::MmioRead { address, data },
            VcpuExit::MmioWrite(address, data) => Exit::MmioWrite { address, data },
            VcpuExit::Hlt => Exit::Halt,
            VcpuExit::Shutdown => Exit::TripleFault,
            VcpuExit::InternalError => Exit::InternalError {
                suberror: self.page.suberror(),
            },
            VcpuExit::FailEntry(reason, _cpu) => Exit::EntryFailed { reason },
            VcpuExit::Intr => Exit::Interrupted,
            VcpuExit::Unsupported(reason) => Exit::Unexpected { reason },
            _ => Exit::Unexpected { reason: u32::MAX },
        })
    }

    /// The guest's instruction pointer, for reports; 0 when KVM does not say.
    pub fn rip(&self) -> u64 {
        self.fd.get_regs().map_or(0, |regs| regs.rip)
    }

    /// The means to stop this vCPU from another thread.
    pub fn kick(&self) -> Kick {
        Kick {
            page: Arc::clone(&self.page),
        }
    }
}

/// Execute, read, accessed.
const CODE_TYPE: u8 = 11;
/// Read, write, accessed.
const DATA_TYPE: u8 = 3;

fn flat_segment(selector: u16, kind: u8) -> kvm_segment {
    kvm_segment {
        base: 0,
        limit: u32::MAX,
        selector,
        type_: kind,
        present: 1,
        dpl: 0,
        db: 1,
        s: 1,
        l: 0,
        g: 1,
        avl: 0,
        unusable: 0,
        padding: 0,
    }
}

/// Makes a vCPU return [`Exit::Interrupted`] soon, whether it is in the guest, about to enter, or blocked in a halt.
///
/// Say what you want of the vCPU's thread before you kick: it clears the kick, then looks.
#[derive(Debug, Clone)]
pub struct Kick {
    page: Arc<RunPage>,
}

impl Kick {
    /// Kicks the vCPU that `thread` runs. [`install_kick_handler`] must have been called. A thread that has ended is no
    /// error.
    pub fn send<T>(&self, thread: &JoinHandle<T>) {
        self.page.set_immediate_exit(true);
        // It can only fail for a thread that is gone.
        let _ = thread.kill(kick_signal());
    }
}

fn kick_signal() -> i32 {
    SIGRTMIN()
}

/// Installs the handler, which does nothing, of the signal that takes a vCPU out of the guest.
///
/// # Errors
/// When the kernel refuses.
pub fn install_kick_handler() -> Result<(), Error> {
    register_signal_handler(kick_signal(), ignore).map_err(Error::ioctl("sigaction"))
}

extern "C" fn ignore(_signal: i32, _info: *mut libc::siginfo_t, _context: *mut std::ffi::c_void) {}

#[cfg(test)]
#[path = "vcpu_test.rs"]
pub(crate) mod tests;
