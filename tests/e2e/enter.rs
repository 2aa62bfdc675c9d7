//! Programs that enter an app of a running pod.

use std::fs;
use std::path::Path;
use std::process::Command;

use bulkhead_tests::images::busybox_oci;
use nix::sys::signal::{Signal, kill};

use crate::bulkhead::{Call, Running, own_data, pod};
use crate::killed::process;
use crate::leftovers::no_processes;
use crate::terminal::Terminal;

/// What an app does that is only there to be entered: it says so, and waits.
pub(crate) const WAITS: &str = "echo ready; while :; do sleep 0.1; done";

/// Shows what a program may do.
pub(crate) const RESTRICTIONS: &str =
    "grep -E '^(CapBnd|CapEff|Seccomp|NoNewPrivs):' /proc/self/status";

/// A running pod, in a data directory of its own.
pub(crate) struct Pod {
    running: Running,
    uuid: String,
    data: tempfile::TempDir,
}

impl Pod {
    /// Starts one of the app `web`, of which the caller may say more.
    pub(crate) fn start(script: &str, more: impl FnOnce(Call) -> Call) -> Self {
        let data = own_data();
        let file = data.path().join("uuid");
        let call = pod(&busybox_oci())
            .data(data.path())
            .pod_flag(format!("--uuid-file-save={}", file.display()))
            .name("web")
            .shell(script);
        let running = more(call).start().wait_for("ready");
        let uuid = fs::read_to_string(file)
            .expect("the UUID")
            .trim()
            .to_owned();
        Self {
            running,
            uuid,
            data,
        }
    }

    fn waiting() -> Self {
        Self::start(WAITS, |call| call)
    }

    fn directory(&self) -> std::path::PathBuf {
        self.data.path().join("pods/run").join(&self.uuid)
    }

    fn enter<const N: usize>(&self, words: [&str; N]) -> Call {
        enter(self.data.path(), &[], &self.uuid, &words)
    }

    pub(crate) fn shell(&self, script: &str) -> Call {
        self.enter(["sh", "-c", script])
    }

    /// Ends it as a killed pod ends, which takes no grace.
    pub(crate) fn end(self) {
        self.running
            .signal(Signal::SIGKILL)
            .finish()
            .dies_of(Signal::SIGKILL);
        assert_eq!(no_processes(), Vec::<String>::new());
    }
}

/// What stands behind the UUID is the program's, so everything else comes before.
fn enter(data: &Path, flags: &[&str], uuid: &str, words: &[&str]) -> Call {
    let data = data.to_str().expect("a path of UTF-8");
    let mut all = vec!["--dir", data, "enter"];
    all.extend(flags);
    all.push(uuid);
    all.extend(words);
    Call::of(&all)
}

#[test]
fn output_error_and_code_pass() {
    let pod = Pod::waiting();
    let end = pod
        .shell("echo out; echo err >&2; exit 7")
        .run()
        .exits(7)
        .prints("out\n");
    if end.stderr != b"err\n" {
        end.fail("expected standard error \"err\\n\" alone");
    }
    pod.shell("kill -9 $$").run().exits(137);
    pod.end();
}

#[test]
fn input_passes_unchanged_and_ends() {
    let pod = Pod::waiting();
    let input: Vec<u8> = (0..8_u32 << 20)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    let end = pod.enter(["cat"]).input(input.clone()).run().exits(0);
    if end.stdout != input {
        end.fail(&format!("{} of {} bytes", end.stdout.len(), input.len()));
    }
    // One that reads nothing is not held by it.
    pod.shell("exit 9").input(input).run().exits(9);
    pod.end();
}

#[test]
fn an_escape_sequence_leaves_a_terminal_and_the_program_hangs_up() {
    let pod = Pod::waiting();
    let mut terminal = Terminal::open(24, 80);
    let modes = terminal.modes();
    let client =
        terminal.run(pod.shell("trap 'echo > /tmp/hung-up' HUP; echo ready; read line; read line"));
    terminal.wait_for("ready");
    terminal.write("\x1d\x1d\x1d");
    client.finish().exits(129);
    assert_eq!(terminal.modes(), modes, "it is as it was");
    pod.shell("until [ -e /tmp/hung-up ]; do sleep 0.1; done")
        .run()
        .exits(0);
    pod.end();
}

#[test]
fn it_is_root_in_the_app_s_surroundings() {
    let pod = Pod::start(&format!("echo here > /tmp/mark; {WAITS}"), |call| {
        call.flag("--user=1000")
            .flag("--group=1000")
            .flag("--working-dir=/tmp")
            .flag("--environment=FROM=app")
            .flag("--environment=TERM=dumb")
    });
    pod.shell("id -u; id -g; pwd; cat /tmp/mark; echo $FROM $TERM $AC_APP_NAME")
        .variable("TERM", "xterm-ours")
        .run()
        .exits(0)
        .prints("0\n0\n/\nhere\napp xterm-ours web\n");
    pod.end();
}

#[test]
fn in_a_machine_it_has_none_of_the_app_s_restrictions() {
    let pod = Pod::start(WAITS, |call| call.flag("--caps-retain=CAP_CHOWN"));
    pod.shell(RESTRICTIONS).run().exits(0).prints(
        "CapEff:\t000001ffffffffff\nCapBnd:\t000001ffffffffff\nNoNewPrivs:\t0\nSeccomp:\t0\n",
    );
    pod.end();
}

#[test]
fn a_signal_is_the_program_s_to_answer() {
    let pod = Pod::waiting();
    pod.shell("trap 'echo caught; exit 9' TERM; echo ready; while :; do sleep 0.1; done")
        .start()
        .wait_for("ready")
        .signal(Signal::SIGTERM)
        .finish()
        .exits(9)
        .shows("caught\n");
    pod.enter(["sh", "-c", "echo ready; exec sleep 600"])
        .start()
        .wait_for("ready")
        .signal(Signal::SIGINT)
        .finish()
        .exits(130);
    pod.end();
}

#[test]
fn several_enter_at_a_time() {
    let pod = Pod::waiting();
    let started: Vec<Running> = (0..8)
        .map(|n| {
            let script = format!("echo {n} is here; read line; echo {n} got $line; exit {n}");
            pod.shell(&script).input(format!("word{n}\n")).start()
        })
        .collect();
    for (n, running) in (0..).zip(started) {
        running
            .finish()
            .exits(n)
            .prints(&format!("{n} is here\n{n} got word{n}\n"));
    }
    pod.end();
}

#[test]
fn it_works_while_the_app_floods_its_output() {
    let pod = Pod::start("echo ready; yes >&2", |call| {
        call.under(["sh", "-c", r#"exec "$@" 2> /dev/null"#, "sh"])
    });
    pod.shell("echo in between")
        .run()
        .exits(0)
        .prints("in between\n");
    pod.end();
}

#[test]
fn what_cannot_run_is_named() {
    let pod = Pod::waiting();
    pod.enter(["/no/such/program"])
        .run()
        .exits(203)
        .says("enter: cannot run \"/no/such/program\" in app web");
    // Nothing named is a shell that this image does not have.
    pod.enter([]).run().exits(203).says("\"/bin/bash\"");
    pod.end();
}

#[test]
fn a_pod_of_several_apps_must_be_told_which() {
    let pod = Pod::start("sleep 600", |call| {
        call.app(busybox_oci()).name("db").shell(WAITS)
    });
    let call = |flags: &[&str]| {
        let words = ["sh", "-c", "echo $AC_APP_NAME"];
        enter(pod.data.path(), flags, &pod.uuid, &words).run()
    };
    call(&[]).exits(254).says("web, db");
    call(&["--app=www"]).exits(254).says("it has web, db");
    call(&["--app=web"]).exits(0).prints("web\n");
    call(&["--app=db"]).exits(0).prints("db\n");
    pod.end();
}

#[test]
fn a_pod_that_has_only_begun_to_start_is_entered_when_it_can_be() {
    let data = own_data();
    let file = data.path().join("uuid");
    let running = pod(&busybox_oci())
        .data(data.path())
        .pod_flag(format!("--uuid-file-save={}", file.display()))
        .shell("while [ ! -e /tmp/entered ]; do sleep 0.1; done")
        .start();
    // The pod is there before its file has its name.
    while !fs::read_to_string(&file).is_ok_and(|uuid| uuid.ends_with('\n')) {
        std::thread::yield_now();
    }
    let uuid = fs::read_to_string(&file).expect("the UUID");
    let run = data.path().join("pods/run").join(uuid.trim());
    while !run.exists() {
        std::thread::yield_now();
    }
    enter(data.path(), &[], uuid.trim(), &["touch", "/tmp/entered"])
        .run()
        .exits(0);
    running.finish().exits(0);
}

#[test]
fn a_terminal_echoes_and_has_our_size_and_its_changes() {
    let pod = Pod::waiting();
    let script = "tty; stty size; while [ \"$(stty size)\" = '33 77' ]; do sleep 0.1; done; \
                  stty size; read line; echo got $line; exit 4";
    let call = pod.enter(["sh", "-c", script]);
    let mut terminal = Terminal::open(33, 77);
    let modes = terminal.modes();
    let client = terminal.run(call);
    terminal.wait_for("/dev/pts/0\r\n33 77\r\n");
    assert!(
        terminal.modes() != modes,
        "it is raw while the program runs"
    );
    terminal.resize(40, 100);
    terminal.wait_for("40 100\r\n");
    terminal.write("word\r");
    terminal.wait_for("word\r\ngot word\r\n");
    client.finish().exits(4);
    assert_eq!(terminal.modes(), modes, "it is as it was");
    // Keys that make signals are the program's too.
    let client = terminal.run(pod.enter(["sh", "-c", "echo waits; sleep 600"]));
    terminal.wait_for("waits\r\n");
    terminal.write("\x03");
    client.finish().exits(130);
    pod.end();
}

#[test]
fn a_client_that_is_killed_takes_its_program_along() {
    let pod = Pod::start(
        "echo ready; while ! [ -s /tmp/number ]; do sleep 0.1; done; \
         while [ -e /proc/$(cat /tmp/number) ]; do sleep 0.1; done; echo gone",
        |call| call,
    );
    pod.shell("echo $$ > /tmp/number; echo inside; exec sleep 600")
        .start()
        .wait_for("inside")
        .signal(Signal::SIGKILL)
        .finish()
        .dies_of(Signal::SIGKILL);
    pod.running.finish().exits(0).shows("gone\n");
    assert_eq!(no_processes(), Vec::<String>::new());
}

#[test]
fn the_pod_ends_with_its_apps_and_not_with_what_entered_it() {
    let pod = Pod::start(
        "echo ready; while [ ! -e /tmp/end ]; do sleep 0.1; done",
        |call| call,
    );
    pod.shell("exit 5").run().exits(5);
    let inside = pod
        .shell("echo inside; sleep 600")
        .start()
        .wait_for("inside");
    pod.enter(["touch", "/tmp/end"]).run().exits(0);
    let directory = pod.directory();
    assert!(directory.join("control").exists());
    pod.running.finish().exits(0);
    inside.finish().exits(137);
    assert!(!directory.join("control").exists(), "the socket goes too");
    assert_eq!(no_processes(), Vec::<String>::new());
    enter(pod.data.path(), &[], &pod.uuid, &["true"])
        .run()
        .exits(254)
        .says("is not running: it is exited");
}

#[test]
fn a_killed_relay_ends_everything() {
    let pod = Pod::waiting();
    let inside = pod
        .shell("echo inside; sleep 600")
        .start()
        .wait_for("inside");
    kill(process("relay"), Signal::SIGKILL).unwrap();
    inside
        .finish()
        .exits(254)
        .says("the pod ended before the program did");
    pod.running.finish().exits(254);
    assert_eq!(no_processes(), Vec::<String>::new());
}

#[test]
fn nothing_listens_on_a_network_for_it() {
    let pod = Pod::waiting();
    // The metadata service alone, on loopback.
    pod.shell("cat /proc/net/tcp /proc/net/tcp6 | grep -c ' 0A '; grep ' 0A ' /proc/net/tcp")
        .run()
        .exits(0)
        .shows("1\n")
        .shows("0100007F:");
    pod.end();
}

#[test]
fn nobody_but_root_reaches_the_pod_s_socket() {
    use std::os::unix::fs::PermissionsExt;
    let pod = Pod::waiting();
    let socket = pod.directory().join("control");
    let mode = fs::metadata(&socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let other = Command::new("setpriv")
        .args(["--reuid=65533", "--regid=65533", "--clear-groups", "ls"])
        .arg(&socket)
        .output()
        .unwrap();
    assert!(!other.status.success(), "the relay's user sees no pod");
    pod.end();
}
