//! `attach`: the step into the entrypoint of a running pod's stage1.

use std::fs;
use std::path::Path;

use crate::fixture::{Fixture, assert_error};
use crate::pods::{call, exited, hold, succeeds, uuid};

/// What the entrypoint wrote down since the last look: in the pod's directory, for it has three variables and no other.
fn record(pod: &Path) -> String {
    let file = pod.join("record");
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
    let directory = pod.canonicalize().unwrap().display().to_string();
    let custom = |named: &[&str]| {
        let flags = ["tty-in", "tty-out", "stdin", "stdout", "stderr"];
        let words = flags.map(|flag| format!("--{flag}={}", named.contains(&flag)));
        format!("--action=custom-attach {}", words.join(" "))
    };
    for (mode, called) in [
        ("--mode=list", "--action=list".to_owned()),
        ("--mode=auto", "--action=auto-attach".to_owned()),
        ("--debug=false", "--action=auto-attach".to_owned()),
        ("--mode=stdout,stdin", custom(&["stdin", "stdout"])),
        ("--mode=tty", custom(&["tty-in", "tty-out"])),
        ("--mode=tty-out", custom(&["tty-out"])),
    ] {
        succeeds(&call(&fixture, &["attach", mode, "--app=db", &id[..9]]));
        let expected = format!("attach in {directory}: {called} --app=db --debug=false\n");
        assert_eq!(record(&pod), expected);
    }
    let environment = fs::read_to_string(pod.join("environment")).unwrap();
    let enter =
        format!("RKT_STAGE1_ENTERCMD={directory}/stage1/rootfs/enter\nRKT_STAGE1_ENTERPID=");
    assert!(environment.starts_with(&enter), "{environment}");
}

#[test]
fn what_cannot_be_attached_to_is_named() {
    let fixture = Fixture::new();
    let pod = exited(&fixture);
    let id = uuid(&pod);
    let output = call(&fixture, &["attach", "--app=web", &id]);
    assert_error(
        &output,
        &format!("attach: pod \"{id}\" is not running: it is exited\n"),
    );
    let _lock = hold(&pod);
    for (words, problem) in [
        (
            &["--mode=tty,stdin"][..],
            "a terminal and streams exclude each other",
        ),
        (&["--mode=stdio"], "\"stdio\" is no mode"),
    ] {
        let words = [&["attach", id.as_str()], words].concat();
        let output = call(&fixture, &words);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(error.contains(problem), "{error}");
        assert_eq!(output.status.code(), Some(254));
    }
    assert_eq!(record(&pod), "");
}
