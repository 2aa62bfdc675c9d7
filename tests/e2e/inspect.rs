//! Everything that an app sees of its surroundings, as a whole: what is there without a reason does not stay unseen.
//!
//! The program of the image (`tests/inspect`) is alone in it: no shell, no `/etc/passwd`, no directory but the root.

use bulkhead_tests::images::inspect_oci_archive;

use crate::bulkhead::{Call, pod};

fn inspect<const N: usize>(arguments: [&str; N]) -> Call {
    pod(&inspect_oci_archive()).name("web").args(arguments)
}

/// Without what is each pod's own: its token, and a limit that the kernel takes from the machine's memory.
fn known(text: &str) -> String {
    let line = |line: &str| match line.split_once("AC_METADATA_URL=") {
        Some((before, url)) => {
            let address = url.rsplit_once('/').map_or(url, |(address, _)| address);
            format!("{before}AC_METADATA_URL={address}/TOKEN\n")
        }
        None if line.starts_with("Max pending signals ") => String::new(),
        None => format!("{line}\n"),
    };
    text.lines().map(line).collect()
}

/// `SIGPIPE` (0x1000) is ignored by the program's own standard library, not by the agent.
const PROCESS: &str = "\
argument /inspect
argument process
argument with
argument two words
variable HOME=/
variable PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
variable AC_APP_NAME=web
variable AC_METADATA_URL=http://127.0.0.1:18112/TOKEN
variable container=bulkhead
variable SHELL=/bin/sh
variable USER=root
variable LOGNAME=root
/proc/self/exe /inspect
/proc/self/cwd /
/proc/self/root /
Umask 0022
Uid 0 0 0 0
Gid 0 0 0 0
Groups
SigPnd 0000000000000000
ShdPnd 0000000000000000
SigBlk 0000000000000000
SigIgn 0000000000001000
CapInh 0000000000000000
CapPrm 00000000a80425fb
CapEff 00000000a80425fb
CapBnd 00000000a80425fb
CapAmb 0000000000000000
NoNewPrivs 0
Seccomp 2
Seccomp_filters 1
session own group own terminal 0 nice 0 policy 0
/proc/self/oom_score_adj 0
/proc/self/personality 00000000
/proc/self/timerslack_ns 50000
/proc/self/cgroup 0::/
/proc/sys/kernel/hostname pod
/proc/sys/kernel/domainname (none)
descriptor 0 /dev/null
descriptor 1 pipe
descriptor 2 pipe
";

/// As much as other runtimes give: what an app may spend is its control group's to say.
const LIMITS: &str = "\
Max cpu time unlimited unlimited seconds
Max file size unlimited unlimited bytes
Max data size unlimited unlimited bytes
Max stack size 8388608 unlimited bytes
Max core file size 0 unlimited bytes
Max resident set unlimited unlimited bytes
Max processes unlimited unlimited processes
Max open files 1024 524288 files
Max locked memory 8388608 8388608 bytes
Max address space unlimited unlimited bytes
Max file locks unlimited unlimited locks
Max msgqueue size 819200 819200 bytes
Max nice priority 0 0
Max realtime priority 0 0
Max realtime timeout unlimited unlimited us
";

#[test]
fn a_process_starts_with_nothing_but_what_is_promised() {
    let report = inspect(["process", "with", "two words"])
        .pod_flag("--hostname=pod")
        .run()
        .exits(0);
    assert_eq!(known(&report.text()), format!("{PROCESS}{LIMITS}"));
}

const CHANGED: &str = "\
argument /inspect
argument process
variable A=b
variable HOME=/
variable PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
variable AC_APP_NAME=web
variable AC_METADATA_URL=http://127.0.0.1:18112/TOKEN
variable container=bulkhead
variable SHELL=/bin/sh
/proc/self/exe /inspect
/proc/self/cwd /proc
/proc/self/root /
Umask 0022
Uid 1000 1000 1000 1000
Gid 2000 2000 2000 2000
Groups 3000 3001
SigPnd 0000000000000000
ShdPnd 0000000000000000
SigBlk 0000000000000000
SigIgn 0000000000001000
CapInh 0000000000000000
CapPrm 0000000000000000
CapEff 0000000000000000
CapBnd 0000000000001000
CapAmb 0000000000000000
NoNewPrivs 0
Seccomp 2
Seccomp_filters 1
session own group own terminal 0 nice 0 policy 0
/proc/self/oom_score_adj 500
/proc/self/personality 00000000
/proc/self/timerslack_ns 50000
/proc/self/cgroup 0::/
/proc/sys/kernel/hostname pod
/proc/sys/kernel/domainname (none)
descriptor 0 /dev/null
descriptor 1 pipe
descriptor 2 pipe
";

#[test]
fn flags_change_what_they_name_and_nothing_else() {
    let report = inspect(["process"])
        .pod_flag("--hostname=pod")
        .pod_flag("--set-env=A=b")
        .flag("--user=1000")
        .flag("--group=2000")
        .flag("--supplementary-gids=3000,3001")
        .flag("--working-dir=/proc")
        .flag("--caps-retain=CAP_NET_ADMIN")
        .flag("--oom-score-adj=500")
        .run()
        .exits(0);
    assert_eq!(known(&report.text()), format!("{CHANGED}{LIMITS}"));
}

/// None is shared with another mount: what an app mounts, nobody else sees, and the other way round.
const MOUNTS: &str = "\
/ overlay rw,relatime
/proc proc rw,nosuid,nodev,noexec,relatime
/sys sysfs ro,nosuid,nodev,noexec,relatime
/sys/fs/cgroup cgroup2 ro,nosuid,nodev,noexec,relatime
/dev tmpfs rw,nosuid,relatime
/dev/pts devpts rw,nosuid,noexec,relatime
/dev/shm tmpfs rw,nosuid,nodev,noexec,relatime
/dev/mqueue mqueue rw,nosuid,nodev,noexec,relatime
/proc/bus proc ro,nosuid,nodev,noexec,relatime
/proc/sys/kernel/core_pattern proc ro,nosuid,nodev,noexec,relatime
/proc/sys/vm/panic_on_oom proc ro,nosuid,nodev,noexec,relatime
/proc/kallsyms tmpfs rw,nosuid,relatime
/proc/keys tmpfs rw,nosuid,relatime
/proc/timer_list tmpfs rw,nosuid,relatime
/sys/firmware tmpfs ro,nosuid,nodev,noexec,relatime
/sys/fs/ext4 tmpfs ro,nosuid,nodev,noexec,relatime
/sys/fs/erofs tmpfs ro,nosuid,nodev,noexec,relatime
/sys/module tmpfs ro,nosuid,nodev,noexec,relatime
";

#[test]
fn an_empty_root_has_the_promised_mounts() {
    inspect(["mounts"]).run().exits(0).prints(MOUNTS);
}

const DEVICES: &str = "\
/dev/console link /proc/self/fd/1
/dev/fd link /proc/self/fd
/dev/full character 1,7 666 0:0
/dev/mqueue directory 0,0 1777 0:0
/dev/null character 1,3 666 0:0
/dev/ptmx link pts/ptmx
/dev/pts directory 0,0 755 0:0
/dev/pts/ptmx character 5,2 666 0:0
/dev/random character 1,8 666 0:0
/dev/shm directory 0,0 1777 0:0
/dev/stderr link /proc/self/fd/2
/dev/stdin link /proc/self/fd/0
/dev/stdout link /proc/self/fd/1
/dev/tty character 5,0 666 0:0
/dev/urandom character 1,9 666 0:0
/dev/zero character 1,5 666 0:0
";

#[test]
fn the_devices_are_the_promised_ones() {
    inspect(["devices"]).run().exits(0).prints(DEVICES);
}

#[test]
fn volumes_can_be_measured() {
    let directory = tempfile::tempdir().unwrap();
    let figures = inspect(["measure", "/v"])
        .pod_flag(format!(
            "--volume=v,kind=host,source={}",
            directory.path().display()
        ))
        .flag("--mount=volume=v,target=/v")
        .run()
        .exits(0)
        .text();
    let names: Vec<_> = figures
        .lines()
        .filter_map(|l| l.split(' ').next())
        .collect();
    assert_eq!(
        names,
        [
            "sequential_write_mib",
            "sequential_read_mib",
            "random_read_4k",
            "random_write_4k",
            "create",
            "open_and_stat",
            "rename",
            "remove"
        ]
    );
}
