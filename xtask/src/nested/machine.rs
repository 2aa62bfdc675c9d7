//! The nested machine: one QEMU process from start to end.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::kernel::Kernel;
use super::streams::{Event, Link, Links};
use super::{COPY, MACHINE_DIED, Options, dump, initramfs, job};
use crate::process::{disk_available_mib, output, progress};

/// Size of the sparse scratch disk: what commands write, images and the writable disks of pods.
const SCRATCH_BYTES: u64 = 32 << 30;

/// What must be free for it: several times what the end-to-end tests have on it at a time.
const FREE_MIB: u64 = 4096;

/// AMD's virtualization in a software processor, with nested paging; without what QEMU's software
/// processor lacks and would warn of.
const PROCESSOR: &str = "EPYC,+svm,+npt,-fxsr-opt,-misalignsse,-osvw,-topoext,-nrip-save,-xsavec";

/// What the nested kernel prints at an NMI, unless it or its processors stand still.
const KERNEL_ANSWERS: &str = "NMI received";

/// Boots the machine, runs the command, and returns its exit status.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let kernel = Kernel::find()?;
    let directory = tempfile::tempdir().context("make a temporary directory")?;
    let free = disk_available_mib(directory.path())?;
    if free < FREE_MIB {
        let path = directory.path().display();
        bail!("{free} MiB are free for the machine's disk, in {path}, and {FREE_MIB} are needed");
    }
    let files = Files::make(directory.path(), options, &kernel)?;
    let monitor = Link::new()?;
    let links = Links::new()?;
    let errors = File::create(&files.errors).context("make the file of QEMU's messages")?;
    let qemu = qemu(options, &files, &monitor, &links)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(errors)
        .spawn()
        .context("start qemu-system-x86_64")?;
    let pid = Pid::from_raw(i32::try_from(qemu.id())?);

    let (sender, events) = mpsc::channel();
    let outputs = links.start(&sender);
    let waiter = std::thread::spawn(move || {
        let mut qemu = qemu;
        let end = match qemu.wait() {
            Ok(status) => status.to_string(),
            Err(error) => error.to_string(),
        };
        // The receiver has gone when the status came first.
        let _ = sender.send(Event::Ended(end));
    });
    let result = conclude(options, &events, monitor, &files, pid);
    if !waiter.is_finished() {
        // Fails only when QEMU has just ended by itself.
        let _ = kill(pid, Signal::SIGKILL);
    }
    for thread in outputs.into_iter().chain([waiter]) {
        if thread.join().is_err() {
            bail!("a thread of the nested machine's streams panicked");
        }
    }
    if options.show_console {
        eprintln!("{}", dump::whole(&files.console));
    }
    result.map(ExitCode::from)
}

/// Waits for the command's end, or says how the machine is and whether it can be blamed.
fn conclude(
    options: &Options,
    events: &Receiver<Event>,
    monitor: Link,
    files: &Files,
    qemu: Pid,
) -> Result<u8> {
    match wait(options, events) {
        End::Status(status) => Ok(status),
        End::Machine(how) => {
            progress(&format!(
                "the nested machine ended before its command did ({how}); its last messages:\n{}\n{}",
                dump::tail(&files.errors),
                dump::tail(&files.console)
            ));
            Ok(MACHINE_DIED)
        }
        End::GivenUp(why) => {
            let state = dump::state(qemu, &files.scratch, monitor.ours);
            let console = dump::tail(&files.console);
            progress(&format!(
                "{why} in the nested machine; its last messages:\n{console}\nits state:\n{state}"
            ));
            if console.contains(KERNEL_ANSWERS) {
                bail!("{why}: the command hangs, for the machine's kernel answered an NMI");
            }
            progress(
                "the machine's kernel did not answer an NMI: the machine hangs, not the command",
            );
            Ok(MACHINE_DIED)
        }
    }
}

/// What the wait for a command came to.
enum End {
    /// The command's exit status.
    Status(u8),
    /// QEMU ended, and how.
    Machine(String),
    /// A limit has passed, and which.
    GivenUp(String),
}

fn wait(options: &Options, events: &Receiver<Event>) -> End {
    let started = Instant::now();
    loop {
        let rest = options.time_limit().saturating_sub(started.elapsed());
        match events.recv_timeout(rest.min(options.longest_silence())) {
            Ok(Event::Output) if rest.is_zero() => {}
            Ok(Event::Output) => continue,
            Ok(Event::Status(status)) => return End::Status(status),
            Ok(Event::Ended(how)) => return End::Machine(how),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
        }
        return End::GivenUp(match options.silence {
            Some(silence) if started.elapsed() < options.time_limit() => {
                format!("{silence} s without output")
            }
            _ => format!("time limit of {} s passed", options.timeout),
        });
    }
}

/// Files of one machine: all but the kernel in a directory that goes with it.
struct Files {
    kernel: PathBuf,
    initramfs: PathBuf,
    scratch: PathBuf,
    /// What the nested kernel prints.
    console: PathBuf,
    /// What QEMU prints.
    errors: PathBuf,
}

impl Files {
    fn make(directory: &Path, options: &Options, kernel: &Kernel) -> Result<Self> {
        let files = Self {
            kernel: kernel.unpacked()?,
            initramfs: directory.join("initramfs"),
            scratch: directory.join("scratch.ext4"),
            console: directory.join("console"),
            errors: directory.join("errors"),
        };
        let here = std::env::current_dir().context("read the working directory")?;
        let environment = std::env::vars_os().filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        });
        let script = job::script(options, &here, environment);
        fs::write(&files.initramfs, initramfs::build(kernel, &script)?)
            .context("write the initramfs")?;
        make_scratch(
            &files.scratch,
            &directory.join("content"),
            options.copy.as_deref(),
        )?;
        Ok(files)
    }
}

/// The scratch disk, with a copy of a directory where there is one to copy.
fn make_scratch(disk: &Path, content: &Path, copy: Option<&Path>) -> Result<()> {
    File::create(disk)
        .and_then(|file| file.set_len(SCRATCH_BYTES))
        .context("make the scratch disk")?;
    let mut format = Command::new("mkfs.ext4");
    format.args([
        "-q",
        "-F",
        "-E",
        "nodiscard,lazy_itable_init=1,lazy_journal_init=1",
    ]);
    if let Some(copy) = copy {
        let place = content.join(COPY.trim_start_matches('/'));
        fs::create_dir_all(&place).context("make the scratch disk's content")?;
        output(
            Command::new("cp")
                .args(["--archive", "--reflink=auto"])
                .arg(copy.join("."))
                .arg(&place),
        )?;
        format.arg("-d").arg(content);
    }
    output(format.arg(disk))?;
    Ok(())
}

fn qemu(options: &Options, files: &Files, monitor: &Link, links: &Links) -> Command {
    // QEMU must not outlive this process, however it ends.
    let mut qemu = Command::new("setpriv");
    qemu.args(["--pdeathsig", "KILL", "qemu-system-x86_64"]);
    qemu.args([
        "-nodefaults",
        "-no-user-config",
        "-no-reboot",
        "-display",
        "none",
    ]);
    qemu.args(["-name", "nested,debug-threads=on"]);
    qemu.args(["-machine", "q35", "-cpu", PROCESSOR]);
    let mut command_line = KERNEL_COMMAND_LINE.to_owned();
    if options.icount {
        qemu.args(["-accel", "tcg", "-icount", "shift=0,sleep=off", "-smp", "1"]);
    } else {
        let processors = options.cpus + 1;
        qemu.args(["-accel", "tcg,thread=multi"]);
        qemu.args(["-smp", &processors.to_string()]);
        command_line.push_str(SPARE_FIRST_PROCESSOR);
    }
    qemu.arg("-m").arg(options.memory.to_string());
    qemu.arg("-kernel").arg(&files.kernel);
    qemu.arg("-initrd").arg(&files.initramfs);
    qemu.args(["-append", &command_line]);
    qemu.arg("-serial")
        .arg(format!("file:{}", files.console.display()));
    qemu.arg("-chardev")
        .arg(format!("socket,id=monitor,fd={}", monitor.inherited()));
    qemu.args(["-mon", "chardev=monitor,mode=control"]);
    qemu.args(["-device", "virtio-serial-pci"]);
    for (port, link) in &links.0 {
        let number = port.number();
        qemu.arg("-chardev")
            .arg(format!("socket,id=port{number},fd={}", link.inherited()));
        qemu.arg("-device")
            .arg(format!("virtserialport,chardev=port{number},nr={number}"));
    }
    // A full disk is an error for the machine to tell: QEMU's own way is to stop it without a word.
    qemu.arg("-drive").arg(format!(
        "if=none,id=scratch,file={},format=raw,cache=unsafe,discard=unmap,\
         werror=report,rerror=report",
        files.scratch.display()
    ));
    qemu.args(["-device", "virtio-blk-pci,drive=scratch"]);
    share(&mut qemu, "root", Path::new("/"), true);
    for (index, path) in options.shares.iter().enumerate() {
        share(&mut qemu, &job::share_tag(index), path, false);
    }
    qemu
}

/// `panic=-1` with `-no-reboot` ends QEMU at a kernel panic; an NMI from the monitor makes a hung
/// kernel panic, which shows where it hangs.
const KERNEL_COMMAND_LINE: &str = "console=ttyS0 panic=-1 unknown_nmi_panic=1 cgroup_no_v1=all \
     mitigations=off tsc=reliable apparmor=0 random.trust_cpu=on";

/// The first processor is one more than asked for, and no process runs on it, so that no guest does.
///
/// QEMU (7.2 to 10.0 at least) writes to the *first* processor's `hflags2` from whichever processor
/// restores its floating-point state (`cpu_clear_ignne`), without a lock. If that meets a guest's
/// entry or exit there, the flags of the world just left come back: interrupts then arrive while
/// they are disabled, and the machine hangs in its own spin locks.
const SPARE_FIRST_PROCESSOR: &str = " isolcpus=0";

fn share(qemu: &mut Command, tag: &str, path: &Path, read_only: bool) {
    let read_only = if read_only { ",readonly=on" } else { "" };
    qemu.arg("-fsdev").arg(format!(
        "local,id={tag},path={},security_model=none,multidevs=remap{read_only}",
        path.display()
    ));
    qemu.arg("-device")
        .arg(format!("virtio-9p-pci,fsdev={tag},mount_tag={tag}"));
}
