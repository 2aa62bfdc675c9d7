//! Roots, apps beside each other, and the pod's end.

use std::fs::File;

use bulkhead_protocol::agent::ToAgent;
use bulkhead_protocol::exit::Exit;
use bulkhead_protocol::plan::{ImageFiles, Mount, MountSource, ProcessId};

use crate::rig::{Rig, shell, start};

#[test]
fn apps_have_roots_of_their_own_and_leave_clean_disks() {
    let mut rig = Rig::new(&["web", "db"]);
    let mut relay = rig.relay();
    relay.send(&start(shell(
        1,
        "web",
        "echo web > /mine; echo changed > /etc/passwd; sync; cat /mine",
    )));
    relay.send(&start(shell(2, "db", "cat /mine; cat /etc/passwd")));
    assert_eq!(relay.finish(1).text(), "web\n");
    assert_eq!(relay.finish(2).text(), "web:x:33:34::/:/bin/sh\n");
    // A later process of an app sees what the first one did, though that is gone.
    relay.send(&start(shell(3, "web", "cat /mine /etc/passwd")));
    assert_eq!(relay.finish(3).text(), "web\nchanged\n");
    relay.shut_down();
    drop(relay);
    assert!(rig.agent_ends_well());
    assert!(rig.is_clean(0) && rig.is_clean(1));
    assert!(File::open(rig.image_disk()).is_ok());
}

#[test]
fn processes_of_one_app_share_its_root_from_the_start() {
    let rig = Rig::new(&["web"]);
    let mut relay = rig.relay();
    for id in 1..=5 {
        relay.send(&start(shell(
            id,
            "web",
            "read x < /proc/self/mountinfo; echo $x",
        )));
    }
    let first = relay.finish(1).text().to_owned();
    assert!(first.contains("overlay"), "{first}");
    for id in 2..=5 {
        assert_eq!(relay.finish(id).text(), first);
    }
}

#[test]
fn a_read_only_root_is_read_only_and_has_its_mounts() {
    let rig = Rig::with(&["web"], |app| {
        app.read_only_root = true;
        let mut mounts = app.mounts.to_vec();
        let target = "/made/for/this".try_into().unwrap();
        mounts.push(Mount {
            target,
            source: MountSource::Tmpfs {
                mode: 0o700,
                size: 4096,
            },
            read_only: true,
        });
        app.mounts = mounts.try_into().unwrap();
    });
    let mut relay = rig.relay();
    relay.send(&start(shell(
        1,
        "web",
        "for f in /new /made/for/this/x /sys/x; do echo > $f || echo no $f; done 2>/dev/null; echo > /tmp/x && echo yes; ls -ld /made/for/this",
    )));
    let outcome = relay.finish(1);
    let text = outcome.text();
    assert!(
        text.starts_with("no /new\nno /made/for/this/x\nno /sys/x\nyes\ndrwx------"),
        "{text}"
    );
}

#[test]
fn an_app_that_cannot_be_prepared_fails_alone() {
    let rig = Rig::with(&["web", "db"], |app| {
        if app.name.as_str() == "web" {
            let target = "/etc/passwd/below".try_into().unwrap();
            app.mounts = vec![Mount {
                target,
                source: MountSource::Proc,
                read_only: false,
            }]
            .try_into()
            .unwrap();
        }
    });
    let mut relay = rig.relay();
    relay.send(&start(shell(1, "web", "true")));
    relay.send(&start(shell(2, "web", "true")));
    relay.send(&start(shell(3, "db", "echo fine")));
    for id in [1, 2] {
        let outcome = relay.finish(id);
        assert_eq!(outcome.exit, Some(Exit::Code(203)));
        assert_eq!(
            outcome.reason(),
            "cannot prepare app web: make the mount target \"/etc/passwd/below\": Not a directory"
        );
    }
    assert_eq!(relay.finish(3).text(), "fine\n");
}

#[test]
fn stop_asks_first_and_kills_later() {
    let rig = Rig::new(&["web", "db"]);
    let mut relay = rig.relay();
    relay.send(&start(shell(
        1,
        "web",
        "trap 'exit 0' TERM; echo up; while :; do sleep 0.01; done",
    )));
    relay.send(&start(shell(
        2,
        "db",
        "trap '' TERM; echo up; while :; do sleep 0.01; done",
    )));
    relay.until(|relay| {
        relay
            .outcomes
            .values()
            .filter(|outcome| !outcome.stdout.is_empty())
            .count()
            == 2
    });
    relay.send(&ToAgent::Stop { grace_ms: 200 });
    assert_eq!(relay.finish(1).exit, Some(Exit::Code(0)));
    assert_eq!(relay.finish(2).exit, Some(Exit::Signal(9)));
    relay.send(&start(shell(3, "web", "true")));
    assert_eq!(
        relay.finish(3).reason(),
        "cannot run \"/bin/sh\" in app web: the pod is being stopped"
    );
}

#[test]
fn what_a_process_leaves_behind_is_reaped_and_ends_with_the_pod() {
    let mut rig = Rig::new(&["web"]);
    let mut relay = rig.relay();
    relay.send(&start(shell(
        1,
        "web",
        "(sleep 1000; echo never) & (exit 7) & echo left",
    )));
    relay.until(|relay| {
        relay
            .outcomes
            .get(&ProcessId(1))
            .is_some_and(|outcome| outcome.exit.is_some())
    });
    // The child that stays holds the output open; one that ended is no zombie.
    assert!(relay.outcomes[&ProcessId(1)].ended_streams.is_empty());
    relay.send(&start(shell(
        2,
        "web",
        // Until the one that stays has become what it shall be, and the one that ended is gone.
        "until states=$(cat /proc/[0-9]*/stat | while read pid name state rest; do echo $name $state; done)
            case $states in *' Z'*) false;; *'(sleep) S'*) true;; *) false;; esac
        do :; done",
    )));
    assert_eq!(relay.finish(2).exit, Some(Exit::Code(0)));
    relay.shut_down();
    drop(relay);
    assert!(rig.agent_ends_well());
    assert!(rig.is_clean(0));
}

#[test]
fn a_plan_that_makes_no_sense_is_the_pods_failure() {
    let mut rig = Rig::with(&["web"], |app| {
        app.image = ImageFiles::Layers(vec![9].try_into().unwrap());
    });
    let mut relay = rig.relay();
    while relay.step() {}
    assert_eq!(
        relay.failed.as_deref(),
        Some("the pod's plan cannot be followed: app web has image 9 of 1")
    );
    drop(relay);
    assert!(!rig.agent_ends_well());
}
