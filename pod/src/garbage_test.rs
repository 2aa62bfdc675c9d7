use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::fixture_test::{Data, hold, uuid};
use crate::found::FoundPod;
use crate::state::State;

fn state(data: &Data) -> Option<State> {
    let pod = FoundPod::look_up(data.path(), uuid("a")).unwrap();
    pod.map(|pod| pod.state())
}

#[test]
fn what_has_ended_is_marked_and_what_lives_is_not() {
    for (from, marked) in [
        (Phase::Run, State::ExitedGarbage),
        (Phase::Prepare, State::Garbage),
        (Phase::Prepared, State::Garbage),
    ] {
        let data = Data::new();
        let lock = hold(&data.pod(from, uuid("a")));
        assert!(!mark(data.path(), from, uuid("a")).unwrap());
        drop(lock);
        assert!(mark(data.path(), from, uuid("a")).unwrap());
        assert_eq!(state(&data), Some(marked));
        assert!(
            !mark(data.path(), from, uuid("a")).unwrap(),
            "no more there"
        );
    }
}

#[test]
fn only_one_deletes_a_pod() {
    let data = Data::new();
    data.pod(Phase::ExitedGarbage, uuid("a"));
    let take = || Garbage::take(data.path(), Phase::ExitedGarbage, uuid("a")).unwrap();
    let garbage = take().unwrap();
    assert!(take().is_none());
    assert_eq!(state(&data), Some(State::ExitedDeleting));
    garbage.delete().unwrap();
    assert!(take().is_none());
    assert_eq!(state(&data), None);
}

#[test]
#[should_panic(expected = "is not marked")]
fn a_pod_that_is_not_marked_is_not_deleted() {
    let data = Data::new();
    data.pod(Phase::Run, uuid("a"));
    let _ = Garbage::take(data.path(), Phase::Run, uuid("a"));
}

#[test]
fn what_a_killed_deletion_left_is_deleted() {
    let data = Data::new();
    let path = data.pod(Phase::Garbage, uuid("a"));
    fs::rename(path.join("stage1/rootfs"), path.join(".deleting-7")).unwrap();
    fs::remove_dir(path.join("stage1")).unwrap();
    let garbage = Garbage::take(data.path(), Phase::Garbage, uuid("a")).unwrap();
    garbage.unwrap().delete().unwrap();
    assert!(!path.exists());
}

#[test]
fn a_mark_has_a_time() {
    let data = Data::new();
    let before = SystemTime::now() - Duration::from_secs(1);
    data.pod(Phase::Run, uuid("a"));
    mark(data.path(), Phase::Run, uuid("a")).unwrap();
    let marked = since(data.path(), Phase::ExitedGarbage, uuid("a"))
        .unwrap()
        .unwrap();
    assert!(marked >= before && marked <= SystemTime::now());
    assert_eq!(since(data.path(), Phase::Run, uuid("a")).unwrap(), None);
}

/// Everybody marks and deletes everything: each pod is marked once and deleted once, and nobody fails.
#[test]
fn many_at_once() {
    let data = Data::new();
    let pods: Vec<Uuid> = (0..60)
        .map(|number| uuid(&format!("{number:02}")))
        .collect();
    for pod in &pods {
        data.pod(Phase::Run, *pod);
    }
    let (marked, deleted) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let collect = || {
        for pod in &pods {
            if mark(data.path(), Phase::Run, *pod).unwrap() {
                marked.fetch_add(1, Ordering::Relaxed);
            }
            let garbage = Garbage::take(data.path(), Phase::ExitedGarbage, *pod).unwrap();
            if let Some(garbage) = garbage {
                garbage.delete().unwrap();
                deleted.fetch_add(1, Ordering::Relaxed);
            }
            crate::found::list(data.path(), |pod| Ok(Some(pod))).unwrap();
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(collect);
        }
    });
    assert_eq!((marked.into_inner(), deleted.into_inner()), (60, 60));
    assert!(
        crate::found::list(data.path(), |pod| Ok(Some(pod)))
            .unwrap()
            .pods
            .is_empty()
    );
}
