//! From `bulkhead run` to the app's exit, phase by phase, and what an idle pod holds.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};

use super::attempt::{Attempt, until_done};
use super::clock::{milliseconds, now_ns};
use super::exits;
use super::memory::{self, Memory};
use super::statistics::Series;
use super::trace::Trace;

/// What a pod is run from.
pub(super) struct Pods {
    /// The `bulkhead` command.
    pub(super) command: PathBuf,
    /// Data directory.
    pub(super) data: PathBuf,
    /// An image with busybox in it.
    pub(super) image: PathBuf,
}

/// Phases in the order of a start, each with the one that it follows.
const PHASES: &[(&str, &str)] = &[
    ("cli-start", "stage1-start"),
    ("stage1-start", "vmm-spawned"),
    ("vmm-spawned", "vmm-main"),
    ("vmm-main", "first-kvm-run"),
    ("first-kvm-run", "agent-first-instruction"),
    ("agent-first-instruction", "agent-ready"),
    ("agent-ready", "app-exec"),
    ("app-exec", "app-exit"),
    ("app-exit", "pod-done"),
];

/// Counters of a trace that are figures: all exits, and those that come to the VMM.
const EXITS: &[&str] = &[
    "kvm.exits",
    "exits.port_read",
    "exits.port_write",
    "exits.mmio_read",
    "exits.mmio_write",
];

/// How long an idle pod is left alone before its memory is read.
const IDLE: Duration = Duration::from_secs(10);

/// A pod that is not ready after this long will not be.
const READY_LIMIT: Duration = Duration::from_secs(20);

/// The limit of an app whose pod has a machine of just so much memory (`docs/vm-size.md`).
const LIMIT_FOR_128_MIB: &str = "--memory=64Mi";
const LIMIT_FOR_192_MIB: &str = "--memory=128Mi";

/// The size of a pod's machine.
#[derive(Debug, Clone, Copy)]
pub(super) enum Size {
    /// 128 MiB, as all machines that are compared.
    Mib128,
    /// The machine of an app with a limit of 128 MiB.
    Mib192,
    /// No limit: 512 MiB.
    Default,
}

impl Size {
    fn limit(self) -> Option<&'static str> {
        match self {
            Size::Mib128 => Some(LIMIT_FOR_128_MIB),
            Size::Mib192 => Some(LIMIT_FOR_192_MIB),
            Size::Default => None,
        }
    }

    fn bytes(self) -> u64 {
        let mib: u64 = match self {
            Size::Mib128 => 128,
            Size::Mib192 => 192,
            Size::Default => 512,
        };
        mib << 20
    }

    /// Of the figures' names.
    fn name(self) -> &'static str {
        match self {
            Size::Mib128 => "_128mib",
            Size::Mib192 => "_192mib",
            Size::Default => "",
        }
    }
}

/// Runs a pod whose app ends at once, again and again.
pub(super) fn measure_starts(
    pods: &Pods,
    size: Size,
    runs: usize,
    series: &mut Series,
) -> Result<()> {
    for round in 0..=runs {
        let (trace, start, end) = until_done("a pod of /bin/true", || start_once(pods, size))?;
        // The first round imports the image and fills page caches.
        if round > 0 {
            add_phases(&trace, size, start, end, series)?;
        }
    }
    Ok(())
}

/// A whole `bulkhead run`: its trace, start and end.
fn start_once(pods: &Pods, size: Size) -> Result<Attempt<(Trace, u64, u64)>> {
    let trace = pods.data.join("trace");
    let errors = pods.data.join("errors");
    let mut command = pods.run(&trace);
    command
        .args(size.limit())
        .arg("--exec=/bin/true")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(File::create(&errors)?);
    let start = now_ns();
    let mut pod = RunningPod(command.spawn().context("start a pod of /bin/true")?);
    if !pod.ends_within(READY_LIMIT)? {
        return Ok(Attempt::Hung);
    }
    let end = now_ns();
    let status = pod.0.wait()?;
    if !status.success() {
        let errors = fs::read_to_string(&errors)?;
        bail!("a pod of /bin/true: {status}\n{errors}");
    }
    Ok(Attempt::Done((Trace::take(&trace)?, start, end)))
}

fn add_phases(trace: &Trace, size: Size, start: u64, end: u64, series: &mut Series) -> Result<()> {
    let size = size.name();
    for (from, to) in PHASES {
        let duration = milliseconds(trace.phase(from)?, trace.phase(to)?);
        series.add(&format!("start{size}.{from}→{to}_ms"), duration);
    }
    let ready = milliseconds(trace.phase("vmm-spawned")?, trace.phase("agent-ready")?);
    series.add(&format!("start{size}.vmm_exec_to_agent_ready_ms"), ready);
    let to_app = milliseconds(start, trace.phase("app-exec")?);
    series.add(&format!("start{size}.run_to_app_exec_ms"), to_app);
    let whole = milliseconds(start, end);
    series.add(&format!("start{size}.whole_command_ms"), whole);
    for (name, value) in &trace.counts {
        if EXITS.contains(&name.as_str()) {
            series.add(&format!("at_agent_ready{size}.{name}"), *value);
        }
    }
    Ok(())
}

/// Memory of a pod that does nothing.
pub(super) fn measure_idle(
    pods: &Pods,
    size: Size,
    suffix: &str,
    series: &mut Series,
) -> Result<()> {
    let prefix = format!("idle{}", size.name());
    let pod = until_done("an idle pod", || start_idle(pods, size))?;
    // Not a wait for an event: the figure is defined as that of a pod left alone this long.
    std::thread::sleep(IDLE);
    let mut total = 0;
    for (name, pid) in processes(pod.0.id())? {
        let guest_bytes = if name == "vmm" { size.bytes() } else { 0 };
        let Memory { own_pss, guest_rss } = memory::of_process(pid, guest_bytes)?;
        total += own_pss;
        series.add(
            &format!("{prefix}.{name}.pss_kib{suffix}"),
            as_figure(own_pss),
        );
        if guest_bytes != 0 {
            series.add(
                &format!("{prefix}.guest_ram.rss_kib{suffix}"),
                as_figure(guest_rss),
            );
        }
    }
    series.add(
        &format!("{prefix}.all_processes.pss_kib{suffix}"),
        as_figure(total),
    );
    Ok(())
}

/// KVM exits by reason up to the app of one pod, which then waits. A run of its own: counting slows exits down.
pub(super) fn count_exits(pods: &Pods, series: &mut Series) -> Result<()> {
    let histogram = until_done("a pod to count its exits", || {
        exits::start_histogram()?;
        let pod = start_idle(pods, Size::Default)?;
        let histogram = exits::histogram()?;
        exits::stop_histogram()?;
        Ok(pod.map(|_| histogram))
    })?;
    for (reason, count) in histogram {
        series.add(&format!("exits_until_app.{reason}"), count);
    }
    Ok(())
}

/// A pod whose app has started and waits.
fn start_idle(pods: &Pods, size: Size) -> Result<Attempt<RunningPod>> {
    let trace = pods.data.join("trace-idle");
    let mut command = pods.run(&trace);
    command
        .args(size.limit())
        .args(["--exec=/bin/sleep", "--", "1000"])
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    let pod = RunningPod(command.spawn().context("start an idle pod")?);
    let ready = app_starts(&trace);
    // A pod that hung early has written none.
    let _ = fs::remove_file(&trace);
    Ok(if ready {
        Attempt::Done(pod)
    } else {
        Attempt::Hung
    })
}

impl Pods {
    /// A run; its image and more are the caller's to add.
    pub(super) fn command(&self) -> Command {
        let mut command = Command::new(&self.command);
        command
            .arg("--dir")
            .arg(&self.data)
            .arg("--insecure-options=image")
            .args(["run", "--stage1=kvm", "--net=none"]);
        command
    }

    fn run(&self, trace: &Path) -> Command {
        let mut command = self.command();
        command.arg("--trace").arg(trace).arg(&self.image);
        command
    }
}

/// The running `bulkhead run`, stopped in order when dropped.
pub(super) struct RunningPod(pub(super) Child);

impl RunningPod {
    pub(super) fn ends_within(&self, limit: Duration) -> Result<bool> {
        let process = pidfd_open(Pid::from_child(&self.0), PidfdFlags::empty())?;
        let limit = Timespec::try_from(limit)?;
        Ok(poll(&mut [PollFd::new(&process, PollFlags::IN)], Some(&limit))? != 0)
    }
}

impl Drop for RunningPod {
    fn drop(&mut self) {
        // One that has ended was measured as far as it went; its number cannot be another's before it was waited for.
        if let Ok(None) = self.0.try_wait() {
            let _ = kill_process(Pid::from_child(&self.0), Signal::TERM);
            let _ = self.0.wait();
        }
    }
}

/// Whether the app of a pod starts within the limit.
fn app_starts(trace: &Path) -> bool {
    let limit = Instant::now() + READY_LIMIT;
    while Instant::now() < limit {
        let text = fs::read_to_string(trace).unwrap_or_default();
        if Trace::parse(&text).phases.contains_key("app-exec") {
            return true;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    false
}

/// The pod's processes by the name of their program: the supervisor and its children.
fn processes(supervisor: u32) -> Result<Vec<(String, u32)>> {
    let mut found = vec![("supervisor".to_owned(), supervisor)];
    let path = format!("/proc/{supervisor}/task/{supervisor}/children");
    let children = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
    for child in children.split_whitespace() {
        let pid: u32 = child.parse()?;
        let arguments = fs::read_to_string(format!("/proc/{pid}/cmdline"))?;
        let name = arguments.split('\0').next().unwrap_or_default();
        found.push((name.rsplit('/').next().unwrap_or(name).to_owned(), pid));
    }
    Ok(found)
}

#[allow(
    clippy::cast_precision_loss,
    reason = "a figure for people, not an index"
)]
fn as_figure(kib: u64) -> f64 {
    kib as f64
}
