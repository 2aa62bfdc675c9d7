//! Pod directories that somebody has damaged by hand: every command says one thing of them, and they are collected.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use crate::bulkhead::own_data;
use crate::leftovers::{Mounts, files};
use crate::lifecycle::{call, exited};

/// A file of a pod that no manifest is as long as.
const LONG: u64 = 1 << 30;

fn remove(path: &Path) {
    match path.is_dir() {
        true => fs::remove_dir_all(path).expect("a directory"),
        false => fs::remove_file(path).expect("a file"),
    }
}

fn replace_by_link(path: &Path, target: &str) {
    remove(path);
    symlink(target, path).expect("a link");
}

fn replace_by_pipe(path: &Path) {
    remove(path);
    let made = Command::new("mkfifo").arg(path).status();
    assert!(made.expect("mkfifo starts").success());
}

/// What can be done to a pod's directory.
const DAMAGES: &[fn(&Path)] = &[
    |pod| remove(&pod.join("pod")),
    |pod| fs::write(pod.join("pod"), [0xff; 100]).expect("a file"),
    |pod| {
        let manifest = fs::File::create(pod.join("pod")).expect("a file");
        manifest.set_len(LONG).expect("a hole");
    },
    |pod| replace_by_link(&pod.join("pod"), "/proc/kmsg"),
    |pod| replace_by_pipe(&pod.join("pod")),
    |pod| {
        remove(&pod.join("pod"));
        fs::create_dir(pod.join("pod")).expect("a directory");
    },
    |pod| fs::write(pod.join("pid"), "-1\n").expect("a file"),
    |pod| fs::write(pod.join("pid"), "1\n").expect("a file"),
    |pod| replace_by_pipe(&pod.join("pid")),
    |pod| fs::write(pod.join("stage1/rootfs/rkt/status/web"), "many").expect("a file"),
    |pod| replace_by_pipe(&pod.join("stage1/rootfs/rkt/status/web")),
    |pod| remove(&pod.join("stage1/rootfs/rkt")),
    |pod| replace_by_link(&pod.join("stage1/rootfs/rkt"), "/etc"),
    |pod| remove(&pod.join("stage1/manifest")),
    |pod| fs::write(pod.join("stage1/manifest"), "{}").expect("a file"),
    |pod| remove(&pod.join("stage1/rootfs/stop")),
    |pod| remove(&pod.join("stage1")),
    |pod| replace_by_link(&pod.join("stage1"), "/"),
    |pod| remove(&pod.join("appsinfo")),
    |pod| replace_by_link(&pod.join("logs"), "/var/log"),
];

#[test]
fn every_command_ends_and_they_are_collected() {
    let (data, mounts) = (own_data(), Mounts::now());
    let whole = exited(data.path(), 0);
    let run = data.path().join("pods/run");
    let uuids: Vec<String> = (0..DAMAGES.len())
        .map(|number| format!("{number:08x}-0000-4000-8000-000000000000"))
        .collect();
    for (uuid, damage) in uuids.iter().zip(DAMAGES) {
        let copied = Command::new("cp")
            .args(["--archive", "--sparse=always"])
            .args([run.join(&whole), run.join(uuid)])
            .status();
        assert!(copied.expect("cp starts").success());
        damage(&run.join(uuid));
    }

    let list = call(data.path(), ["list", "--full"]).run().exits(0);
    assert!(
        list.text().contains(&format!("{whole}\tweb")),
        "{}",
        list.text()
    );
    for uuid in &uuids {
        for command in ["status", "cat-manifest", "logs", "stop", "enter"] {
            let end = call(data.path(), [command, uuid]).run();
            if end.succeeded() {
                continue;
            }
            end.exits(254).does_not_say("panicked");
        }
    }
    call(data.path(), ["gc", "--grace-period=0s"])
        .run()
        .exits(0);
    call(data.path(), ["list", "--no-legend"])
        .run()
        .exits(0)
        .prints("");
    let left = files(&run);
    assert!(left.is_empty(), "{left:?}");
    assert!(Path::new("/etc/passwd").exists() && Path::new("/var/log").exists());
    mounts.are_all_that_is_left();
}
