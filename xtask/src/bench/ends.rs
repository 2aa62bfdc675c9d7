//! How fast pods are stopped, waited for, and listed.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use super::attempt::{Attempt, until_done};
use super::clock::{milliseconds_since, now_ns};
use super::pods::{Pods, RunningPod};
use super::statistics::Series;

/// What the target for `list` names.
const LISTED_PODS: usize = 1000;

/// A command that takes longer hangs.
const LIMIT: Duration = Duration::from_secs(60);

/// What `list` reads of a pod that has exited.
const LISTED_FILES: [&str; 3] = ["pod", "pod-created", "appsinfo/busybox/manifest"];

/// From `bulkhead stop` to its end, when the pod's state is exited, and from a pod's end to that of `status --wait`.
pub(super) fn measure(pods: &Pods, runs: usize, series: &mut Series) -> Result<()> {
    for stage1 in ["kvm", "container"] {
        // The first round fills page caches.
        for round in 0..=runs {
            let stop = until_done("a pod to stop", || stop_once(pods, stage1))?;
            let wait = until_done("a pod to wait for", || wait_once(pods, stage1))?;
            if round > 0 {
                series.add(&format!("stop.{stage1}.whole_command_ms"), stop);
                series.add(&format!("wait.{stage1}.pod_end→command_end_ms"), wait);
            }
        }
    }
    Ok(())
}

fn stop_once(pods: &Pods, stage1: &str) -> Result<Attempt<f64>> {
    let Attempt::Done((_pod, uuid)) = start(pods, stage1)? else {
        return Ok(Attempt::Hung);
    };
    let start = now_ns();
    let stop = call(pods, &["stop", &uuid]).spawn();
    let mut stop = RunningPod(stop.context("start bulkhead stop")?);
    if !stop.ends_within(LIMIT)? {
        return Ok(Attempt::Hung);
    }
    let took = milliseconds_since(start);
    let status = stop.0.wait()?;
    if !status.success() {
        bail!("bulkhead stop: {status}");
    }
    Ok(Attempt::Done(took))
}

fn wait_once(pods: &Pods, stage1: &str) -> Result<Attempt<f64>> {
    let Attempt::Done((pod, uuid)) = start(pods, stage1)? else {
        return Ok(Attempt::Hung);
    };
    let waiter = call(pods, &["status", "--wait", &uuid]).spawn();
    let waiter = RunningPod(waiter.context("start bulkhead status")?);
    kill_process(Pid::from_child(&pod.0), Signal::TERM)?;
    if !pod.ends_within(LIMIT)? {
        return Ok(Attempt::Hung);
    }
    let end = now_ns();
    match waiter.ends_within(LIMIT)? {
        true => Ok(Attempt::Done(milliseconds_since(end))),
        false => Ok(Attempt::Hung),
    }
}

/// A pod whose app has started and waits, and its UUID.
fn start(pods: &Pods, stage1: &str) -> Result<Attempt<(RunningPod, String)>> {
    let uuid = prepare(pods, &format!("--stage1={stage1}"))?;
    let pod = call(pods, &["run-prepared", &uuid]).spawn();
    let pod = RunningPod(pod.context("start an idle pod")?);
    let ready = call(pods, &["status", "--wait-ready=20s", &uuid]).status()?;
    match ready.success() {
        true => Ok(Attempt::Done((pod, uuid))),
        false => Ok(Attempt::Hung),
    }
}

fn prepare(pods: &Pods, stage1: &str) -> Result<String> {
    let output = call(pods, &["prepare", stage1])
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
