//! Programs before and after an app's own.

use bulkhead_protocol::agent::ToAgent;
use bulkhead_protocol::exit::Exit;
use bulkhead_protocol::plan::Process;

use crate::rig::{Rig, shell, start};

/// The app's own command, between its handlers'.
fn around(before: &str, command: &str, after: &str) -> Process {
    let mut process = shell(1, "web", command);
    process.pre_start = shell(1, "web", before).arguments;
    process.post_stop = shell(1, "web", after).arguments;
    process
}

#[test]
fn they_run_in_order_in_the_app_s_surroundings() {
    let rig = Rig::new(&["web"]);
    let mut relay = rig.relay();
    let mut process = around(
        "echo before; id -u; cat; echo made > /tmp/file",
        "cat /tmp/file; id -u; exit 3",
        "echo after; id -u; exit 9",
    );
    process.user = "web".try_into().unwrap();
    relay.send(&start(process));
    let outcome = relay.finish(1);
    assert_eq!(outcome.text(), "before\n0\nmade\n33\nafter\n0\n");
    assert_eq!(outcome.exit, Some(Exit::Code(3)));
    assert_eq!(outcome.reason(), "its post-stop handler ended with 9");
}

#[test]
fn a_failed_one_before_keeps_the_app_from_starting() {
    let rig = Rig::new(&["web"]);
    let mut relay = rig.relay();
    relay.send(&start(around("echo no; exit 7", "echo app", "echo after")));
    let outcome = relay.finish(1);
    assert_eq!(
        (outcome.text(), outcome.exit),
        ("no\n", Some(Exit::Code(7)))
    );
    assert_eq!(
        outcome.reason(),
        "its pre-start handler ended with 7; the app was not started"
    );
}

#[test]
fn an_app_that_cannot_run_keeps_what_its_handler_said() {
    let rig = Rig::new(&["web"]);
    let mut relay = rig.relay();
    let mut process = around("echo before", "true", "echo after");
    process.arguments = vec!["/bin/nope".try_into().unwrap()].try_into().unwrap();
    relay.send(&start(process));
    let outcome = relay.finish(1);
    assert_eq!(
        (outcome.text(), outcome.exit),
        ("before\n", Some(Exit::Code(203)))
    );
}

#[test]
fn a_stopped_pod_still_runs_those_after() {
    let rig = Rig::new(&["web"]);
    let mut relay = rig.relay();
    relay.send(&start(around(
        "echo before",
        "echo ready; sleep 1000",
        "echo after",
    )));
    relay.until(|relay| {
        let outcome = relay.outcomes.values().next();
        outcome.is_some_and(|outcome| outcome.text().contains("ready"))
    });
    relay.send(&ToAgent::Stop { grace_ms: 60_000 });
    // The shell is asked, not its child, which holds the outputs until the pod's end.
    relay.until(|relay| {
        let outcome = relay.outcomes.values().next();
        outcome.is_some_and(|outcome| outcome.text().ends_with("after\n") && outcome.exit.is_some())
    });
    let outcome = relay.outcomes.values().next().unwrap();
    assert_eq!(outcome.exit, Some(Exit::Signal(15)));
}
