use std::fs;
use std::os::unix::fs::symlink;
use std::sync::mpsc;

use super::*;
use crate::fixture_test::{Data, hold, uuid};
use crate::lifecycle::Phase;

/// Nothing here takes long: a wait that has not ended by then was not woken.
const PATIENCE: Option<Duration> = Some(Duration::from_secs(60));

fn waited(data: &Data, until: Until) -> Result<State, WaitError> {
    wait(data.path(), uuid("a"), until, PATIENCE).map(|pod| pod.state())
}

fn change(data: &Data, from: Phase, to: Phase) {
    let place = |phase: Phase| phase.directory(data.path()).join(uuid("a").to_string());
    fs::create_dir_all(to.directory(data.path())).unwrap();
    fs::rename(place(from), place(to)).unwrap();
}

/// Waits in a thread, and makes the changes when it is under way.
fn wait_while(data: &Data, until: Until, changes: impl FnOnce()) -> Result<State, WaitError> {
    let (started, starts) = mpsc::channel();
    std::thread::scope(|scope| {
        let waiter = scope.spawn(move || {
            started.send(()).unwrap();
            waited(data, until)
        });
        starts.recv().unwrap();
        changes();
        waiter.join().unwrap()
    })
}

#[test]
fn a_finished_pod_is_not_waited_for() {
    let data = Data::new();
    for phase in [
        Phase::Prepare,
        Phase::Run,
        Phase::ExitedGarbage,
        Phase::Garbage,
    ] {
        let path = data.pod(phase, uuid("a"));
        assert!(waited(&data, Until::Finished).unwrap().is_finished());
        assert!(matches!(
            waited(&data, Until::Ready),
            Err(WaitError::NeverReady(..))
        ));
        fs::remove_dir_all(path).unwrap();
    }
    assert!(matches!(
        waited(&data, Until::Finished),
        Err(WaitError::Gone(_))
    ));
}

#[test]
fn the_end_of_a_pod_wakes() {
    let data = Data::new();
    let lock = hold(&data.pod(Phase::Run, uuid("a")));
    let end = wait_while(&data, Until::Finished, || drop(lock));
    assert_eq!(end.unwrap(), State::Exited);
}

#[test]
fn a_prepared_pod_is_waited_for_through_its_whole_life() {
    let data = Data::new();
    let path = data.pod(Phase::Prepared, uuid("a"));
    let end = wait_while(&data, Until::Finished, || {
        let lock = hold(&path);
        change(&data, Phase::Prepared, Phase::Run);
        drop(lock);
        change(&data, Phase::Run, Phase::ExitedGarbage);
    });
    assert!(end.unwrap().has_exited());
}

#[test]
fn readiness_wakes() {
    let data = Data::new();
    let path = data.pod(Phase::Run, uuid("a"));
    let _lock = hold(&path);
    let ready = wait_while(&data, Until::Ready, || {
        fs::write(path.join("stage1/rootfs/rkt/other"), "").unwrap();
        symlink("ready", path.join("stage1/rootfs/rkt/supervisor-status")).unwrap();
    });
    assert_eq!(ready.unwrap(), State::Running);
}

#[test]
fn a_pod_that_ends_before_it_is_ready_says_so() {
    let data = Data::new();
    let lock = hold(&data.pod(Phase::Run, uuid("a")));
    let error = wait_while(&data, Until::Ready, || drop(lock)).unwrap_err();
    let expected = format!(
        "pod {} is not ready, and never will be: it is exited",
        uuid("a")
    );
    assert_eq!(error.to_string(), expected);
}

#[test]
fn a_deleted_pod_is_no_more() {
    let data = Data::new();
    let path = data.pod(Phase::Prepared, uuid("a"));
    data.pod(Phase::Prepared, uuid("b"));
    let end = wait_while(&data, Until::Finished, || fs::remove_dir_all(path).unwrap());
    assert!(matches!(end, Err(WaitError::Gone(_))), "{end:?}");
}

#[test]
fn time_is_over_when_it_is() {
    let data = Data::new();
    let _lock = hold(&data.pod(Phase::Run, uuid("a")));
    let end = wait(
        data.path(),
        uuid("a"),
        Until::Finished,
        Some(Duration::ZERO),
    )
    .unwrap_err();
    assert_eq!(
        end.to_string(),
        format!("pod {} is still running", uuid("a"))
    );
}

#[test]
fn the_number_of_a_pod_s_process_wakes_and_only_a_whole_one() {
    let data = Data::new();
    let path = data.pod(Phase::Run, uuid("a"));
    let lock = hold(&path);
    let enterable = wait_while(&data, Until::Enterable, || {
        fs::write(path.join("pid"), "").unwrap();
        fs::write(path.join("pid"), "17").unwrap();
    });
    assert_eq!(enterable.unwrap(), State::Running);
    fs::remove_file(path.join("pid")).unwrap();
    let end = wait_while(&data, Until::Enterable, || drop(lock));
    assert!(matches!(end, Err(WaitError::NeverReady(_, State::Exited))));
}
