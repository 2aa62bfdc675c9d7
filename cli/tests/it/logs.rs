//! `logs`: of a pod on disk, whoever wrote it.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Output, Stdio};

use crate::fixture::{Fixture, assert_error};
use crate::pods::{call, exited, hold, succeeds, text, uuid};

fn record(second: u32, stream: &str, text: &str) -> String {
    format!(
        "{{\"time\":\"2026-11-28T06:00:{second:02}.000000000Z\",\"stream\":\"{stream}\",\"log\":\"{text}\\n\"}}\n"
    )
}

fn append(pod: &Path, file: &str, text: &str) {
    let path = pod.join("logs").join(file);
    let file = File::options().create(true).append(true).open(path);
    file.unwrap().write_all(text.as_bytes()).unwrap();
}

/// A pod that has exited, with logs of its two apps.
fn logged(fixture: &Fixture) -> std::path::PathBuf {
    let pod = exited(fixture);
    fs::create_dir(pod.join("logs")).unwrap();
    append(&pod, "web.json.1", &record(1, "stdout", "one"));
    append(&pod, "db.json", &record(2, "stderr", "two"));
    append(&pod, "web.json", &record(3, "stdout", "three"));
    append(&pod, "db.json", &record(4, "stdout", "four"));
    pod
}

fn logs(fixture: &Fixture, pod: &Path, flags: &[&str]) -> Output {
    let id = uuid(pod);
    let words = [&["logs", id.as_str()], flags].concat();
    call(fixture, &words)
}

#[test]
fn flags_choose_what_is_printed() {
    let fixture = Fixture::new();
    let pod = logged(&fixture);
    for (flags, expected) in [
        (&[][..], "web: one\ndb: two\nweb: three\ndb: four\n"),
        (&["--app=web"], "one\nthree\n"),
        (&["--app=db", "--stream=stderr"], "two\n"),
        (&["--tail=1"], "db: four\n"),
        (&["--tail=0"], ""),
        (&["--tail=1", "--stream=stderr"], "db: two\n"),
        (&["--since=2026-11-28T06:00:03Z"], "web: three\ndb: four\n"),
        (&["--follow", "--app=web"], "one\nthree\n"),
        (
            &["--app=web", "--timestamps", "--tail=1"],
            "2026-11-28T06:00:03.000000000Z three\n",
        ),
    ] {
        assert_eq!(
            succeeds(&logs(&fixture, &pod, flags)),
            expected,
            "{flags:?}"
        );
    }
    let json = succeeds(&logs(&fixture, &pod, &["--format=json", "--tail=1"]));
    let expected = record(4, "stdout", "four").replace("\"stream\"", "\"app\":\"db\",\"stream\"");
    assert_eq!(json, expected);
}

#[test]
fn a_follower_ends_with_the_pod() {
    let fixture = Fixture::new();
    let pod = logged(&fixture);
    let lock = hold(&pod);
    let id = uuid(&pod);
    let mut follower = fixture.command();
    follower.args(["logs", "-f", "--app=web", "--tail=0", &id]);
    let follower = follower.stdout(Stdio::piped()).stderr(Stdio::piped());
    let follower = follower.spawn().unwrap();
    // Whether it has begun to read or not: of these it prints none but the last, or all.
    append(&pod, "web.json", &record(5, "stdout", "five"));
    drop(lock);
    let end = follower.wait_with_output().unwrap();
    let printed = succeeds(&end);
    assert!(["", "five\n"].contains(&printed.as_str()), "{printed:?}");
}

#[test]
fn what_a_hostile_relay_left_is_refused_or_passed_over() {
    let fixture = Fixture::new();
    let pod = logged(&fixture);
    append(&pod, "db.json", "{\"time\":1}\nnonsense\n");
    append(&pod, "Not_A_Name.json", "x");
    let output = logs(&fixture, &pod, &["--app=db"]);
    assert_eq!(text(&output.stdout), "two\nfour\n");
    assert_eq!(
        text(&output.stderr),
        "logs: app db: 2 lines of its log are damaged\n"
    );
    assert_eq!(output.status.code(), Some(0));
    fs::remove_file(pod.join("logs/db.json")).unwrap();
    symlink("/etc/passwd", pod.join("logs/db.json")).unwrap();
    let id = uuid(&pod);
    let loops = std::io::Error::from_raw_os_error(40);
    assert_error(
        &logs(&fixture, &pod, &["--app=db"]),
        &format!("logs: pod {id}\n  └─read its log db.json\n    └─{loops}\n"),
    );
}

#[test]
fn a_pod_without_logs_and_an_app_that_is_not_there() {
    let fixture = Fixture::new();
    let pod = exited(&fixture);
    assert_eq!(succeeds(&logs(&fixture, &pod, &[])), "");
    fs::create_dir(pod.join("logs")).unwrap();
    assert_eq!(succeeds(&logs(&fixture, &pod, &[])), "");
    let id = uuid(&pod);
    assert_error(
        &logs(&fixture, &pod, &["--app=www"]),
        &format!("logs: pod {id}\n  └─it has no app \"www\": it has db, web\n"),
    );
    fs::remove_dir(pod.join("logs")).unwrap();
    fs::create_dir_all(fixture.path("data/pods/prepared")).unwrap();
    fs::rename(&pod, fixture.path("data/pods/prepared").join(&id)).unwrap();
    assert_error(
        &logs(&fixture, &pod, &[]),
        &format!("logs: pod \"{id}\" has not run: it is prepared\n"),
    );
}
