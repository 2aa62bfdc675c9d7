//! From the exec of a VMM to the first program of its guest: ours and its peers with the same kernel, initramfs and
//! command line, in turn.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::attempt::{Attempt, until_done};
use super::clock::{milliseconds_since, now_ns};
use super::exits;
use super::statistics::Series;
use super::vmm::{Guest, Vmm};

/// What the guest's first program says (`marker.c`).
const MARKER: &str = "FIRST-PROGRAM";

/// One command line for all. No device of any VMM is named in it; each adds its own.
pub(super) const COMMAND_LINE: &str =
    "quiet reboot=k panic=-1 tsc=reliable no_timer_check random.trust_cpu=on";

/// A guest that has not said it after this long, two hundred times a boot, never will.
const BOOT_LIMIT: Duration = Duration::from_secs(10);

/// What a guest may say before its first program.
const SAID_LIMIT: usize = 1 << 20;

/// Guest memory of all boots.
pub(super) const MEMORY_MIB: u32 = 128;

/// A VMM that is not ours.
#[derive(Debug, Clone)]
pub(super) enum Peer {
    Qemu,
    Firecracker(PathBuf),
    CloudHypervisor(PathBuf),
    Lkvm(PathBuf),
}

/// The files of a boot.
pub(super) struct Files {
    pub(super) vmm: PathBuf,
    pub(super) kernel: PathBuf,
    pub(super) compressed_kernel: PathBuf,
    pub(super) initramfs: PathBuf,
    /// A directory for configuration files and sockets of peers.
    pub(super) scratch: PathBuf,
}

impl Peer {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Peer::Qemu => "qemu-microvm",
            Peer::Firecracker(_) => "firecracker",
            Peer::CloudHypervisor(_) => "cloud-hypervisor",
            Peer::Lkvm(_) => "lkvm",
        }
    }

    fn command(&self, files: &Files) -> Result<Command> {
        match self {
            Peer::Qemu => Ok(qemu(files)),
            Peer::Firecracker(program) => firecracker(program, files),
            Peer::CloudHypervisor(program) => Ok(cloud_hypervisor(program, files)),
            Peer::Lkvm(program) => Ok(lkvm(program, files)),
        }
    }
}

/// Boots each VMM `runs` times, in turn, so that a drift of the machine meets all alike.
pub(super) fn measure(
    files: &Files,
    peers: &[Peer],
    runs: usize,
    series: &mut Series,
) -> Result<()> {
    // The first round fills page caches and is not counted.
    for round in 0..=runs {
        let mut rows = vec![("bulkhead", ours(files)?)];
        for peer in peers {
            rows.push((peer.name(), theirs(peer, files)?));
        }
        if round > 0 {
            for (name, (milliseconds, exits)) in rows {
                series.add(
                    &format!("boot.{name}.exec_to_first_program_ms"),
                    milliseconds,
                );
                series.add(&format!("boot.{name}.kvm_exits"), exits);
            }
        }
    }
    Ok(())
}

/// KVM exits by reason up to the first program. A boot of its own: counting slows exits down.
pub(super) fn count_exits(files: &Files, series: &mut Series) -> Result<()> {
    let histogram = until_done("a boot to count its exits", || {
        exits::start_histogram()?;
        let boot = boot_ours(files)?;
        let histogram = exits::histogram()?;
        exits::stop_histogram()?;
        Ok(boot.map(|_| histogram))
    })?;
    for (reason, count) in histogram {
        series.add(&format!("exits_until_first_program.{reason}"), count);
    }
    Ok(())
}

fn ours(files: &Files) -> Result<(f64, f64)> {
    until_done("a boot with our VMM", || boot_ours(files))
}

fn theirs(peer: &Peer, files: &Files) -> Result<(f64, f64)> {
    until_done(&format!("a boot with {}", peer.name()), || {
        boot_theirs(peer, files)
    })
}

/// Milliseconds from exec to the first program, and KVM exits.
fn boot_ours(files: &Files) -> Result<Attempt<(f64, f64)>> {
    let executable = File::open(&files.vmm)?;
    let guest = Guest {
        kernel: &files.kernel,
        initramfs: &files.initramfs,
        command_line: COMMAND_LINE,
        memory_mib: MEMORY_MIB,
    };
    let (console, console_end) = rustix::pipe::pipe()?;
    let before = exits::total()?;
    let start = now_ns();
    let vmm = Vmm::start(&executable, &guest, console_end.as_fd())?;
    drop(console_end);
    let milliseconds = until_marker(&console, start)?;
    let exits = exits::total()? - before;
    drop(vmm);
    Ok(milliseconds.map(|milliseconds| (milliseconds, exits)))
}

fn boot_theirs(peer: &Peer, files: &Files) -> Result<Attempt<(f64, f64)>> {
    let mut command = peer.command(files)?;
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let before = exits::total()?;
    let start = now_ns();
    let mut child = Ended(
        command
            .spawn()
            .with_context(|| format!("start {command:?}"))?,
    );
    let console = child.0.stdout.take().context("standard output is piped")?;
    let milliseconds = until_marker(&OwnedFd::from(console), start)?;
    let exits = exits::total()? - before;
    Ok(milliseconds.map(|milliseconds| (milliseconds, exits)))
}

/// A peer's process, killed when dropped: its guest waits for ever.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        // Nothing is lost when it is gone already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn until_marker(console: &OwnedFd, start_ns: u64) -> Result<Attempt<f64>> {
    let limit = Instant::now() + BOOT_LIMIT;
    let mut said = Vec::new();
    while said.len() < SAID_LIMIT {
        let left = Timespec::try_from(limit.saturating_duration_since(Instant::now()))?;
        if poll(&mut [PollFd::new(console, PollFlags::IN)], Some(&left))? == 0 {
            return Ok(Attempt::Hung);
        }
        let mut bytes = [0; 4096];
        let length = rustix::io::read(console, &mut bytes)?;
        if length == 0 {
            break;
        }
        said.extend_from_slice(&bytes[..length]);
        let text = String::from_utf8_lossy(&said);
        if text
            .split_once(MARKER)
            .is_some_and(|(_, rest)| rest.contains('\n'))
        {
            return Ok(Attempt::Done(milliseconds_since(start_ns)));
        }
    }
    bail!(
        "the guest never reached its first program; it said: {}",
        String::from_utf8_lossy(&said)
    );
}

fn qemu(files: &Files) -> Command {
    let mut command = Command::new("qemu-system-x86_64");
    command
        .args([
            "-M",
            "microvm,acpi=off,x-option-roms=off,pit=off,pic=off,rtc=off,isa-serial=on",
        ])
        .args([
            "-enable-kvm",
            "-cpu",
            "host",
            "-smp",
            "1",
            "-m",
            &MEMORY_MIB.to_string(),
        ])
        .args([
            "-nodefaults",
            "-no-user-config",
            "-no-reboot",
            "-display",
            "none",
            "-serial",
            "stdio",
        ])
        .arg("-kernel")
        .arg(&files.kernel)
        .arg("-initrd")
        .arg(&files.initramfs)
        .args(["-append", COMMAND_LINE]);
    command
}

fn firecracker(program: &Path, files: &Files) -> Result<Command> {
    let configuration = files.scratch.join("firecracker.json");
    let text = serde_json::json!({
        "boot-source": {
            "kernel_image_path": files.kernel,
            "initrd_path": files.initramfs,
            "boot_args": COMMAND_LINE,
        },
        "drives": [],
        "machine-config": { "vcpu_count": 1, "mem_size_mib": MEMORY_MIB },
    });
    std::fs::write(&configuration, text.to_string())?;
    let mut command = Command::new(program);
    command
        .args(["--no-api", "--config-file"])
        .arg(configuration);
    Ok(command)
}

fn cloud_hypervisor(program: &Path, files: &Files) -> Command {
    let mut command = Command::new(program);
    command
        .arg("--kernel")
        .arg(&files.kernel)
        .arg("--initramfs")
        .arg(&files.initramfs)
        .args(["--cmdline", COMMAND_LINE, "--cpus", "boot=1"])
        .args(["--memory", &format!("size={MEMORY_MIB}M")])
        .args(["--serial", "tty", "--console", "off"]);
    command
}

fn lkvm(program: &Path, files: &Files) -> Command {
    let mut command = Command::new(program);
    command
        .args([
            "run",
            "--console",
            "serial",
            "--cpus",
            "1",
            "--mem",
            &MEMORY_MIB.to_string(),
        ])
        .arg("--kernel")
        .arg(&files.compressed_kernel)
        .arg("--initrd")
        .arg(&files.initramfs)
        .args(["--params", COMMAND_LINE]);
    command
}
