//! `kill -9` of any process of a pod ends the pod and leaves no process behind.

use std::fs;

use bulkhead_tests::images::busybox_oci;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::bulkhead::{Running, pod};
use crate::leftovers::{Mounts, no_processes, processes};

fn running() -> Running {
    pod(&busybox_oci())
        .shell("echo ready; sleep 600")
        .start()
        .wait_for("ready")
}

/// The running process with this program.
pub(crate) fn process(program: &str) -> Pid {
    let found = processes();
    let line = found
        .iter()
        .find(|line| line.ends_with(&format!("/{program}")))
        .unwrap_or_else(|| panic!("no {program} among {found:?}"));
    let number = line.split(' ').next().and_then(|pid| pid.parse().ok());
    Pid::from_raw(number.expect("lines begin with a process id"))
}

#[test]
fn the_supervisor() {
    let mounts = Mounts::now();
    running()
        .signal(Signal::SIGKILL)
        .finish()
        .dies_of(Signal::SIGKILL);
    mounts.are_all_that_is_left();
}

#[test]
fn the_vmm() {
    let pod = running();
    kill(process("vmm"), Signal::SIGKILL).unwrap();
    let end = pod.finish();
    if end.stderr.is_empty() {
        end.fail("the end of the VMM must be explained");
    }
    assert_eq!(no_processes(), Vec::<String>::new());
}

#[test]
fn the_relay() {
    let pod = running();
    kill(process("relay"), Signal::SIGKILL).unwrap();
    let end = pod.finish();
    if end.stderr.is_empty() {
        end.fail("the end of the relay must be explained");
    }
    assert_eq!(no_processes(), Vec::<String>::new());
}

#[test]
fn nobody_else_holds_the_pod_s_lock() {
    let pod = running();
    let supervisor = pod.pid;
    let lock = fs::read_dir(format!("/proc/{supervisor}/fd"))
        .unwrap()
        .flatten()
        .filter_map(|fd| fs::read_link(fd.path()).ok())
        .find(|target| target.to_string_lossy().contains("/pods/run/"))
        .expect("the supervisor holds its pod's directory");
    for program in ["vmm", "relay"] {
        for fd in fs::read_dir(format!("/proc/{}/fd", process(program)))
            .unwrap()
            .flatten()
        {
            assert_ne!(
                fs::read_link(fd.path()).unwrap_or_default(),
                lock,
                "{program}"
            );
        }
    }
    pod.signal(Signal::SIGKILL)
        .finish()
        .dies_of(Signal::SIGKILL);
}
