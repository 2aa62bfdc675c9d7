use bulkhead_protocol::exit::Exit;
use bulkhead_protocol::plan::Stdio;

use super::super::tests::{ZERO, exited, hello, new, session, spec, started};
use super::super::{Action, Session};

/// Whether that was said since the last question.
fn said(session: &mut Session) -> bool {
    session.take_actions().contains(&Action::AppsRun)
}

fn greeted(mut session: Session) -> Session {
    session.agent_connected(ZERO);
    session.agent_message(ZERO, hello(None));
    session
}

#[test]
fn apps_run_when_the_last_was_started() {
    let mut session = greeted(new(&["web", "db"]));
    assert!(!said(&mut session));
    session.agent_message(ZERO, started(1));
    assert!(!said(&mut session));
    session.agent_message(ZERO, started(0));
    assert!(said(&mut session));
}

#[test]
fn an_app_that_ended_well_before_another_began_has_run() {
    let mut session = greeted(new(&["web", "db"]));
    session.agent_message(ZERO, started(0));
    session.agent_message(ZERO, exited(0, Exit::Code(0)));
    session.agent_message(ZERO, started(1));
    assert!(said(&mut session));
}

#[test]
fn a_failed_app_is_never_followed_by_running_ones() {
    let mut session = greeted(new(&["web", "db"]));
    session.agent_message(ZERO, exited(0, Exit::Code(127)));
    session.agent_message(ZERO, started(1));
    assert!(!said(&mut session));
}

#[test]
fn a_pod_that_is_stopped_before_its_apps_run_does_not_say_that_they_do() {
    let mut session = greeted(new(&["web"]));
    session.stop(ZERO);
    session.agent_message(ZERO, started(0));
    assert!(!said(&mut session));
}

#[test]
fn a_pod_without_apps_is_ready_with_its_agent() {
    let mut spec = spec(&[], Stdio::Pipes { stdin: false });
    spec.mutable = true;
    let mut session = greeted(session(spec));
    assert!(said(&mut session));
}
