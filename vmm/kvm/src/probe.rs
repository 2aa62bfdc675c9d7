//! Can this machine's KVM run guest code in hardware?
//!
//! `/dev/kvm` proves nothing: a kernel can offer it without VT-x or AMD-V behind it. Such a KVM
//! creates VMs and then interprets their code, at about a million instructions a second and with
//! hardly any SSE, so Linux cannot boot. The only reliable test is to run a few instructions, one
//! of them SSE arithmetic: interpreters know SSE moves, and stop at `PADDD`.

#![allow(unsafe_code)] // one memory slot; see the SAFETY comment

use std::sync::mpsc;
use std::time::Duration;

use kvm_bindings::{kvm_segment, kvm_userspace_memory_region};
use kvm_ioctls::{Kvm, VcpuExit, VcpuFd, VmFd};
use libc::{c_int, c_void, siginfo_t};
use vm_memory::{Bytes, GuestAddress, GuestMemoryBackend, GuestMemoryMmap, MemoryRegionAddress};
use vm_memory::{GuestMemoryRegion, GuestRegionMmap};
use vmm_sys_util::signal::{Killable, SIGRTMIN, register_signal_handler};

/// What the machine's KVM turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Guest code runs in hardware (a nested hypervisor counts as hardware).
    Hardware,
    /// KVM answers, but interprets guest code; the evidence is what it did with the test program.
    Emulated {
        /// What happened instead of the expected result.
        evidence: String,
    },
    /// KVM cannot be used at all.
    Unusable {
        /// The step that failed and why.
        error: String,
    },
}

/// The test program ends within microseconds in hardware, and within milliseconds on a nested
/// hypervisor whose own processor is software on a loaded machine.
const TIME_LIMIT: Duration = Duration::from_secs(10);

/// Time between two attempts to interrupt a vCPU that did not end in time.
const KICK_INTERVAL: Duration = Duration::from_millis(10);

const CODE_ADDRESS: u64 = 0x1000;
const MEMORY_SIZE: usize = 0x2000;

/// Port that the program reports its result to.
const RESULT_PORT: u16 = 0xf4;
/// Value that comes back when the SSE arithmetic was right.
const RESULT: u32 = 0x5a5a_1234;

/// 32-bit protected mode without paging, so that processors which need KVM's help for real mode
/// run it in hardware too.
const PROGRAM: [u8; 24] = [
    0xb8, 0x34, 0x12, 0x5a, 0x5a, // mov eax, RESULT
    0x66, 0x0f, 0x6e, 0xc0, // movd xmm0, eax
    0x66, 0x0f, 0xef, 0xc9, // pxor xmm1, xmm1
    0x66, 0x0f, 0xfe, 0xc8, // paddd xmm1, xmm0
    0x66, 0x0f, 0x7e, 0xc8, // movd eax, xmm1
    0xe7, 0xf4, // out RESULT_PORT, eax
    0xf4, // hlt
];

/// Runs the test program on `/dev/kvm`.
///
/// Takes over the first real-time signal of the process, to interrupt a program that does not end.
#[must_use]
pub fn probe() -> Verdict {
    match Machine::new() {
        Ok(machine) => machine.run_within(TIME_LIMIT),
        Err(error) => Verdict::Unusable { error },
    }
}

/// A VM with one vCPU that is about to run [`PROGRAM`].
struct Machine {
    // Dropped in this order: the vCPU and the VM before the memory that they use.
    vcpu: VcpuFd,
    _vm: VmFd,
    _memory: GuestMemoryMmap,
}

impl Machine {
    fn new() -> Result<Self, String> {
        let step = |what: &'static str| move |e| format!("{what}: {e}");
        let kvm = Kvm::new().map_err(step("open /dev/kvm"))?;
        let vm = kvm.create_vm().map_err(step("KVM_CREATE_VM"))?;
        // Some Intel processors need this address to run without paging; it is unused otherwise.
        vm.set_tss_address(0xfffb_d000)
            .map_err(step("KVM_SET_TSS_ADDR"))?;
        let memory = program_memory()?;
        map(&vm, &memory)?;
        let vcpu = vm.create_vcpu(0).map_err(step("KVM_CREATE_VCPU"))?;
        enter_protected_mode(&vcpu)?;
        Ok(Self {
            vcpu,
            _vm: vm,
            _memory: memory,
        })
    }

    fn run_within(self, limit: Duration) -> Verdict {
        if let Err(e) = register_signal_handler(SIGRTMIN(), ignore_signal) {
            return unusable(format!("install the signal handler of the time limit: {e}"));
        }
        let (ended, end) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            let mut machine = self;
            // The receiver stays until this thread has been joined.
            let _ = ended.send(machine.run());
        });
        let verdict = match end.recv_timeout(limit) {
            Ok(verdict) => verdict,
            Err(_) => {
                while !thread.is_finished() {
                    // A failed kill means that the thread has just ended.
                    let _ = thread.kill(SIGRTMIN());
                    std::thread::sleep(KICK_INTERVAL);
                }
                emulated(format!("a dozen instructions took more than {limit:?}"))
            }
        };
        if thread.join().is_err() {
            return unusable("the thread of the test program panicked".to_owned());
        }
        verdict
    }

    fn run(&mut self) -> Verdict {
        match self.vcpu.run() {
            Ok(VcpuExit::IoOut(RESULT_PORT, data)) if data == RESULT.to_le_bytes() => {
                Verdict::Hardware
            }
            Ok(VcpuExit::IoOut(port, data)) => {
                emulated(format!("wrong result {data:02x?} on port {port:#x}"))
            }
            Ok(VcpuExit::InternalError) => {
                emulated("KVM stopped at an SSE instruction (KVM_EXIT_INTERNAL_ERROR)".to_owned())
            }
            Ok(VcpuExit::FailEntry(reason, _)) => unusable(format!(
                "the processor refused the guest: reason {reason:#x}"
            )),
            Ok(exit) => emulated(format!("unexpected exit {exit:?}")),
            Err(e) => unusable(format!("KVM_RUN: {e}")),
        }
    }
}

/// Only interrupts `KVM_RUN`.
extern "C" fn ignore_signal(_: c_int, _: *mut siginfo_t, _: *mut c_void) {}

fn emulated(evidence: String) -> Verdict {
    Verdict::Emulated { evidence }
}

fn unusable(error: String) -> Verdict {
    Verdict::Unusable { error }
}

fn program_memory() -> Result<GuestMemoryMmap, String> {
    let memory = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), MEMORY_SIZE)])
        .map_err(|e| format!("map {MEMORY_SIZE} bytes of guest memory: {e}"))?;
    memory
        .write_slice(&PROGRAM, GuestAddress(CODE_ADDRESS))
        .map_err(|e| format!("write the test program: {e}"))?;
    Ok(memory)
}

fn map(vm: &VmFd, memory: &GuestMemoryMmap) -> Result<(), String> {
    let region: &GuestRegionMmap = memory
        .find_region(GuestAddress(0))
        .ok_or("guest memory has no region at address 0")?;
    let host = region
        .get_host_address(MemoryRegionAddress(0))
        .map_err(|e| format!("host address of guest memory: {e}"))?;
    let slot = kvm_userspace_memory_region {
        slot: 0,
        flags: 0,
        guest_phys_addr: 0,
        memory_size: region.len(),
        userspace_addr: host as u64,
    };
    // SAFETY: `host` maps `region.len()` bytes, and `Machine` drops the VM before the memory.
    unsafe { vm.set_user_memory_region(slot) }
        .map_err(|e| format!("KVM_SET_USER_MEMORY_REGION: {e}"))
}

fn enter_protected_mode(vcpu: &VcpuFd) -> Result<(), String> {
    const CR0_PE: u64 = 1;
    const CR0_ET: u64 = 1 << 4;
    /// SSE instructions are allowed (OSFXSR) and have their own exception (OSXMMEXCPT).
    const CR4_SSE: u64 = 0b11 << 9;

    let mut sregs = vcpu
        .get_sregs()
        .map_err(|e| format!("KVM_GET_SREGS: {e}"))?;
    sregs.cs = flat_segment(0x08, 0b1011);
    for segment in [
        &mut sregs.ds,
        &mut sregs.es,
        &mut sregs.fs,
        &mut sregs.gs,
        &mut sregs.ss,
    ] {
        *segment = flat_segment(0x10, 0b0011);
    }
    sregs.cr0 = CR0_PE | CR0_ET;
    sregs.cr4 = CR4_SSE;
    vcpu.set_sregs(&sregs)
        .map_err(|e| format!("KVM_SET_SREGS: {e}"))?;

    let mut regs = vcpu.get_regs().map_err(|e| format!("KVM_GET_REGS: {e}"))?;
    regs.rip = CODE_ADDRESS;
    regs.rflags = 0x2; // the one bit that is always set
    vcpu.set_regs(&regs)
        .map_err(|e| format!("KVM_SET_REGS: {e}"))
}

/// A 4 GiB segment at base 0, ring 0, 32 bit, of the given descriptor type.
fn flat_segment(selector: u16, type_: u8) -> kvm_segment {
    kvm_segment {
        base: 0,
        limit: u32::MAX,
        selector,
        type_,
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

#[cfg(test)]
#[path = "probe_test.rs"]
mod tests;
