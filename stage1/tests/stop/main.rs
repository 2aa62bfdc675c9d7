//! The `stop` entrypoint against processes that play a supervisor.

#![allow(clippy::unwrap_used)] // A test fails by panicking.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

const UUID: &str = "01234567-89ab-4cde-8f01-23456789abcd";

/// Takes the lock of its working directory, writes its process id, and lives until it is stopped.
const SUPERVISOR: &str = "exec 9< .; flock --exclusive 9; trap 'echo stopped; kill $!; exit 0' USR1
    sleep 60 9<&- > /dev/null & echo $$ > pid; echo up; while :; do wait $!; done";

fn start(pod: &Path, script: &str) -> Child {
    let mut child = Command::new("bash")
        .args(["-c", script])
        .current_dir(pod)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let stdout = child.stdout.as_mut().unwrap();
    // Byte by byte: what comes later is for somebody else to read.
    BufReader::with_capacity(1, stdout)
        .read_line(&mut line)
        .unwrap();
    assert_eq!(line, "up\n");
    child
}

fn stop(pod: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_stage1-stop"))
        .args(arguments)
        .current_dir(pod)
        .output()
        .unwrap()
}

#[track_caller]
fn says_nothing(output: &Output) {
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert_eq!((output.status.code(), output.stdout.len()), (Some(0), 0));
}

#[test]
fn a_pod_is_asked_to_stop_and_waited_for() {
    let pod = tempfile::tempdir().unwrap();
    let supervisor = start(pod.path(), SUPERVISOR);
    says_nothing(&stop(pod.path(), &[UUID]));
    let end = supervisor.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&end.stdout), "stopped\n");
}

#[test]
fn a_pod_has_stopped_when_its_lock_is_free() {
    let pod = tempfile::tempdir().unwrap();
    // It lives on as one does whose machine the kernel still takes apart.
    let script = SUPERVISOR.replace("kill $!; exit 0", "exec 9<&-; read line; kill $!; exit 3");
    let mut supervisor = start(pod.path(), &script);
    says_nothing(&stop(pod.path(), &[UUID]));
    assert!(supervisor.try_wait().unwrap().is_none());
    drop(supervisor.stdin.take());
    assert_eq!(supervisor.wait().unwrap().code(), Some(3));
}

#[test]
fn by_force_nothing_of_it_is_left() {
    let pod = tempfile::tempdir().unwrap();
    // As the jail does: the helper dies with its parent, from before it does anything.
    let script = "exec 9< .; flock --exclusive 9; echo $$ > pid
        setpriv --pdeathsig KILL sh -c 'echo up; exec sleep 60 > /dev/null' 9<&- & wait $!";
    let mut supervisor = start(pod.path(), script);
    let pid = supervisor.id();
    let helper = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    says_nothing(&stop(pod.path(), &["--force", UUID]));
    assert_eq!(supervisor.wait().unwrap().signal(), Some(9));
    let status = fs::read_to_string(format!("/proc/{}/stat", helper.trim()));
    let dead = status.map_or(true, |stat| stat.contains(") Z "));
    assert!(dead, "the helper {helper} lives");
}

#[test]
fn a_pod_that_is_over_is_what_was_asked_for() {
    let pod = tempfile::tempdir().unwrap();
    says_nothing(&stop(pod.path(), &[UUID]));
    fs::write(pod.path().join("pid"), "4194304").unwrap();
    says_nothing(&stop(pod.path(), &["--force", UUID]));
}

#[test]
fn a_process_that_has_the_number_of_the_pod_s_is_left_alone() {
    let pod = tempfile::tempdir().unwrap();
    let mut stranger = start(
        pod.path(),
        "echo $$ > pid; exec 9< .; flock --shared 9; echo up; read line",
    );
    says_nothing(&stop(pod.path(), &["--force", UUID]));
    assert!(stranger.try_wait().unwrap().is_none());
    stranger.kill().unwrap();
    stranger.wait().unwrap();
}

#[test]
fn a_starting_pod_is_waited_for() {
    let pod = tempfile::tempdir().unwrap();
    let script = SUPERVISOR.replace(
        "echo $$ > pid; echo up;",
        "echo up; read line < start; echo $$ > pid;",
    );
    let start_file = pod.path().join("start");
    Command::new("mkfifo").arg(&start_file).status().unwrap();
    let mut supervisor = start(pod.path(), &script);
    let stopper = Command::new(env!("CARGO_BIN_EXE_stage1-stop"))
        .arg(UUID)
        .current_dir(pod.path())
        .spawn()
        .unwrap();
    fs::write(start_file, "now\n").unwrap();
    assert!(stopper.wait_with_output().unwrap().status.success());
    assert_eq!(supervisor.wait().unwrap().code(), Some(0));
}

#[test]
fn wrong_words_and_files_are_named() {
    let pod = tempfile::tempdir().unwrap();
    let error = |arguments: &[&str]| {
        let output = stop(pod.path(), arguments);
        assert_eq!(output.status.code(), Some(254));
        String::from_utf8(output.stderr).unwrap()
    };
    assert_eq!(
        error(&["--now", UUID]),
        "stage1: unknown argument \"--now\"\n"
    );
    assert_eq!(error(&[]), "stage1: expected one pod UUID, found 0\n");
    fs::write(pod.path().join("pid"), "1").unwrap();
    assert_eq!(
        error(&[UUID]),
        "stage1: read the file pid: 1 is no pod's process\n"
    );
    fs::write(pod.path().join("pid"), "many").unwrap();
    let expected = "stage1: read the file pid: \"many\": invalid digit found in string\n";
    assert_eq!(error(&[UUID]), expected);
}
