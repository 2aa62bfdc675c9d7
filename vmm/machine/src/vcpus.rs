//! The vCPU threads.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{Builder, JoinHandle};

use bulkhead_kvm::{Exit, Kick, Vcpu};
use bulkhead_protocol::bounded::Text;
use bulkhead_protocol::vmm::ExitReason;

use crate::clock::monotonic_ns;
use crate::shared::Shared;

/// A vCPU's thread carries accesses to devices; none of them recurses or keeps large buffers on the stack.
const STACK_BYTES: usize = 128 << 10;

/// The running vCPUs.
pub struct VcpuThreads {
    threads: Vec<(JoinHandle<()>, Kick)>,
}

impl VcpuThreads {
    /// Starts them all. The first enters the guest, the others wait for its call.
    ///
    /// # Errors
    /// When the host has no threads left.
    pub fn start(vcpus: Vec<Vcpu>, shared: &Arc<Shared>) -> io::Result<Self> {
        let mut threads = Vec::with_capacity(vcpus.len());
        for (index, vcpu) in vcpus.into_iter().enumerate() {
            let kick = vcpu.kick();
            let shared = Arc::clone(shared);
            let thread = Builder::new()
                .name(format!("vcpu{index}"))
                .stack_size(STACK_BYTES)
                .spawn(move || run(vcpu, &shared, index == 0))?;
            threads.push((thread, kick));
        }
        Ok(Self { threads })
    }

    /// Makes every vCPU pass its gate.
    pub fn kick(&self) {
        for (thread, kick) in &self.threads {
            kick.send(thread);
        }
    }

    /// Waits for the threads, whose gate has ended.
    pub fn join(self) {
        self.kick();
        for (thread, _) in self.threads {
            // A panic has ended the process already.
            let _ = thread.join();
        }
    }
}

fn run(mut vcpu: Vcpu, shared: &Shared, first: bool) {
    if first {
        shared.first_run_ns.store(monotonic_ns(), Ordering::Release);
        shared.ring();
    }
    loop {
        let exit = match vcpu.run() {
            Ok(exit) => exit,
            Err(error) => return shared.end(failed(&error)),
        };
        shared.exits.count(exit.kind());
        match exit {
            Exit::PortRead { port, size, data } => {
                for access in data.chunks_mut(size) {
                    shared.buses.ports.read(port, access);
                }
            }
            Exit::PortWrite { port, size, data } => {
                for access in data.chunks(size) {
                    if shared
                        .apply(shared.buses.ports.write(port, access))
                        .is_break()
                    {
                        return;
                    }
                }
            }
            Exit::MmioRead { address, data } => shared.buses.read_memory(address, data),
            Exit::MmioWrite { address, data } => {
                let effect = shared.buses.write_memory(address, data);
                if shared.apply(effect).is_break() {
                    return;
                }
            }
            Exit::Interrupted => {
                // It has nothing of its own to bring to rest.
                if !shared.vcpus.pass(|| {}) {
                    return;
                }
            }
            // KVM waits inside, with its local APICs.
            Exit::Halt => {}
            Exit::TripleFault => return shared.end(ExitReason::TripleFault),
            Exit::InternalError { suberror } => {
                let rip = vcpu.rip();
                return shared.end(ExitReason::KvmInternalError { suberror, rip });
            }
            Exit::EntryFailed { reason } => return shared.end(ExitReason::EntryFailed { reason }),
            Exit::Unexpected { reason } => {
                let message = format!("KVM returned with reason {reason}, which nothing asked for");
                return shared.end(ExitReason::Failed {
                    message: Text::truncated(&message),
                });
            }
        }
    }
}

fn failed(error: &dyn std::error::Error) -> ExitReason {
    ExitReason::Failed {
        message: Text::truncated(&crate::end::chain(error)),
    }
}
