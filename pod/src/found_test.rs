use std::fs;
use std::os::unix::fs::symlink;

use super::*;
use crate::fixture_test::{Data, hold, uuid};

fn states(data: &Data) -> Vec<(String, String)> {
    let listing = list(data.path(), |pod| Ok(Some(pod))).unwrap();
    let pods = listing.pods.iter();
    pods.map(|pod| {
        (
            pod.uuid().to_string()[..4].to_owned(),
            pod.state().to_string(),
        )
    })
    .collect()
}

#[test]
fn pods_are_listed_with_their_states() {
    let data = Data::new();
    let mut held = Vec::new();
    for (number, phase) in (0..).zip(Phase::ALL) {
        data.pod(phase, uuid(&format!("00{number}0")));
        held.push(hold(&data.pod(phase, uuid(&format!("00{number}1")))));
    }
    fs::create_dir(Phase::Run.directory(data.path()).join("lost+found")).unwrap();
    let expected = [
        ("0010", "aborted prepare"),
        ("0011", "preparing"),
        ("0020", "prepared"),
        ("0021", "prepared"),
        ("0030", "exited"),
        ("0031", "running"),
        ("0040", "exited garbage"),
        ("0041", "exited deleting"),
    ];
    assert_eq!(
        states(&data),
        expected.map(|(uuid, state)| (uuid.to_owned(), state.to_owned()))
    );
}

#[test]
fn without_a_data_directory_there_are_no_pods() {
    let data = Data::new();
    let absent = data.path().join("absent");
    assert!(list(&absent, |pod| Ok(Some(pod))).unwrap().pods.is_empty());
    let error = FoundPod::find(&absent, "ab").unwrap_err().to_string();
    assert_eq!(error, "no pod has the UUID ab, or one that begins so");
    assert!(!absent.exists());
}

#[test]
fn what_is_no_directory_does_not_stop_the_list() {
    let data = Data::new();
    let run = data
        .pod(Phase::Run, uuid("aa"))
        .parent()
        .unwrap()
        .to_owned();
    fs::write(run.join(uuid("bb").to_string()), "").unwrap();
    symlink(
        run.join(uuid("aa").to_string()),
        run.join(uuid("cc").to_string()),
    )
    .unwrap();
    let listing = list(data.path(), |pod| Ok(Some(pod))).unwrap();
    assert_eq!(
        listing.pods.iter().map(FoundPod::uuid).collect::<Vec<_>>(),
        [uuid("aa")]
    );
    let unreadable = listing.unreadable.iter().map(ToString::to_string);
    let expected =
        ["bb", "cc"].map(|start| format!("open {}", run.join(uuid(start).to_string()).display()));
    assert_eq!(unreadable.collect::<Vec<_>>(), expected);
}

#[test]
fn a_pod_is_found_by_any_unambiguous_beginning() {
    let data = Data::new();
    data.pod(Phase::Run, uuid("abc1"));
    data.pod(Phase::ExitedGarbage, uuid("abc2"));
    data.pod(Phase::Prepared, uuid("d"));
    data.pod(Phase::Garbage, uuid("e"));
    let found = |prefix: &str| FoundPod::find(data.path(), prefix).map(|pod| pod.uuid());
    for prefix in ["abc1", &uuid("abc1").to_string()] {
        assert_eq!(found(prefix).unwrap(), uuid("abc1"));
    }
    assert_eq!(found("d").unwrap(), uuid("d"));
    let error = |prefix: &str| found(prefix).unwrap_err().to_string();
    assert_eq!(
        error("abc"),
        format!(
            "abc is ambiguous: 2 pods have a UUID that begins so: {}, {}",
            uuid("abc1"),
            uuid("abc2")
        )
    );
    assert_eq!(error("f"), "no pod has the UUID f, or one that begins so");
    assert!(matches!(found("e"), Err(FindError::NoPod(_))));
    assert!(matches!(
        found(&uuid("e").to_string()),
        Err(FindError::NoPod(_))
    ));
    for wrong in ["", "ABC", "../run", &"a".repeat(37)] {
        assert!(
            matches!(found(wrong), Err(FindError::NotAUuid(_))),
            "{wrong}"
        );
    }
}

#[test]
fn a_pod_is_read_on_wherever_it_is_moved() {
    let data = Data::new();
    let path = data.pod(Phase::Run, uuid("a"));
    let pod = data.find(uuid("a"));
    fs::create_dir_all(Phase::ExitedGarbage.directory(data.path())).unwrap();
    let garbage = Phase::ExitedGarbage
        .directory(data.path())
        .join(uuid("a").to_string());
    fs::rename(path, &garbage).unwrap();
    assert!(pod.manifest().unwrap().is_some());
    assert_eq!(data.find(uuid("a")).state(), State::ExitedGarbage);
    fs::remove_dir_all(garbage).unwrap();
    assert!(pod.manifest().unwrap().is_none());
    assert!(FoundPod::look_up(data.path(), uuid("a")).unwrap().is_none());
}

/// Observers, movers and deleters at once: nobody sees an error or a state that is none of the pod's.
#[test]
fn lists_and_moves_at_once() {
    let data = Data::new();
    let pods: Vec<_> = (0..100)
        .map(|number| uuid(&format!("{number:04}")))
        .collect();
    for pod in &pods {
        data.pod(Phase::Run, *pod);
    }
    let garbage = Phase::ExitedGarbage.directory(data.path());
    fs::create_dir_all(&garbage).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for pod in &pods {
                let run = Phase::Run.directory(data.path()).join(pod.to_string());
                fs::rename(run, garbage.join(pod.to_string())).unwrap();
            }
        });
        for _ in 0..20 {
            let listing = list(data.path(), |pod| Ok(Some(pod))).unwrap();
            assert_eq!((listing.pods.len(), listing.unreadable.len()), (100, 0));
            let known = [State::Exited, State::ExitedGarbage];
            assert!(listing.pods.iter().all(|pod| known.contains(&pod.state())));
        }
    });
    std::thread::scope(|scope| {
        scope.spawn(|| {
            pods.iter()
                .for_each(|pod| fs::remove_dir_all(garbage.join(pod.to_string())).unwrap())
        });
        for _ in 0..20 {
            let listing = list(data.path(), |pod| Ok(Some(pod))).unwrap();
            assert!(listing.unreadable.is_empty(), "{:?}", listing.unreadable);
        }
    });
    assert!(
        list(data.path(), |pod| Ok(Some(pod)))
            .unwrap()
            .pods
            .is_empty()
    );
}

#[test]
fn few_of_many_pods_are_open_at_a_time() {
    let data = Data::new();
    for number in 0..400 {
        data.pod(Phase::Run, uuid(&format!("{number:03}")));
    }
    // Pods of other tests' threads are no more than some; a descriptor for each of these would be 400.
    let open = || fs::read_dir("/proc/self/fd").unwrap().count();
    let listing = list(data.path(), |pod| Ok(Some((pod.uuid(), open())))).unwrap();
    let uuids: Vec<_> = listing.pods.iter().map(|(uuid, _)| *uuid).collect();
    assert!(uuids.is_sorted());
    assert_eq!(uuids.len(), 400);
    assert!(listing.pods.iter().all(|(_, open)| *open < 300));
}
