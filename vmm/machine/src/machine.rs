//! From a specification to a running machine.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::thread::{self, Builder};

use bulkhead_devices::virtio::{Blk, Slot};
use bulkhead_devices::{ConsoleRing, GuestMemory};
use bulkhead_kvm::memory::{self, GuestRam, Sharing};
use bulkhead_kvm::{Event, Kvm, Vcpu, VcpuStats, Vm, cpuid, msr, vcpu};
use bulkhead_protocol::vmm::{MachineSpec, StartTimes};

use crate::boot::{self, BootError, BootSpec};
use crate::clock::monotonic_ns;
use crate::control::Control;
use crate::devices::{self, Buses, Devices, DevicesError, DevicesSpec, Line, Share};
use crate::disk_worker::DiskWorker;
use crate::event_loop::{EventLoop, Parts};
use crate::gate::Gate;
use crate::interrupts::Interrupts;
use crate::layout;
use crate::loop_devices::LoopDevices;
use crate::mailbox::Mailbox;
use crate::served_share::ServedShare;
use crate::share_worker::ShareWorker;
use crate::shared::Shared;
use crate::spec::Files;
use crate::vcpus::VcpuThreads;
use crate::vhost_user::ANSWER_LIMIT;

/// A machine that cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// KVM refuses.
    #[error(transparent)]
    Kvm(#[from] bulkhead_kvm::Error),
    /// The guest cannot be booted.
    #[error(transparent)]
    Boot(#[from] BootError),
    /// A device cannot be made.
    #[error(transparent)]
    Devices(#[from] DevicesError),
    /// The host has no descriptors or threads left.
    #[error("the host is out of descriptors or threads")]
    Host(#[from] io::Error),
}

/// Small, for a stack of 2 MiB may be given a huge page.
const LOADER_STACK_BYTES: usize = 128 << 10;

/// Builds the machine and starts its vCPUs. `ring` gets what the guest prints early.
///
/// KVM's part (create the VM, its vCPUs, its events) runs beside the load of the kernel: neither needs the
/// other.
///
/// # Errors
/// When a file, KVM or the host does not allow it. The process is then of no more use: its vCPUs may run.
pub fn start(
    spec: &MachineSpec,
    files: Files,
    control: Arc<Control>,
    ring: Arc<ConsoleRing>,
    process_start_ns: u64,
) -> Result<EventLoop, BuildError> {
    vcpu::install_kick_handler()?;
    let bytes = u64::from(spec.memory_mib) << 20;
    let sharing = if spec.shares.is_empty() {
        Sharing::Private
    } else {
        Sharing::File
    };
    let ram = memory::allocate(&layout::ram(bytes), sharing)?;
    let devices_spec = DevicesSpec {
        disks: &spec.disks,
        shares: &spec.shares,
        files: &files.others,
        vsock_cid: spec.vsock_cid,
        debug_console: spec.debug_console,
    };
    let boot_spec = BootSpec {
        kernel: &files.kernel,
        initramfs: files.initramfs.as_ref(),
        command_line: &spec.command_line,
        cpus: spec.vcpus,
        memory: bytes,
        devices: devices::count(spec.disks.len(), spec.shares.len()),
    };
    let plan = boot::plan(&boot_spec)?;
    let kvm = files.kvm;
    let (made, loaded) = thread::scope(|scope| {
        // The load has its own thread, for it is KVM that sleeps: so one CPU is enough to do both at once.
        let loader = Builder::new()
            .name("loader".to_owned())
            .stack_size(LOADER_STACK_BYTES)
            .spawn_scoped(scope, || {
                plan.write_boot_data(&ram).and_then(|()| plan.copy(&ram))
            })?;
        let made = make_vm(kvm, &ram, spec.vcpus, &devices_spec, ring);
        let helped = plan.copy(&ram);
        let loaded = loader.join().expect("a panic has ended the process");
        Ok::<_, BuildError>((made, loaded.and(helped)))
    })?;
    let kernel_loaded_ns = monotonic_ns();
    loaded?;
    let made = made?;
    if let Some(first) = made.vcpus.first() {
        first.enter_long_mode(plan.entry())?;
    }
    let times = StartTimes {
        process_start_ns,
        vm_created_ns: made.created_ns,
        kernel_loaded_ns,
        first_run_ns: 0,
    };
    run(made, control, times)
}

/// A VM with all that KVM knows of the machine.
struct Made {
    memory: GuestMemory,
    interrupts: Arc<Interrupts>,
    buses: Buses,
    devices: Devices,
    lines: Vec<Line>,
    vcpus: Vec<Vcpu>,
    stats: Vec<VcpuStats>,
    created_ns: u64,
}

fn make_vm(
    kvm: File,
    ram: &GuestRam,
    count: u8,
    devices: &DevicesSpec<'_>,
    ring: Arc<ConsoleRing>,
) -> Result<Made, BuildError> {
    let kvm = Kvm::from_fd(kvm.into())?;
    let vm = Vm::new(&kvm, ram)?;
    let created_ns = monotonic_ns();
    let host = kvm.host_cpu()?;
    let mut vcpus = Vec::with_capacity(count.into());
    let mut stats = Vec::with_capacity(count.into());
    for index in 0..count {
        let vcpu = Vcpu::new(&vm, index)?;
        vcpu.set_cpuid(&cpuid::cpuid(&host, cpuid::Topology { index, count }))?;
        vcpu.set_msrs(&msr::boot_msrs())?;
        stats.extend(VcpuStats::open(&vcpu));
        vcpus.push(vcpu);
    }
    let interrupts = Arc::new(Interrupts::new(vm, devices::interrupt_lines(devices)));
    let (buses, devices, lines) = devices::build(devices, ram, &interrupts, ring)?;
    Ok(Made {
        memory: ram.memory().clone(),
        interrupts,
        buses,
        devices,
        lines,
        vcpus,
        stats,
        created_ns,
    })
}

/// Gives every device to its thread and starts them.
fn run(made: Made, control: Arc<Control>, times: StartTimes) -> Result<EventLoop, BuildError> {
    let wake = Arc::new(Event::new()?);
    let mailbox = Arc::new(Mailbox::new()?);
    let mut owners = Vec::new();
    let mut slots = Vec::new();
    let (mut loop_disks, mut worker_disks) = (Vec::new(), Vec::new());
    for (slot, disk, own_thread) in made.devices.disks {
        slots.push(slot);
        if own_thread {
            let own = Arc::new(Mailbox::new()?);
            owners.push(Arc::clone(&own));
            worker_disks.push((slot, disk, own));
        } else {
            owners.push(Arc::clone(&mailbox));
            loop_disks.push((slot, disk));
        }
    }
    // Vsock, rng and balloon.
    owners.extend(std::iter::repeat_n(&mailbox, 3).cloned());
    let mut share_mailboxes = Vec::new();
    for _ in &made.devices.shares {
        let own = Arc::new(Mailbox::new()?);
        owners.push(Arc::clone(&own));
        share_mailboxes.push(own);
    }
    let vcpu_gate = Gate::new(made.vcpus.len(), Arc::clone(&wake));
    let worker_gate = Gate::new(
        worker_disks.len() + share_mailboxes.len(),
        Arc::clone(&wake),
    );
    let shared = Arc::new(Shared::new(
        made.buses,
        owners,
        made.lines,
        vcpu_gate,
        worker_gate,
        wake,
    ));
    start_workers(
        worker_disks,
        made.devices.shares.into_iter().zip(share_mailboxes),
        &made.memory,
        &shared,
    )?;
    let loop_devices = LoopDevices::new(
        loop_disks,
        made.devices.vsock,
        made.devices.rng,
        made.devices.balloon,
    )?;
    let vcpus = VcpuThreads::start(made.vcpus, &shared)?;
    // Each takes KVM a grace period, and the guest needs a while to its first notification. One that comes
    // earlier is an exit like any other, and reaches the same bell.
    for line in &shared.lines {
        line.register(made.interrupts.vm())?;
    }
    Ok(EventLoop::new(Parts {
        shared,
        control,
        mailbox,
        devices: loop_devices,
        vcpus,
        disks: slots,
        times,
        stats: made.stats,
    })?)
}

/// The threads of the devices that wait for slow files or other processes.
fn start_workers(
    disks: Vec<(Slot, Blk, Arc<Mailbox>)>,
    shares: impl Iterator<Item = (Share, Arc<Mailbox>)>,
    memory: &GuestMemory,
    shared: &Arc<Shared>,
) -> io::Result<()> {
    for (slot, disk, mailbox) in disks {
        let queue = Arc::clone(&shared.lines[usize::from(slot.0)].queues[0]);
        let worker = DiskWorker {
            slot,
            disk,
            mailbox,
            queue,
        };
        worker.start(shared)?;
    }
    for (share, mailbox) in shares {
        let slot = share.slot;
        let kicks = shared.lines[usize::from(slot.0)].queues.clone();
        let share = ServedShare::new(share, memory.clone(), kicks, ANSWER_LIMIT)?;
        let worker = ShareWorker {
            slot,
            share,
            mailbox,
        };
        worker.start(shared)?;
    }
    Ok(())
}
