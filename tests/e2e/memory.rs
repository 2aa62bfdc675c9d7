//! Memory that an app gives back is the host's again.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::thread;
use std::time::{Duration, Instant};

use bulkhead_tests::images::python_docker_archive;
use nix::sys::signal::Signal;
use nix::unistd::Pid;

use crate::bulkhead::{Call, Running, pod};
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

/// Fills the page cache, and says when half of that is gone again.
const CACHES: &str = "
import os, time
def mebibytes(*names):
    fields = dict(line.split(':') for line in open('/proc/meminfo'))
    return sum(int(fields[name].split()[0]) for name in names) >> 10
with open('/data', 'wb') as file:
    for _ in range(200):
        file.write(os.urandom(1 << 20))
    os.fsync(file.fileno())
before, cached = mebibytes('MemFree', 'Cached'), mebibytes('Cached')
print('cached', flush=True)
while mebibytes('Cached') > cached - 100:
    time.sleep(0.1)
print('given', flush=True)
";

/// Then waits until it could have all of its memory again.
const GETS_BACK: &str = "
while mebibytes('MemFree', 'Cached') < before - 20:
    time.sleep(0.1)
print('back', flush=True)
";

/// Then needs more than what was left.
const IS_SHORT: &str = "
held = b'x' * (330 << 20)
assert held.count(b'x') == 330 << 20
print('enough', flush=True)
";

/// A process of the host that stands still for want of memory, as long as this lives.
struct Shortage {
    process: Child,
    group: PathBuf,
}

impl Shortage {
    fn begin() -> Self {
        let groups = PathBuf::from("/sys/fs/cgroup");
        // It may be there already.
        let _ = fs::write(groups.join("cgroup.subtree_control"), "+memory");
        let group = groups.join("bulkhead-e2e-shortage");
        fs::create_dir(&group).unwrap();
        fs::write(group.join("memory.high"), "16M").unwrap();
        let script = format!(
            "echo $$ > {}/cgroup.procs; exec tail /dev/zero",
            group.display()
        );
        let process = Command::new("sh").args(["-c", &script]).spawn().unwrap();
        Self { process, group }
    }
}

impl Drop for Shortage {
    fn drop(&mut self) {
        let ended = self.process.kill().and_then(|()| self.process.wait());
        let removed = fs::remove_dir(&self.group);
        if !thread::panicking() {
            ended.unwrap();
            removed.unwrap();
        }
    }
}

/// A pod that has filled its page cache and then does this.
fn caching(then: &str) -> Running {
    pod(&python_docker_archive())
        .flag("--memory=400Mi")
        .args(["-c", &[CACHES, then].concat()])
        .start()
        .wait_for("cached")
}

#[test]
fn a_host_that_is_short_gets_page_cache_and_gives_it_back() {
    let pod = caching(GETS_BACK);
    let vmm = process("vmm");
    let full = status(vmm, "VmRSS:");
    let shortage = Shortage::begin();
    let pod = pod.wait_for("given");
    let left = status(vmm, "VmRSS:");
    assert!(
        left + (80 << 10) < full,
        "{left} KiB of {full} are still there"
    );
    drop(shortage);
    pod.finish().exits(0).shows("back");
}

#[test]
fn a_guest_that_is_short_takes_back_what_it_gave() {
    let pod = caching(IS_SHORT);
    let _shortage = Shortage::begin();
    pod.finish().exits(0).shows("enough");
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
