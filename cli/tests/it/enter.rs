//! `enter`: the step into the entrypoint of a running pod's stage1.

use std::fs;

use crate::fixture::{Fixture, assert_error};
use crate::pods::{call, exited, hold, succeeds, uuid};

/// What the entrypoints of stage1 wrote down since the last look.
fn record(fixture: &Fixture) -> String {
    let file = fixture.path("record");
    let text = fs::read_to_string(&file).unwrap_or_default();
    // Nothing was called since.
    let _ = fs::remove_file(file);
    text
}

#[test]
fn stage1_is_called_as_the_interface_says() {
    let fixture = Fixture::new();
    let pod = exited(&fixture);
    let id = uuid(&pod);
    let _lock = hold(&pod);
    record(&fixture);
    let directory = pod.canonicalize().unwrap().display().to_string();
    for (words, called) in [
        (
            &["--app=db", &id, "ls", "-l", "--debug"][..],
            "db -- ls -l --debug",
        ),
        (&["--app", "web", &id[..8]], "web -- /bin/bash"),
        (
            &[&id, "--app=web", "--", "sh", "-c", "a b", ""],
            "web -- sh -c a b ",
        ),
    ] {
        let words: Vec<&str> = ["enter"].iter().chain(words).copied().collect();
        succeeds(&call(&fixture, &words));
        let expected = format!("enter in {directory}: --pid=4711 --appname={called}\n");
        assert_eq!(record(&fixture), expected);
    }
    let output = fixture
        .command()
        .env("CODE", "7")
        .args(["enter", "--app=web", &id, "false"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(7));
}

#[test]
fn a_pod_of_several_apps_must_be_told_which() {
    let fixture = Fixture::new();
    let pod = exited(&fixture);
    let id = uuid(&pod);
    let _lock = hold(&pod);
    record(&fixture);
    let output = call(&fixture, &["enter", &id, "ls"]);
    assert_error(
        &output,
        &format!(
            "enter: pod {id}\n  └─it has several apps, and --app=NAME must say which: web, db\n"
        ),
    );
    let output = call(&fixture, &["enter", "--app=www", &id, "ls"]);
    assert_error(
        &output,
        &format!("enter: pod {id}\n  └─it has no app \"www\": it has web, db\n"),
    );
    assert_eq!(record(&fixture), "");
}

#[test]
fn what_does_not_run_is_not_entered() {
    let fixture = Fixture::new();
    let id = uuid(&exited(&fixture));
    let output = call(&fixture, &["enter", "--app=web", &id]);
    assert_error(
        &output,
        &format!("enter: pod \"{id}\" is not running: it is exited\n"),
    );
}

#[test]
fn a_pod_that_starts_is_waited_for_as_long_as_it_lives() {
    let fixture = Fixture::new();
    let pod = exited(&fixture);
    let id = uuid(&pod);
    let lock = hold(&pod);
    record(&fixture);
    let enter = || {
        let mut command = fixture.command();
        command.args(["enter", "--app=web", &id]);
        command.stderr(std::process::Stdio::piped());
        command.spawn().unwrap()
    };
    fs::remove_file(pod.join("pid")).unwrap();
    let entering = enter();
    fs::write(pod.join("pid"), "12").unwrap();
    succeeds(&entering.wait_with_output().unwrap());
    assert!(record(&fixture).contains("--pid=12 "));
    fs::remove_file(pod.join("pid")).unwrap();
    let entering = enter();
    drop(lock);
    assert_eq!(
        entering.wait_with_output().unwrap().status.code(),
        Some(254)
    );
    assert_eq!(record(&fixture), "");
}
