//! Apps that come and go while the pod runs.

use bulkhead_protocol::agent::ToAgent;
use bulkhead_protocol::bounded::List;
use bulkhead_protocol::exit::Exit;
use bulkhead_protocol::mutable::AddedApp;

use crate::relay::Relay;
use crate::rig::{Rig, shell, start};

/// A pod of `web` alone, on disks that have room for `db`, and `db`.
fn rig() -> (Rig, AddedApp) {
    let mut rig = Rig::new(&["web", "db"]);
    let mut apps = rig.plan.apps.to_vec();
    let app = apps.pop().unwrap();
    rig.plan.apps = apps.try_into().unwrap();
    let added = AddedApp {
        number: 1,
        app,
        images: List::default(),
        empty_volumes: List::default(),
    };
    (rig, added)
}

fn add(relay: &mut Relay, added: &AddedApp) -> Option<String> {
    relay.send(&ToAgent::AddApp(Box::new(added.clone())));
    change(relay)
}

fn change(relay: &mut Relay) -> Option<String> {
    let before = relay.changes.len();
    relay.until(|relay| relay.changes.len() > before);
    let (app, failure) = relay.changes.last().unwrap().clone();
    assert_eq!(app, 1);
    failure
}

#[test]
fn one_is_added_runs_and_leaves_nothing() {
    let (rig, added) = rig();
    let mut relay = rig.relay();
    relay.send(&start(shell(1, "db", "true")));
    let outcome = relay.finish(1);
    assert!(outcome.reason().contains("no app db"), "{outcome:?}");
    assert_eq!(add(&mut relay, &added), None);
    // As after a lost connection.
    assert_eq!(add(&mut relay, &added), None);
    relay.send(&start(shell(2, "db", "echo x > /x; sync")));
    assert_eq!(relay.finish(2).exit, Some(Exit::Code(0)));
    relay.send(&start(shell(3, "db", "cat /x; sleep 1000")));
    relay.until(|relay| relay.outcomes.values().any(|o| o.stdout == b"x\n"));
    relay.send(&ToAgent::RemoveApp { app: 1 });
    assert_eq!(change(&mut relay), None);
    assert!(rig.is_clean(1), "its file system was unmounted");
    assert_eq!(relay.finish(3).exit, Some(Exit::Signal(9)));
    relay.send(&ToAgent::RemoveApp { app: 1 });
    assert_eq!(change(&mut relay), None);
    relay.send(&start(shell(4, "db", "true")));
    assert!(relay.finish(4).reason().contains("no app db"));
    // Its name is free.
    let again = AddedApp { number: 2, ..added };
    relay.send(&ToAgent::AddApp(Box::new(again)));
    relay.until(|relay| relay.changes.contains(&(2, None)));
}

#[test]
fn an_app_that_is_killed_can_run_again() {
    let (rig, added) = rig();
    let mut relay = rig.relay();
    assert_eq!(add(&mut relay, &added), None);
    relay.send(&start(shell(1, "db", "echo on; sleep 1000")));
    relay.until(|relay| relay.outcomes.values().any(|o| o.stdout == b"on\n"));
    relay.send(&ToAgent::KillApp { app: 1 });
    assert_eq!(relay.finish(1).exit, Some(Exit::Signal(9)));
    relay.send(&start(shell(2, "db", "echo again")));
    assert_eq!(relay.finish(2).text(), "again\n");
}

#[test]
fn one_whose_disk_never_comes_is_given_up() {
    let (rig, mut added) = rig();
    added.app.scratch.start = 1 << 40;
    let mut relay = rig.relay();
    let why = add(&mut relay, &added).unwrap();
    assert!(why.contains("no room for app db"), "{why}");
}
