//! What apps write is kept with their pod.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use bulkhead_tests::images::busybox_oci;
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::bulkhead::{Call, own_data, pod};
use crate::terminal::Terminal;

/// Most that the log of one app takes on disk.
const BOUND: u64 = 16 << 20;

/// Where systemd's journal listens.
const JOURNAL_SOCKET: &str = "/run/systemd/journal/socket";

/// A data directory, and the file with the UUID of the one pod in it.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(own_data())
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn uuid_file(&self) -> PathBuf {
        self.path().join("uuid")
    }

    /// A pod of the app `web`, to be made.
    fn pod(&self, script: &str) -> Call {
        let file = format!("--uuid-file-save={}", self.uuid_file().display());
        pod(&busybox_oci())
            .data(self.path())
            .pod_flag(file)
            .name("web")
            .shell(script)
    }

    fn logs(&self, flags: &[&str]) -> Call {
        self.call("logs", flags)
    }

    fn call(&self, command: &str, flags: &[&str]) -> Call {
        let data = self.path().to_str().expect("a path of UTF-8");
        let file = format!("--uuid-file={}", self.uuid_file().display());
        let mut words = vec!["--dir", data, command, &file];
        words.extend(flags);
        Call::of(&words)
    }

    /// The directory of the logs, wherever the pod is.
    fn directory(&self) -> PathBuf {
        let uuid = fs::read_to_string(self.uuid_file()).expect("the UUID");
        let phase = self.path().join("pods/run");
        phase.join(uuid.trim()).join("logs")
    }
}

#[test]
fn they_are_read_after_the_end_by_app_and_stream() {
    let place = Place::new();
    // One after the other, for the order of the whole is that of time.
    place
        .pod("echo one; echo two >&2; touch /shared/web; until [ -e /shared/db ]; do :; done; echo four")
        .flag("--mount=volume=shared,target=/shared")
        .pod_flag("--volume=shared,kind=empty")
        .app(busybox_oci())
        .name("db")
        .flag("--mount=volume=shared,target=/shared")
        .shell("until [ -e /shared/web ]; do :; done; echo three; touch /shared/db")
        .run()
        .exits(0);
    let all = place.logs(&[]).run().exits(0).text();
    let mut lines: Vec<&str> = all.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["db: three", "web: four", "web: one", "web: two"]);
    let position = |line: &str| all.find(line).expect("the line");
    assert!(position("web: one") < position("web: four"), "{all}");
    place.logs(&["--app=db"]).run().exits(0).prints("three\n");
    place
        .logs(&["--app=web", "--stream=stderr"])
        .run()
        .exits(0)
        .prints("two\n");
    place
        .logs(&["--tail=1", "--app=web", "--stream=stdout"])
        .run()
        .exits(0)
        .prints("four\n");
    place
        .logs(&["--since=2999-01-01T00:00:00Z"])
        .run()
        .exits(0)
        .prints("");
    place
        .logs(&["--app=dbb"])
        .run()
        .exits(254)
        .says("it has no app \"dbb\": it has db, web");
}

#[test]
fn bytes_that_are_no_text_and_an_unfinished_line_survive() {
    let place = Place::new();
    place.pod(r"printf 'a\377\000b\nthe end'").run().exits(0);
    let end = place.logs(&[]).run().exits(0);
    assert_eq!(end.stdout, b"a\xff\0b\nthe end");
    let json = place.logs(&["--format=json"]).run().exits(0).text();
    let records = json
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"));
    let records: Vec<Value> = records.collect();
    assert_eq!(records[0]["base64"], "Yf8AYgo=");
    assert_eq!(records[1]["log"], "the end");
    assert_eq!(
        (&records[1]["app"], &records[1]["stream"]),
        (&"web".into(), &"stdout".into())
    );
}

#[test]
fn a_follower_gets_lines_as_they_come_and_ends_with_the_pod() {
    let place = Place::new();
    let pod = place
        .pod("echo ready; until [ -e /shared/go ]; do sleep 0.1; done; echo more; seq 1 50000; exit 3")
        .flag("--mount=volume=shared,target=/shared")
        .pod_flag(format!("--volume=shared,kind=host,source={}", place.path().display()))
        .start()
        .wait_for("ready");
    let follower = place.logs(&["--follow"]).start().wait_for("ready");
    fs::write(place.path().join("go"), "").expect("a file for the app");
    let follower = follower.wait_for("more");
    pod.finish().exits(3);
    let text = follower.finish().exits(0).text();
    let numbers: String = (1..=50_000).map(|i| format!("{i}\n")).collect();
    assert!(
        text == format!("ready\nmore\n{numbers}"),
        "{} bytes",
        text.len()
    );
}

#[test]
fn a_hundred_mebibytes_stay_within_the_bound() {
    let place = Place::new();
    let line = "x".repeat(1023);
    let end = place
        .pod(&format!("yes {line} | head -n 102400; echo the end"))
        .run()
        .exits(0);
    assert_eq!(end.stdout.len(), (100 << 20) + "the end\n".len());
    let files = fs::read_dir(place.directory()).expect("logs");
    let lengths = files.map(|file| file.and_then(|file| file.metadata()).expect("a file").len());
    let total: u64 = lengths.sum();
    assert!(total > BOUND / 4 && total <= BOUND, "{total} bytes on disk");
    let text = place.logs(&["--tail=2"]).run().exits(0).text();
    assert_eq!(text, format!("{line}\nthe end\n"));
}

#[test]
fn a_killed_pod_s_logs_are_read_and_deleted_with_it() {
    let place = Place::new();
    let pod = place
        .pod("echo before; echo ready; sleep 600")
        .start()
        .wait_for("ready");
    // A line is logged soon after it was passed on: this waits for it.
    let follower = place.logs(&["-f"]).start().wait_for("ready");
    pod.signal(Signal::SIGKILL)
        .finish()
        .dies_of(Signal::SIGKILL);
    follower.finish().exits(0).prints("before\nready\n");
    place.logs(&[]).run().exits(0).prints("before\nready\n");
    let directory = place.directory();
    assert!(directory.exists());
    place.call("rm", &[]).run().exits(0);
    assert!(!directory.exists());
}

/// systemd's own, run by hand: what it takes is what journalctl shows.
struct Journal(Child);

impl Journal {
    fn start() -> Self {
        let _ = fs::create_dir_all("/run/log/journal");
        let journald = Command::new("/lib/systemd/systemd-journald")
            .stderr(Stdio::null())
            .spawn()
            .expect("systemd-journald starts");
        let journal = Self(journald);
        // It answers when it listens.
        while !journal.ctl(&["--sync"]).status.success() {}
        journal
    }

    fn ctl(&self, words: &[&str]) -> Output {
        let mut journalctl = Command::new("journalctl");
        let call = journalctl.args(words);
        call.output().expect("journalctl runs")
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        // It may have died, which is for the test to notice.
        let _ = self.0.kill();
        let _ = self.0.wait();
        let _ = fs::remove_file(JOURNAL_SOCKET);
    }
}

#[test]
fn the_host_s_journal_has_the_lines_too() {
    let place = Place::new();
    let journal = Journal::start();
    place.pod("echo hello; echo trouble >&2").run().exits(0);
    let uuid = fs::read_to_string(place.uuid_file()).expect("the UUID");
    let pod = format!("BULKHEAD_POD={}", uuid.trim());
    journal.ctl(&["--sync"]);
    let fields = ["--output=json", &pod];
    let shown = journal.ctl(&fields);
    let shown = String::from_utf8(shown.stdout).expect("JSON");
    let lines = shown
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"));
    let lines: Vec<Value> = lines.collect();
    let field = |name: &str| lines.iter().map(|l| l[name].as_str()).collect::<Vec<_>>();
    let mut told: Vec<_> = field("MESSAGE")
        .into_iter()
        .zip(field("PRIORITY"))
        .collect();
    told.sort_unstable();
    assert_eq!(
        told,
        [(Some("hello"), Some("6")), (Some("trouble"), Some("3"))],
        "{shown}"
    );
    assert_eq!(field("SYSLOG_IDENTIFIER"), [Some("web"); 2]);
    assert_eq!(field("BULKHEAD_APP"), [Some("web"); 2]);
}

#[test]
fn what_an_app_shows_on_a_terminal_is_not_logged() {
    let place = Place::new();
    let mut terminal = Terminal::open(24, 80);
    let pod = terminal.run(place.pod("echo hello; exit 2").pod_flag("--interactive"));
    terminal.wait_for("hello");
    pod.finish().exits(2);
    place.logs(&[]).run().exits(0).prints("");
}
