//! Boots a kernel with an initramfs and disks, shows its early console, and answers its vsock connections by echo.
//!
//! For work on kernel, agent and VMM below the stage1: `cargo run --example boot -- KERNEL INITRAMFS --disk FILE:ro`.

use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};

use bulkhead_machine::clock::monotonic_ns;
use bulkhead_protocol::bounded::{List, Text};
use bulkhead_protocol::frame;
use bulkhead_protocol::vmm::{
    DiskSpec, Extent, FdIndex, FromVmm, MAX_FDS, MAX_PACKET, MachineSpec, ToVmm,
};
use clap::Parser;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
};

#[derive(Parser)]
struct Arguments {
    kernel: PathBuf,
    initramfs: Option<PathBuf>,
    #[arg(
        long,
        default_value = "earlyprintk=serial,ttyS0,115200 reboot=k panic=-1 tsc=reliable"
    )]
    cmdline: String,
    /// MiB.
    #[arg(long, default_value_t = 128)]
    mem: u32,
    #[arg(long, default_value_t = 1)]
    cpus: u8,
    /// FILE or FILE:ro, its length a multiple of 4096.
    #[arg(long)]
    disk: Vec<String>,
    /// Keep the early console for the end.
    #[arg(long)]
    quiet: bool,
    /// Stop the machine when it has started.
    #[arg(long)]
    stop_at_start: bool,
    /// Ask for statistics with every connection.
    #[arg(long)]
    stats: bool,
    /// The VMM; the one beside this program by default.
    #[arg(long)]
    vmm: Option<PathBuf>,
}

fn main() -> io::Result<ExitCode> {
    let arguments = Arguments::parse();
    let (spec, files) = specification(&arguments)?;
    let (ours, theirs) = rustix::net::socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )?;
    let descriptors: Vec<_> = files.iter().map(AsFd::as_fd).collect();
    send(&ours, &ToVmm::Machine(spec), &descriptors)?;
    let spawned_ns = monotonic_ns();
    let mut child = spawn(&arguments, theirs)?;
    while let Some((message, descriptor)) = receive(&ours)? {
        match message {
            FromVmm::Connection { port } => {
                let elapsed = monotonic_ns().saturating_sub(spawned_ns) / 1000;
                println!("boot: connection to port {port}, {elapsed} us after the VMM was spawned");
                if arguments.stats {
                    send(&ours, &ToVmm::Stats, &[])?;
                }
                if let Some(stream) = descriptor {
                    std::thread::spawn(move || echo(port, UnixStream::from(stream)));
                }
            }
            FromVmm::Started(times) => {
                let since = |ns: u64| ns.saturating_sub(times.process_start_ns) / 1000;
                println!(
                    "boot: VM created {} us, kernel loaded {} us, first run {} us after main",
                    since(times.vm_created_ns),
                    since(times.kernel_loaded_ns),
                    since(times.first_run_ns)
                );
                if arguments.stop_at_start {
                    send(&ours, &ToVmm::Stats, &[])?;
                    send(&ours, &ToVmm::Stop, &[])?;
                }
            }
            FromVmm::Exited { reason, console } => {
                if arguments.quiet {
                    io::stdout().write_all(&console)?;
                }
                println!("boot: {reason}");
            }
            FromVmm::Stats(counters) => {
                for counter in counters.iter().filter(|counter| counter.value > 0) {
                    println!("boot: {} {}", counter.name, counter.value);
                }
            }
            other => println!("boot: {other:?}"),
        }
    }
    let status = child.wait()?;
    println!("boot: vmm ended with {status}");
    Ok(ExitCode::SUCCESS)
}

fn specification(arguments: &Arguments) -> io::Result<(MachineSpec, Vec<OwnedFd>)> {
    let mut files: Vec<OwnedFd> = Vec::new();
    let mut add = |file: File| {
        files.push(file.into());
        FdIndex(u8::try_from(files.len() - 1).expect("few files"))
    };
    let kvm = OpenOptions::new().read(true).write(true).open("/dev/kvm")?;
    let kvm = add(kvm);
    let kernel = add(File::open(&arguments.kernel)?);
    let initramfs = match &arguments.initramfs {
        Some(path) => Some(add(File::open(path)?)),
        None => None,
    };
    let mut disks = Vec::new();
    for disk in &arguments.disk {
        let (path, writable) = match disk.strip_suffix(":ro") {
            Some(path) => (path, false),
            None => (disk.as_str(), true),
        };
        let file = OpenOptions::new().read(true).write(writable).open(path)?;
        let length = file.metadata()?.len();
        let extent = Extent {
            file: add(file),
            offset: 0,
            length,
        };
        disks.push(DiskSpec {
            extents: List::try_from(vec![extent]).map_err(io::Error::other)?,
            writable,
        });
    }
    let spec = MachineSpec {
        kvm,
        vcpus: arguments.cpus,
        memory_mib: arguments.mem,
        kernel,
        initramfs,
        command_line: Text::try_from(arguments.cmdline.as_str()).map_err(io::Error::other)?,
        disks: List::try_from(disks).map_err(io::Error::other)?,
        vsock_cid: 3,
        debug_console: !arguments.quiet,
    };
    Ok((spec, files))
}

/// A shell moves the socket from standard input to descriptor 3.
fn spawn(arguments: &Arguments, socket: OwnedFd) -> io::Result<std::process::Child> {
    let beside = || {
        let own = std::env::current_exe()?;
        let folder = own.parent().and_then(|examples| examples.parent());
        Ok::<_, io::Error>(folder.unwrap_or(&own).join("vmm"))
    };
    let vmm = match &arguments.vmm {
        Some(path) => path.clone(),
        None => beside()?,
    };
    Command::new("sh")
        .args(["-c", "exec \"$0\" 3<&0 </dev/null"])
        .arg(vmm)
        .stdin(Stdio::from(socket))
        .spawn()
}

fn echo(port: u32, mut stream: UnixStream) {
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = stream.read(&mut buffer) {
        let text = String::from_utf8_lossy(&buffer[..count]);
        println!("boot: port {port}: {text:?}");
        if stream.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    println!("boot: port {port}: closed");
}

fn send(socket: &OwnedFd, message: &ToVmm, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    let bytes = postcard::to_stdvec(message).map_err(io::Error::other)?;
    let mut space = vec![MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() {
        ancillary.push(SendAncillaryMessage::ScmRights(descriptors));
    }
    let bytes = [IoSlice::new(&bytes)];
    rustix::net::sendmsg(socket, &bytes, &mut ancillary, SendFlags::NOSIGNAL)?;
    Ok(())
}

fn receive(socket: &OwnedFd) -> io::Result<Option<(FromVmm, Option<OwnedFd>)>> {
    let mut bytes = vec![0; MAX_PACKET];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut parts = [IoSliceMut::new(&mut bytes)];
    let flags = RecvFlags::CMSG_CLOEXEC;
    let received = rustix::net::recvmsg(socket, &mut parts, &mut ancillary, flags)?;
    if received.bytes == 0 {
        return Ok(None);
    }
    let descriptor = ancillary.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut received) => received.next(),
        _ => None,
    });
    let message = frame::decode(&bytes[..received.bytes]).map_err(io::Error::other)?;
    Ok(Some((message, descriptor)))
}
