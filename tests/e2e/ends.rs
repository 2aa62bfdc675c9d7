//! Pods that are stopped and deleted by others.

use std::fs;

use nix::sys::signal::{Signal, kill};

use crate::bulkhead::{Running, own_data, pod};
use crate::leftovers::{Mounts, files, no_processes, processes};
use crate::lifecycle::{call, exited, running, state};

use bulkhead_tests::images::busybox_oci;

#[test]
fn stop_ends_a_pod_in_order_and_waits_for_it() {
    let data = own_data();
    let mounts = Mounts::now();
    let (pod, uuid) = running(data.path());
    call(data.path(), ["stop", &uuid[..9]])
        .run()
        .exits(0)
        .prints(&format!("\"{uuid}\"\n"));
    assert_eq!(state(data.path(), &uuid), "exited");
    pod.finish().exits(7);
    mounts.are_all_that_is_left();

    call(data.path(), ["stop", &uuid])
        .run()
        .exits(0)
        .prints(&format!("pod \"{uuid}\" is already stopped\n"));
}

#[test]
fn by_force_nothing_of_a_pod_is_left() {
    let data = own_data();
    let (pod, uuid) = running(data.path());
    call(data.path(), ["stop", "--force", &uuid]).run().exits(0);
    assert_eq!(processes(), Vec::<String>::new());
    pod.finish().dies_of(Signal::SIGKILL);
    assert_eq!(state(data.path(), &uuid), "exited");
}

#[test]
fn two_who_stop_a_pod_do_not_kill_it() {
    let data = own_data();
    let file = data.path().join("uuid");
    let pod = pod(&busybox_oci())
        .data(data.path())
        .pod_flag(format!("--uuid-file-save={}", file.display()))
        .shell("trap 'echo asked; sleep 2; exit 9' TERM; echo ready; while :; do sleep 0.1; done")
        .start()
        .wait_for("ready");
    let by_file = format!("--uuid-file={}", file.display());
    let stop = || call(data.path(), ["stop", &by_file]).start();
    let first = stop();
    let pod = pod.wait_for("asked");
    let second = stop();
    for stop in [first, second] {
        stop.finish().exits(0);
    }
    pod.finish().exits(9);
}

#[test]
fn a_process_that_got_a_dead_pod_s_number_is_left_alone() {
    let data = own_data();
    let uuid = exited(data.path(), 0);
    let run = data.path().join("pods/run").join(&uuid);
    let (stranger, _) = running(data.path());
    fs::write(run.join("pid"), stranger.pid.to_string()).expect("the file pid");
    call(data.path(), ["stop", "--force", &uuid]).run().exits(0);
    kill(stranger.pid, None).expect("it lives");
    stranger.signal(Signal::SIGTERM).finish().exits(7);
}

#[test]
fn rm_deletes_an_exited_pod_and_refuses_a_running_one() {
    let data = own_data();
    let ended = exited(data.path(), 3);
    let (pod, runs) = running(data.path());
    call(data.path(), ["rm", &runs, &ended])
        .run()
        .exits(254)
        .prints(&format!("\"{ended}\"\n"))
        .says(&format!(
            "rm: pod \"{runs}\" is currently running\nrm: failed to remove 1 pod\n"
        ));
    assert_eq!(state(data.path(), &runs), "running");
    pod.signal(Signal::SIGTERM).finish().exits(7);
    call(data.path(), ["rm", &runs]).run().exits(0);
    let left = files(&data.path().join("pods"));
    assert!(
        left.iter()
            .all(|file| file.parent() == Some(&data.path().join("pods"))),
        "{left:?}"
    );
    // The images are still there: the next pod starts from them.
    exited(data.path(), 0);
}

#[test]
fn gc_deletes_the_exited_after_their_time_and_leaves_the_running() {
    let data = own_data();
    let ended = exited(data.path(), 0);
    let (pod, runs) = running(data.path());
    call(data.path(), ["gc"])
        .run()
        .exits(0)
        .says(&format!("gc: moving pod \"{ended}\" to garbage\n"));
    assert_eq!(state(data.path(), &ended), "exited garbage");
    call(data.path(), ["gc"])
        .run()
        .exits(0)
        .says("still within grace period");
    call(data.path(), ["gc", "--grace-period=0s"])
        .run()
        .exits(0)
        .prints(&format!("Garbage collecting pod \"{ended}\"\n"));
    call(data.path(), ["status", &ended])
        .run()
        .exits(254)
        .says("no pod has the UUID");
    assert_eq!(state(data.path(), &runs), "running");
    pod.signal(Signal::SIGTERM).finish().exits(7);
}

#[test]
fn what_killed_processes_left_is_collected() {
    let data = own_data();
    let (pod, killed) = running(data.path());
    pod.signal(Signal::SIGKILL)
        .finish()
        .dies_of(Signal::SIGKILL);
    assert_eq!(no_processes(), Vec::<String>::new());
    call(data.path(), ["gc", "--grace-period=0s"])
        .run()
        .exits(0)
        .prints(&format!("Garbage collecting pod \"{killed}\"\n"));
    let left = files(&data.path().join("pods"));
    assert!(
        left.iter()
            .all(|file| file.parent() == Some(&data.path().join("pods"))),
        "{left:?}"
    );
}

#[test]
fn many_who_collect_at_once_disturb_nobody() {
    let data = own_data();
    let ended: Vec<String> = (0..3).map(|_| exited(data.path(), 0)).collect();
    let (pod, runs) = running(data.path());
    let gc = || call(data.path(), ["gc", "--grace-period=0s"]).start();
    let list = || call(data.path(), ["list"]).start();
    for end in [gc(), list(), gc(), list(), gc(), list()].map(Running::finish) {
        end.exits(0).does_not_say("damaged");
    }
    for uuid in ended {
        call(data.path(), ["status", &uuid]).run().exits(254);
    }
    assert_eq!(state(data.path(), &runs), "running");
    pod.signal(Signal::SIGTERM).finish().exits(7);
}

#[test]
fn of_many_who_remove_a_pod_one_does() {
    let data = own_data();
    let uuid = exited(data.path(), 0);
    let rm = || call(data.path(), ["rm", &uuid]).start();
    let ends = [rm(), rm(), rm(), rm()].map(Running::finish);
    let printed = ends.iter().filter(|end| end.text().contains(&uuid)).count();
    assert_eq!(printed, 1);
    for end in ends {
        if !end.succeeded() {
            end.exits(254).says(&uuid);
        }
    }
    assert_eq!(files(&data.path().join("pods/run")).len(), 0);
}

#[test]
fn a_prepared_pod_is_run_or_removed() {
    let data = own_data();
    let image = busybox_oci();
    let image = image.to_str().expect("a path");
    let prepare = ["prepare", image, "--exec=/bin/true"];
    let uuid = call(data.path(), prepare).run().exits(0).text();
    let run = call(data.path(), ["run-prepared", uuid.trim()]).start();
    let removed = call(data.path(), ["rm", uuid.trim()]).run();
    let ran = run.finish();
    assert!(ran.succeeded() || removed.succeeded());
    if !ran.succeeded() {
        ran.exits(254).says(uuid.trim());
    }
    if !removed.succeeded() {
        removed.exits(254).says(uuid.trim());
        call(data.path(), ["rm", uuid.trim()]).run().exits(0);
    }
    call(data.path(), ["list", "--no-legend"])
        .run()
        .exits(0)
        .prints("");
}
