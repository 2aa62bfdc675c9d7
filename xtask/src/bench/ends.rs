//! How fast pods are stopped, waited for, and listed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use super::attempt::{Attempt, until_done};
use super::clock::{milliseconds, milliseconds_since, now_ns};
use super::pods::{Pods, RunningPod};
use super::statistics::Series;
use super::trace::Trace;

/// What the target for `list` names.
const LISTED_PODS: usize = 1000;

/// A command that takes longer hangs.
const LIMIT: Duration = Duration::from_secs(60);

/// Between two looks at a process that starts. Long enough for it to wait in the end, too.
const PAUSE: Duration = Duration::from_millis(50);

/// What `list` reads of a pod that has exited.
const LISTED_FILES: [&str; 3] = ["pod", "pod-created", "appsinfo/busybox/manifest"];

/// What `bulkhead stop` takes, and what is left for it after the app's exit; and from a pod's end to that of `status --wait`.
pub(super) fn measure(pods: &Pods, runs: usize, series: &mut Series) -> Result<()> {
    for stage1 in ["kvm", "container"] {
        // The first round fills page caches.
        for round in 0..=runs {
            let stop = until_done("a pod to stop", || stop_once(pods, stage1))?;
            let wait = until_done("a pod to wait for", || wait_once(pods, stage1))?;
            if round > 0 {
                let mut add = |name, value| series.add(&format!("{name}_ms"), value);
                add(format!("stop.{stage1}.whole_command"), stop.command);
                add(
                    format!("stop.{stage1}.app_exit→command_end"),
                    stop.to_command,
                );
                add(format!("stop.{stage1}.app_exit→run_end"), stop.to_run);
                add(format!("wait.{stage1}.pod_done→command_end"), wait);
            }
        }
    }
    Ok(())
}

/// In milliseconds.
struct Stop {
    command: f64,
    /// From the app's exit to the command's end, when the pod's state is exited.
    to_command: f64,
    /// From the app's exit to the end of the pod's own process, when nothing is left of its machine.
    to_run: f64,
}

fn stop_once(pods: &Pods, stage1: &str) -> Result<Attempt<Stop>> {
    let Attempt::Done(pod) = start(pods, stage1)? else {
        return Ok(Attempt::Hung);
    };
    let start = now_ns();
    let stop = call(pods, &["stop", &pod.uuid]).spawn();
    let mut stop = RunningPod(stop.context("start bulkhead stop")?);
    if !stop.ends_within(LIMIT)? {
        return Ok(Attempt::Hung);
    }
    let stopped = now_ns();
    let status = stop.0.wait()?;
    if !status.success() {
        bail!("bulkhead stop: {status}");
    }
    if !pod.run.ends_within(LIMIT)? {
        return Ok(Attempt::Hung);
    }
    let gone = now_ns();
    let exit = Trace::take(&pod.trace)?.phase("app-exit")?;
    Ok(Attempt::Done(Stop {
        command: milliseconds(start, stopped),
        to_command: milliseconds(exit, stopped),
        to_run: milliseconds(exit, gone),
    }))
}

fn wait_once(pods: &Pods, stage1: &str) -> Result<Attempt<f64>> {
    let Attempt::Done(pod) = start(pods, stage1)? else {
        return Ok(Attempt::Hung);
    };
    let waiter = call(pods, &["status", "--wait", &pod.uuid]).spawn();
    let waiter = RunningPod(waiter.context("start bulkhead status")?);
    // Its start is not what is measured.
    if !watches(waiter.0.id()) {
        return Ok(Attempt::Hung);
    }
    kill_process(Pid::from_child(&pod.run.0), Signal::TERM)?;
    if !waiter.ends_within(LIMIT)? {
        return Ok(Attempt::Hung);
    }
    let end = now_ns();
    let done = Trace::take(&pod.trace)?.phase("pod-done")?;
    Ok(Attempt::Done(milliseconds(done, end)))
}

/// Whether a process comes to wait for notices of files within the limit.
fn watches(pid: u32) -> bool {
    let descriptors = Path::new("/proc").join(pid.to_string()).join("fd");
    let has_notices = || {
        let descriptors = fs::read_dir(&descriptors).into_iter().flatten().flatten();
        let mut targets = descriptors.filter_map(|one| fs::read_link(one.path()).ok());
        targets.any(|target| target == Path::new("anon_inode:inotify"))
    };
    let limit = Instant::now() + LIMIT;
    while Instant::now() < limit {
        if has_notices() {
            return true;
        }
        std::thread::sleep(PAUSE);
    }
    false
}

/// A pod whose app has started and waits.
struct IdlePod {
    run: RunningPod,
    uuid: String,
    trace: PathBuf,
}

fn start(pods: &Pods, stage1: &str) -> Result<Attempt<IdlePod>> {
    let trace = pods.data.join("trace-end");
    // Of a pod that hung.
    let _ = fs::remove_file(&trace);
    let uuid = prepare(pods, &format!("--stage1={stage1}"))?;
    let mut run = call(pods, &["run-prepared", &uuid]);
    run.arg("--trace").arg(&trace);
    let run = RunningPod(run.spawn().context("start an idle pod")?);
    let ready = call(pods, &["status", "--wait-ready=20s", &uuid]).status()?;
    match ready.success() {
        true => Ok(Attempt::Done(IdlePod { run, uuid, trace })),
        false => Ok(Attempt::Hung),
    }
}

fn prepare(pods: &Pods, stage1: &str) -> Result<String> {
    let output = call(pods, &["--insecure-options=image", "prepare", stage1])
        .arg(&pods.image)
        .args(["--exec=/bin/sleep", "--", "1000"])
        .stdout(Stdio::piped())
        .output()
        .context("start bulkhead prepare")?;
    if !output.status.success() {
        bail!("bulkhead prepare: {}", output.status);
    }
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

fn call(pods: &Pods, words: &[&str]) -> Command {
    let mut command = Command::new(&pods.command);
    command.arg("--dir").arg(&pods.data).args(words);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command
}

/// `list` with a thousand pods that have exited: one that was made, and its files as often again.
pub(super) fn measure_list(pods: &Pods, runs: usize, series: &mut Series) -> Result<()> {
    let uuid = prepare(pods, "--stage1=kvm")?;
    let made = pods.data.join("pods/prepared").join(uuid);
    for number in 0..LISTED_PODS {
        let name = format!("{number:08x}-0000-4000-8000-000000000000");
        copy_listed(&made, &pods.data.join("pods/run").join(name))?;
    }
    for round in 0..=runs {
        let start = now_ns();
        let output = call(pods, &["list"]).stdout(Stdio::piped()).output()?;
        let took = milliseconds_since(start);
        let rows = output.stdout.split(|byte| *byte == b'\n').count();
        if !output.status.success() || rows < LISTED_PODS {
            bail!("bulkhead list: {}, {rows} lines", output.status);
        }
        if round > 0 {
            series.add("list.1000_pods_ms", took);
        }
    }
    Ok(())
}

fn copy_listed(from: &Path, to: &Path) -> Result<()> {
    for file in LISTED_FILES {
        let to = to.join(file);
        fs::create_dir_all(to.parent().context("a file of a pod")?)?;
        fs::copy(from.join(file), &to).with_context(|| format!("copy to {}", to.display()))?;
    }
    let status = to.join("stage1/rootfs/rkt/status");
    fs::create_dir_all(&status)?;
    fs::write(status.join("busybox"), "0\n")?;
    fs::write(to.join("pid"), "4711\n")?;
    Ok(())
}
