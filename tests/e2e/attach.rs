//! Clients that read and write the streams of an app of a running pod.

use std::fs;
use std::process::Command;

use bulkhead_tests::images::busybox_oci;
use nix::sys::signal::Signal;

use crate::bulkhead::{Call, Running, own_data, pod};
use crate::leftovers::no_processes;
use crate::terminal::Terminal;

/// What it answers to input; `ready` comes first.
const ECHO: &str = "echo ready; while read line; do echo got $line; echo also $line >&2; done";

/// A running pod of the app `web`, in a data directory of its own.
struct Pod {
    running: Running,
    uuid: String,
    data: tempfile::TempDir,
}

impl Pod {
    fn start(script: &str, modes: &[&str]) -> Self {
        let data = own_data();
        let file = data.path().join("uuid");
        let flag = format!("--uuid-file-save={}", file.display());
        let call = pod(&busybox_oci()).data(data.path()).pod_flag(flag);
        let mut call = call.name("web").shell(script);
        for mode in modes {
            call = call.flag(*mode);
        }
        // A pipe: read when it is written, before the pod starts. Whoever attaches early waits for the rest.
        let made = Command::new("mkfifo").arg(&file).status();
        assert!(made.expect("mkfifo runs").success());
        let running = call.start();
        let uuid = fs::read_to_string(&file).expect("the UUID");
        let uuid = uuid.trim().to_owned();
        let words = ["--dir", data.path().to_str().expect("a path of UTF-8")];
        // One that has ended already never will be ready, and says so.
        Call::of(&[&words[..], &["status", "--wait-ready", &uuid]].concat()).run();
        Self {
            running,
            uuid,
            data,
        }
    }

    fn attach(&self, flags: &[&str]) -> Call {
        let data = self.data.path().to_str().expect("a path of UTF-8");
        let mut words = vec!["--dir", data, "attach", &self.uuid];
        words.extend(flags);
        Call::of(&words)
    }

    fn end(self) {
        self.running
            .signal(Signal::SIGKILL)
            .finish()
            .dies_of(Signal::SIGKILL);
        assert_eq!(no_processes(), Vec::<String>::new());
    }
}

#[test]
fn several_clients_write_and_read_beside_the_caller() {
    let mut pod = Pod::start(ECHO, &["--stdin=stream"]);
    pod.running = pod.running.wait_for("ready");
    pod.attach(&["--mode=list"])
        .run()
        .exits(0)
        .prints("stdin\nstdout\nstderr\n");
    let client = |line: &str| {
        let client = pod.attach(&["--mode=stdout,stdin"]);
        let client = client.input(format!("{line}\n")).start();
        client.wait_for(&format!("got {line}"))
    };
    let (one, two) = (client("one"), client("two"));
    // Its end is not the app's, and the others go on.
    pod.attach(&["--mode=stdin"])
        .input("three\nfour\n")
        .run()
        .exits(0);
    let (one, two) = (one.wait_for("got four"), two.wait_for("got four"));
    pod.running = pod.running.wait_for("got four");
    pod.end();
    // The pod's end is no failure of theirs.
    one.finish().exits(0);
    two.finish().exits(0);
}

#[test]
fn an_app_that_floods_reaches_every_client_and_its_end_ends_them() {
    let script = "read a; echo one; read b; echo two; seq 1 300000; exit 4";
    let pod = Pod::start(script, &["--stdin=stream", "--stdout=stream"]);
    let client = |line: &str| {
        let client = pod.attach(&["--mode=stdin,stdout"]);
        client.input(line).start()
    };
    let one = client("a\n").wait_for("one");
    let two = client("b\n");
    let lines: String = (1..=300_000).map(|i| format!("{i}\n")).collect();
    let all = format!("one\ntwo\n{lines}");
    for (whole, expected) in [
        (pod.running.finish().exits(4), &all[..]),
        (one.finish().exits(0), &all),
        (two.finish().exits(0), &all["one\n".len()..]),
    ] {
        assert!(whole.text() == expected, "{} bytes", whole.stdout.len());
    }
}

#[test]
fn a_client_that_stands_still_is_hung_up_on_and_stops_nobody() {
    let script = "read go; seq 1 300000; exit 5";
    let pod = Pod::start(script, &["--stdin=stream"]);
    let still = pod.attach(&["--mode=stdout,stdin"]).input("go\n").start();
    let still = still.wait_for("\n").signal(Signal::SIGSTOP);
    let all = pod.running.finish().exits(5);
    let lines: String = (1..=300_000).map(|i| format!("{i}\n")).collect();
    assert!(all.text() == lines, "{} bytes", all.stdout.len());
    still.signal(Signal::SIGCONT).finish().exits(0);
}

#[test]
fn a_terminal_is_attached_to_left_and_attached_to_again() {
    let script = "stty size; while read line; do echo got $line; stty size; done";
    let pod = Pod::start(script, &["--stdin=tty"]);
    pod.attach(&["--mode=list"])
        .run()
        .exits(0)
        .prints("tty-in\ntty-out\n");
    for (rows, columns) in [(33, 77), (20, 50)] {
        let mut terminal = Terminal::open(rows, columns);
        let modes = terminal.modes();
        let client = terminal.run(pod.attach(&[]));
        terminal.write("word\r");
        terminal.wait_for("got word");
        terminal.wait_for(&format!("{rows} {columns}"));
        terminal.write("\x1d\x1d\x1d");
        client.finish().exits(0);
        assert_eq!(terminal.modes(), modes, "it is as it was");
    }
    pod.end();
}

#[test]
fn what_an_app_does_not_have_is_named() {
    let mut pod = Pod::start("echo ready; sleep 600", &["--stdout=log", "--stderr=null"]);
    pod.attach(&["--mode=list"])
        .run()
        .exits(0)
        .prints("stdout\n");
    pod.attach(&["--mode=stderr"])
        .run()
        .exits(254)
        .says("cannot attach to stderr: there is stdout");
    pod.attach(&["--mode=tty"])
        .run()
        .exits(254)
        .says("cannot attach to tty-in, tty-out: there is stdout");
    pod.running = pod.running.wait_for("ready");
    pod.end();
}

#[test]
fn a_mode_says_what_is_logged_and_shown() {
    let script = "echo out; echo err >&2";
    let pod = Pod::start(script, &["--stdout=stream", "--stderr=null"]);
    let end = pod.running.finish().exits(0).prints("out\n");
    assert!(end.stderr.is_empty());
    let data = pod.data.path().to_str().expect("a path of UTF-8");
    let logs = Call::of(&["--dir", data, "logs", &pod.uuid]);
    logs.run().exits(0).prints("");
}
