//! The subcommands that look at pods. The fixture's stage1 ends at once: a pod that ran has exited.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, UNIX_EPOCH};

use rustix::fs::{FlockOperation, flock};
use serde_json::{Value, json};

use crate::fixture::{Fixture, assert_error, without_warnings_of_signatures};

/// When the pods here were made and started.
const CREATED: u64 = 1_136_214_245;

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[track_caller]
pub(crate) fn succeeds(output: &Output) -> String {
    assert_eq!(text(&output.stderr), "");
    assert_eq!(output.status.code(), Some(0));
    text(&output.stdout)
}

fn set_time(file: &Path, seconds: u64) {
    let time = UNIX_EPOCH + Duration::from_secs(seconds);
    File::options()
        .append(true)
        .open(file)
        .unwrap()
        .set_modified(time)
        .unwrap();
}

/// A pod that has exited: two apps, of which one has left its exit code.
pub(crate) fn exited(fixture: &Fixture) -> PathBuf {
    let web = fixture.aci("web", |manifest| {
        let version = json!({"name": "version", "value": "1.2"});
        manifest["labels"].as_array_mut().unwrap().push(version);
    });
    let db = fixture.aci("db", |_| {});
    let output = fixture.bulkhead(&["run", &web, "--user-label=tier=front", "---", &db]);
    assert_eq!(output.status.code(), Some(42), "{output:?}");
    let pod = fixture.pod();
    set_time(&pod.join("pod-created"), CREATED);
    fs::write(pod.join("pid"), "4711").unwrap();
    set_time(&pod.join("pid"), CREATED + 1);
    let status = pod.join("stage1/rootfs/rkt/status/web");
    fs::write(&status, "3").unwrap();
    set_time(&status, CREATED + 2);
    pod
}

pub(crate) fn uuid(pod: &Path) -> String {
    pod.file_name().unwrap().to_str().unwrap().to_owned()
}

pub(crate) fn hold(pod: &Path) -> File {
    let lock = File::open(pod).unwrap();
    flock(&lock, FlockOperation::NonBlockingLockExclusive).unwrap();
    lock
}

/// `bulkhead` in the time zone of the expected texts.
pub(crate) fn call(fixture: &Fixture, words: &[&str]) -> Output {
    let mut command = fixture.command();
    command.env("TZ", "UTC").args(words);
    without_warnings_of_signatures(command.output().unwrap())
}

#[test]
fn a_list_has_a_row_for_each_app_and_the_pod_in_the_first() {
    let fixture = Fixture::new();
    let pod = exited(&fixture);
    let table = succeeds(&call(&fixture, &["list"]));
    let lines: Vec<Vec<&str>> = table
        .lines()
        .map(|line| line.split('\t').filter(|cell| !cell.is_empty()).collect())
        .collect();
    let titles = [
        "UUID",
        "APP",
        "IMAGE NAME",
        "STATE",
        "CREATED",
        "STARTED",
        "NETWORKS",
    ];
    assert_eq!(lines[0], titles);
    assert_eq!(
        lines[1][..4],
        [&uuid(&pod)[..8], "web", "example.com/web:1.2", "exited"]
    );
    assert!(lines[1][4].ends_with("years ago"), "{table}");
    assert_eq!(lines[2], ["db", "example.com/db"]);

    let id = fixture.pod_manifest()["apps"][0]["image"]["id"]
        .as_str()
        .unwrap()[..19]
        .to_owned();
    let table = succeeds(&call(&fixture, &["list", "--full", "--no-legend"]));
    let first: Vec<&str> = table
        .lines()
        .next()
        .unwrap()
        .split('\t')
        .filter(|cell| !cell.is_empty())
        .collect();
    let times = [
        "2006-01-02 15:04:05 +0000 UTC",
        "2006-01-02 15:04:06 +0000 UTC",
    ];
    assert_eq!(
        first,
        [
            &uuid(&pod),
            "web",
            "example.com/web:1.2",
            &id,
            "exited",
            times[0],
            times[1]
        ]
    );
}

#[test]
fn a_list_of_nothing_is_its_legend_and_makes_nothing() {
    let fixture = Fixture::new();
    let table = succeeds(&call(&fixture, &["list"]));
    assert_eq!(
        table,
        "UUID\tAPP\tIMAGE NAME\tSTATE\tCREATED\tSTARTED\tNETWORKS\n"
    );
    assert_eq!(succeeds(&call(&fixture, &["list", "--no-legend"])), "");
    assert_eq!(
        succeeds(&call(&fixture, &["list", "--format=json"])),
        "[]\n"
    );
    assert!(!fixture.path("data").exists());
}

#[test]
fn json_is_rkt_s() {
    let fixture = Fixture::new();
    let pod = exited(&fixture);
    let output = succeeds(&call(&fixture, &["list", "--format=json"]));
    assert_eq!(output.lines().count(), 1);
    let listed: Value = serde_json::from_str(&output).unwrap();
    let manifest = fixture.pod_manifest();
    let nanoseconds = |seconds: u64| seconds * 1_000_000_000;
    let expected = json!({
        "name": uuid(&pod),
        "state": "exited",
        "app_names": ["web", "db"],
        "apps": [
            {
                "name": "web",
                "state": "exited",
                "created_at": nanoseconds(CREATED),
                "started_at": nanoseconds(CREATED + 1),
                "finished_at": nanoseconds(CREATED + 2),
                "exit_code": 3,
                "image_id": manifest["apps"][0]["image"]["id"],
                "user_labels": {"tier": "front"},
            },
            {
                "name": "db",
                "state": "exited",
                "created_at": nanoseconds(CREATED),
                "started_at": nanoseconds(CREATED + 1),
                "image_id": manifest["apps"][1]["image"]["id"],
            },
        ],
        "created_at": CREATED,
        "started_at": CREATED + 1,
    });
    assert_eq!(listed, json!([expected]));
    let indented = succeeds(&call(
        &fixture,
        &["status", "--format=json-pretty", &uuid(&pod)],
    ));
    assert!(indented.starts_with("{\n\t\"name\": "), "{indented}");
    assert_eq!(serde_json::from_str::<Value>(&indented).unwrap(), expected);
}

#[test]
fn status_is_lines_in_rkt_s_order() {
    let fixture = Fixture::new();
    let pod = exited(&fixture);
    let times = "created=2006-01-02 15:04:05 +0000 UTC\nstarted=2006-01-02 15:04:06 +0000 UTC\n";
    let status = succeeds(&call(&fixture, &["status", &uuid(&pod)[..9]]));
    assert_eq!(
        status,
        format!("state=exited\n{times}pid=4711\nexited=true\napp-web=3\n")
    );

    let file = fixture.path("uuid");
    fs::write(&file, format!("{}\n", uuid(&pod))).unwrap();
    let by_file = format!("--uuid-file={}", file.display());
    let lock = hold(&pod);
    let status = succeeds(&call(&fixture, &["status", &by_file]));
    assert_eq!(
        status,
        format!("state=running\n{times}pid=4711\nexited=false\n")
    );
    drop(lock);
    fs::create_dir_all(fixture.path("data/pods/prepared")).unwrap();
    fs::remove_file(pod.join("pid")).unwrap();
    fs::rename(&pod, fixture.path("data/pods/prepared").join(uuid(&pod))).unwrap();
    let status = succeeds(&call(&fixture, &["status", &by_file]));
    assert_eq!(
        status,
        "state=prepared\ncreated=2006-01-02 15:04:05 +0000 UTC\n"
    );
}

#[test]
fn status_waits_for_the_end() {
    let fixture = Fixture::new();
    let pod = exited(&fixture);
    let lock = hold(&pod);
    let id = uuid(&pod);
    let late = call(&fixture, &["status", "--wait=10ms", &id]);
    assert_error(&late, &format!("status: pod {id} is still running\n"));
    let mut waiting = Command::new(env!("CARGO_BIN_EXE_bulkhead"));
    let waiting = waiting
        .arg("--dir")
        .arg(fixture.path("data"))
        .args(["status", "--wait", &id])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    drop(lock);
    let end = waiting.wait_with_output().unwrap();
    assert!(text(&end.stdout).starts_with("state=exited\n"), "{end:?}");
    assert_eq!(end.status.code(), Some(0));
    let never = call(&fixture, &["status", "--wait-ready=true", &id]);
    assert_error(
        &never,
        &format!("status: pod {id} is not ready, and never will be: it is exited\n"),
    );
}

#[test]
fn a_manifest_is_printed_as_it_is() {
    let fixture = Fixture::new();
    let pod = exited(&fixture);
    let pretty = succeeds(&call(&fixture, &["cat-manifest", &uuid(&pod)]));
    assert!(pretty.starts_with("{\n\t\"acVersion\""), "{pretty}");
    assert_eq!(
        serde_json::from_str::<Value>(&pretty).unwrap(),
        fixture.pod_manifest()
    );
    let plain = succeeds(&call(
        &fixture,
        &["cat-manifest", "--pretty-print=false", &uuid(&pod)],
    ));
    assert_eq!(plain.lines().count(), 1);
    assert_eq!(
        serde_json::from_str::<Value>(&plain).unwrap(),
        fixture.pod_manifest()
    );
}

#[test]
fn names_that_fit_no_pod_are_254() {
    let fixture = Fixture::new();
    for command in ["status", "cat-manifest"] {
        let error = |words: &[&str], expected: &str| {
            let words = [&[command], words].concat();
            assert_error(&call(&fixture, &words), &format!("{command}: {expected}"));
        };
        error(&["ab"], "no pod has the UUID ab, or one that begins so\n");
        error(
            &["../x"],
            "\"../x\" is not a UUID or the beginning of one\n",
        );
        error(
            &["--uuid-file=absent"],
            "read a UUID from absent\n  └─No such file or directory (os error 2)\n",
        );
    }
}

#[test]
fn a_damaged_pod_is_listed_and_stops_nothing() {
    let fixture = Fixture::new();
    let pod = exited(&fixture);
    let other = fixture.path("data/pods/run/00000000-0000-4000-8000-000000000000");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("pod"), "{}").unwrap();
    fs::create_dir(fixture.path("data/pods/run/not-a-pod")).unwrap();
    fs::write(pod.join("stage1/rootfs/rkt/status/db"), "much").unwrap();
    let output = call(&fixture, &["list", "--no-legend"]);
    let errors = text(&output.stderr);
    assert!(
        errors.contains(
            "list: pod 00000000-0000-4000-8000-000000000000 is damaged\n  └─read its file pod\n"
        ),
        "{errors}"
    );
    let status = format!(
        "list: pod {} is damaged\n  └─read its file stage1/rootfs/rkt/status/db\n    └─\"much\" is no number\n",
        uuid(&pod)
    );
    assert!(errors.contains(&status), "{errors}");
    let table = text(&output.stdout);
    assert!(
        table.starts_with("00000000\t(damaged)\t-\t\t\texited\t"),
        "{table}"
    );
    assert!(
        table.contains("\tweb\t\texample.com/web:1.2\texited\t"),
        "{table}"
    );
    assert_eq!(output.status.code(), Some(0));

    let output = call(&fixture, &["status", "00000000-0000"]);
    assert_eq!(text(&output.stdout), "state=exited\nexited=true\n");
    assert!(
        text(&output.stderr)
            .starts_with("status: pod 00000000-0000-4000-8000-000000000000 is damaged\n")
    );
    assert_eq!(output.status.code(), Some(254));
}
