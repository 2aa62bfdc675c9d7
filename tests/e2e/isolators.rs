//! What an app may do: capabilities, system calls, privileges, limits, and a clean start.

use bulkhead_tests::images::busybox_oci;

use crate::bulkhead::{Call, pod};

/// Bounding, effective, inheritable and ambient capabilities of a fresh process.
const CAPABILITIES: &str = "grep -E 'Cap(Inh|Eff|Bnd|Amb)' /proc/self/status | tr -s '\\t\\n' ' '";

fn shell(script: &str) -> Call {
    pod(&busybox_oci()).shell(script)
}

fn sets(effective: u64, bounding: u64) -> String {
    format!(
        "CapInh: {:016x} CapEff: {effective:016x} CapBnd: {bounding:016x} CapAmb: {:016x} ",
        0, 0
    )
}

/// Docker's and rkt's fourteen.
const DEFAULT: u64 = 0xa804_25fb;

/// All of Linux 6.12.
const ALL: u64 = 0x1ff_ffff_ffff;

#[test]
fn apps_have_the_default_capabilities_and_other_users_none() {
    let default = sets(DEFAULT, DEFAULT);
    shell(CAPABILITIES).run().exits(0).prints(&default);
    let none = sets(0, DEFAULT);
    let user = shell(CAPABILITIES).flag("--user=nobody");
    user.run().exits(0).prints(&none);
}

#[test]
fn capability_sets_hold_for_each_app_by_itself() {
    shell(CAPABILITIES)
        .name("keeps")
        .flag("--caps-retain=CAP_CHOWN,CAP_SYS_ADMIN")
        .app(busybox_oci())
        .shell(CAPABILITIES)
        .name("removes")
        .flag("--caps-remove=CAP_CHOWN")
        .run()
        .exits(0)
        .shows(&sets(0x20_0001, 0x20_0001))
        .shows(&sets(DEFAULT & !1, DEFAULT & !1));
}

#[test]
fn the_insecure_option_leaves_every_capability() {
    shell(CAPABILITIES)
        .pod_flag("--insecure-options=capabilities")
        .flag("--caps-remove=CAP_CHOWN")
        .run()
        .exits(0)
        .prints(&sets(ALL, ALL));
}

#[test]
fn the_default_filter_denies_what_containers_deny() {
    shell("unshare -U true || echo denied; grep Seccomp: /proc/self/status")
        .run()
        .exits(0)
        .prints("denied\nSeccomp:\t2\n")
        .says("Operation not permitted");
    shell("unshare -U true && grep Seccomp: /proc/self/status")
        .pod_flag("--insecure-options=seccomp")
        .run()
        .exits(0)
        .prints("Seccomp:\t0\n");
}

#[test]
fn a_capability_opens_its_calls_in_the_default_filter() {
    let script = "mkdir /m; mount -t tmpfs none /m && echo mounted || echo denied";
    shell(script).run().exits(0).prints("denied\n");
    let admin = shell(script).flag("--caps-retain=CAP_SYS_ADMIN");
    admin.run().exits(0).prints("mounted\n");
}

#[test]
fn a_removed_call_fails_with_its_error_or_kills() {
    shell("mkdir /d || echo failed")
        .flag("--seccomp=mode=remove,errno=EXDEV,mkdir,mkdirat")
        .run()
        .exits(0)
        .prints("failed\n")
        .says("cross-device link");
    pod(&busybox_oci())
        .exec("/bin/mkdir")
        .args(["/d"])
        .flag("--seccomp=mode=remove,mkdir,mkdirat")
        .run()
        .exits(159);
}

#[test]
fn a_retain_set_leaves_only_its_calls() {
    shell("mkdir /d && (unshare -U true; echo $?)")
        .flag("--seccomp=mode=retain,@rkt/default-whitelist")
        .run()
        .exits(0)
        .prints("159\n");
    pod(&busybox_oci())
        .exec("/bin/true")
        .flag("--seccomp=mode=retain,@appc.io/empty")
        .run()
        .exits(159);
    shell("unshare -U true && grep Seccomp: /proc/self/status")
        .flag("--seccomp=mode=retain,@appc.io/all")
        .run()
        .exits(0)
        .prints("Seccomp:\t0\n");
}

#[test]
fn a_filter_holds_for_any_user_and_takes_no_capability_along() {
    let script = format!("{CAPABILITIES}; grep -E 'NoNewPrivs|Seccomp:' /proc/self/status");
    let expected = format!("{}NoNewPrivs:\t0\nSeccomp:\t2\n", sets(0, DEFAULT));
    shell(&script)
        .flag("--user=nobody")
        .flag("--seccomp=mode=remove,errno=EPERM,reboot")
        .run()
        .exits(0)
        .prints(&expected);
}

#[test]
fn a_program_that_is_missing_is_named_under_any_filter() {
    pod(&busybox_oci())
        .exec("/nope")
        .flag("--seccomp=mode=retain,@appc.io/empty")
        .run()
        .exits(203)
        .says("cannot run \"/nope\" in app");
}

#[test]
fn sets_that_make_no_sense_are_254_and_named() {
    for (flag, problem) in [
        ("opennat", "Linux on x86 has no system call opennat"),
        ("@systemd/cloc", "there is no group @systemd/cloc"),
        ("mode=remove,execve", "without which no program starts"),
        ("mode=remove,errno=ENOPE,mount", "Linux has no error ENOPE"),
    ] {
        shell("echo ran")
            .name("worker")
            .flag(format!("--seccomp={flag}"))
            .run()
            .exits(254)
            .prints("")
            .says("app worker: isolator os/linux/seccomp-")
            .says(problem);
    }
    shell("echo ran")
        .flag("--caps-retain=CAP_CHOWN")
        .flag("--caps-remove=CAP_KILL")
        .run()
        .exits(254)
        .prints("");
}

#[test]
fn the_out_of_memory_score_is_the_app_s() {
    let script = "cat /proc/self/oom_score_adj";
    shell(script).run().exits(0).prints("0\n");
    let first = shell(script).flag("--oom-score-adj=500");
    first.run().exits(0).prints("500\n");
    let last = shell(script).flag("--oom-score-adj=-900");
    last.flag("--user=nobody").run().exits(0).prints("-900\n");
}

#[test]
fn a_process_starts_clean() {
    let script = "
        grep -E 'Sig(Blk|Ign)' /proc/self/status | tr -d '\\t'
        # A pipe would be open in the shell until both of its ends have begun.
        (ls /proc/$$/fd > /tmp/open); tr '\\n' ' ' < /tmp/open; umask
        ulimit -Sn; ulimit -Hn; ulimit -Sc; ulimit -Hc; ulimit -u";
    let signals = "SigBlk:0000000000000000\nSigIgn:0000000000000000\n";
    let limits = "1024\n524288\n0\nunlimited\nunlimited\n";
    shell(script)
        .run()
        .exits(0)
        .prints(&format!("{signals}0 1 2 0022\n{limits}"));
}
