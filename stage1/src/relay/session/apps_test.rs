use bulkhead_protocol::agent::FromAgent;
use bulkhead_protocol::exit::Exit;
use bulkhead_protocol::plan::{ProcessId, Stdio};
use bulkhead_protocol::relay::RelaySpec;
use bulkhead_protocol::vmm::ExitReason;

use super::super::tests::{ID, ZERO, exited, hello, new, running, says, session, spec, started};
use super::super::{Action, Session};

/// Whether that was said since the last question.
fn said(session: &mut Session) -> bool {
    session.take_actions().contains(&Action::AppsRun)
}

/// Whether what the agent said was the pod's end.
fn breaks_the_protocol(session: &mut Session) -> bool {
    session.take_actions().contains(&Action::StopVmm)
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

fn says_ready(id: u32) -> FromAgent {
    FromAgent::Ready {
        process: ProcessId(id),
    }
}

/// A pod of two apps of which the first says itself when it is ready.
fn one_says_so() -> RelaySpec {
    let mut spec = spec(&["web", "db"], Stdio::Pipes { stdin: false });
    let mut processes = spec.processes.into_vec();
    processes[0].says_ready = true;
    spec.processes = processes.try_into().unwrap();
    spec
}

#[test]
fn an_app_that_says_itself_when_it_is_ready_is_waited_for() {
    let mut session = greeted(session(one_says_so()));
    session.agent_message(ZERO, started(0));
    session.agent_message(ZERO, started(1));
    assert!(!said(&mut session));
    session.agent_message(ZERO, says_ready(0));
    assert!(said(&mut session));
}

#[test]
fn one_that_ends_without_saying_so_was_never_ready() {
    let mut session = greeted(session(one_says_so()));
    session.agent_message(ZERO, started(0));
    session.agent_message(ZERO, exited(0, Exit::Code(0)));
    session.agent_message(ZERO, started(1));
    assert!(!said(&mut session));
}

#[test]
fn only_a_new_connection_repeats_that_an_app_is_ready() {
    let mut session = greeted(session(one_says_so()));
    session.agent_message(ZERO, started(0));
    session.agent_message(ZERO, says_ready(0));
    session.agent_lost(ZERO);
    session.agent_connected(ZERO);
    session.agent_message(ZERO, hello(Some(ID)));
    session.agent_message(ZERO, started(0));
    session.agent_message(ZERO, says_ready(0));
    assert!(!breaks_the_protocol(&mut session));
    session.agent_message(ZERO, says_ready(1));
    assert!(breaks_the_protocol(&mut session));
}

#[test]
fn an_app_is_not_ready_before_its_start() {
    let mut session = greeted(session(one_says_so()));
    session.agent_message(ZERO, says_ready(0));
    assert!(breaks_the_protocol(&mut session));
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

#[test]
fn an_exit_is_believed_once() {
    let mut session = running(&["web", "db"]);
    session.agent_message(ZERO, exited(0, Exit::Code(0)));
    session.agent_message(ZERO, exited(0, Exit::Code(0)));
    session.vmm_exited(&ExitReason::Stopped, b"");
    let text = "the guest's agent breaks the protocol: process 0 cannot have ended now";
    assert_eq!(says(&mut session), [text]);
}
