//! Memory that an app gives back is the host's again.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use bulkhead_tests::images::python_docker_archive;
use nix::sys::signal::Signal;
use nix::unistd::Pid;

use crate::bulkhead::{Call, pod};
use crate::killed::process;

/// How long a guest may take: it reports every two seconds, here on a software CPU.
const LIMIT: Duration = Duration::from_secs(60);

/// Frees memory twice, the second time the same pages in other hands.
const FREES: &str = "
import time
for again in range(2):
    held = b'x' * (256 << 20)
    assert held.count(b'x') == 256 << 20
    del held
print('freed', flush=True)
time.sleep(600)
";

/// A field of the process's status, in KiB.
fn status(process: Pid, field: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    let value = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok());
    value.unwrap_or_else(|| panic!("no {field} in {status}"))
}

fn gives_back_200_mib(pod: Call) {
    let pod = pod
        .flag("--memory=400Mi")
        .args(["-c", FREES])
        .start()
        .wait_for("freed");
    let vmm = process("vmm");
    let begin = Instant::now();
    loop {
        let (most, now) = (status(vmm, "VmHWM:"), status(vmm, "VmRSS:"));
        assert!(most > 256 << 10, "the app never had its memory: {most} KiB");
        if most - now >= 200 << 10 {
            break;
        }
        assert!(
            begin.elapsed() < LIMIT,
            "{now} KiB of {most} are still there"
        );
        thread::sleep(Duration::from_millis(100));
    }
    pod.signal(Signal::SIGTERM).finish();
}

#[test]
fn memory_that_an_app_frees_goes_back_to_the_host() {
    gives_back_200_mib(pod(&python_docker_archive()));
}

#[test]
fn so_does_memory_that_file_servers_map() {
    let host = tempfile::tempdir().unwrap();
    let volume = format!("--volume=v,kind=host,source={}", host.path().display());
    gives_back_200_mib(
        pod(&python_docker_archive())
            .pod_flag(volume)
            .flag("--mount=volume=v,target=/data"),
    );
}
