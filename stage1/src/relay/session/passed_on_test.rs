use bulkhead_protocol::agent::{Chunk, Stream};
use bulkhead_protocol::exit::Exit;

use super::super::Action;
use super::super::ending::LINGER_LIMIT;
use super::super::tests::{
    ID, ZERO, data, exec, exited, hello, messages, power_off, running, silent_end, started,
};
use super::*;

/// A pod of one app, and a connection to it.
fn connected() -> (Session, ProcessId) {
    let mut session = running(&["web"]);
    messages(&mut session);
    let id = session.pass_on(0).unwrap();
    messages(&mut session);
    session.agent_message(ZERO, started(id.0));
    session.take_actions();
    (session, id)
}

fn ended(session: &mut Session, id: ProcessId) {
    session.agent_message(ZERO, data(id.0, Stream::Stdout, 0, b""));
    session.agent_message(ZERO, exited(id.0, Exit::Code(0)));
}

#[test]
fn a_client_is_connected_with_an_id_of_its_own() {
    let mut session = running(&["web"]);
    messages(&mut session);
    let first = session.pass_on(3).unwrap();
    let program = session.enter(exec("web")).unwrap();
    let second = session.pass_on(0).unwrap();
    assert_eq!([first.0, program.0, second.0], [1, 2, 3]);
    let connect = |process, listener| ToAgent::Connect { process, listener };
    let sent = messages(&mut session);
    assert!(sent.contains(&connect(first, 3)) && sent.contains(&connect(second, 0)));
}

#[test]
fn what_it_writes_waits_for_the_connection() {
    let mut session = running(&["web"]);
    let id = session.pass_on(0).unwrap();
    session.input(id, b"hello");
    let is_data = |message: &ToAgent| matches!(message, ToAgent::Data(_));
    assert!(!messages(&mut session).iter().any(is_data));
    session.agent_message(ZERO, started(id.0));
    let sent = messages(&mut session);
    let [ToAgent::Data(Chunk { process, bytes, .. })] = &sent[..] else {
        panic!("{sent:?}")
    };
    assert_eq!((*process, &bytes[..]), (id, &b"hello"[..]));
}

#[test]
fn a_lost_agent_is_asked_again_until_it_has_answered() {
    let (mut session, known) = connected();
    let unknown = session.pass_on(0).unwrap();
    messages(&mut session);
    session.agent_lost(ZERO);
    assert!(!session.passes_on());
    session.agent_connected(ZERO);
    session.agent_message(ZERO, hello(Some(ID)));
    let sent = messages(&mut session);
    let is_asked = |id| {
        let connect = |message: &ToAgent| matches!(message, ToAgent::Connect { process, .. } if *process == id);
        sent.iter().any(connect)
    };
    assert!(is_asked(unknown) && !is_asked(known));
}

#[test]
fn there_is_a_most_at_a_time_and_others_are_not_counted() {
    let mut session = running(&["web"]);
    let ids: Vec<_> = std::iter::from_fn(|| session.pass_on(0))
        .take(1000)
        .collect();
    assert_eq!(ids.len(), MAX_PASSED_ON);
    assert!(!session.passes_on());
    assert!(session.enter(exec("web")).is_ok());
    messages(&mut session);
    session.agent_message(ZERO, started(ids[0].0));
    ended(&mut session, ids[0]);
    assert!(session.passes_on());
}

#[test]
fn nobody_is_passed_on_to_a_pod_that_ends() {
    let mut session = running(&["web"]);
    session.stop(ZERO);
    assert_eq!(session.pass_on(0), None);
    let mut session = running(&["web"]);
    session.agent_message(ZERO, exited(0, Exit::Code(0)));
    assert_eq!(session.pass_on(0), None);
}

#[test]
fn what_an_app_has_written_to_a_client_is_waited_for() {
    let (mut session, id) = connected();
    session.agent_message(ZERO, data(id.0, Stream::Stdout, 0, b"bye"));
    session.agent_message(ZERO, exited(0, Exit::Code(0)));
    silent_end(&mut session, 0);
    assert!(!messages(&mut session).contains(&ToAgent::Shutdown));
    session.agent_message(ZERO, data(id.0, Stream::Stdout, 3, b""));
    session.agent_message(ZERO, exited(id.0, Exit::Code(0)));
    session.written(ZERO, id, Stream::Stdout, 3);
    assert_eq!(power_off(&mut session), Some(0));
}

#[test]
fn a_client_that_takes_nothing_is_not_waited_for_for_ever() {
    let (mut session, id) = connected();
    session.agent_message(ZERO, data(id.0, Stream::Stdout, 0, b"bye"));
    session.agent_message(ZERO, exited(0, Exit::Code(0)));
    silent_end(&mut session, 0);
    session.tick(LINGER_LIMIT);
    assert!(messages(&mut session).contains(&ToAgent::Shutdown));
}

#[test]
fn it_has_no_second_output() {
    let (mut session, id) = connected();
    session.agent_message(ZERO, data(id.0, Stream::Stderr, 0, b"x"));
    assert!(session.take_actions().contains(&Action::StopVmm));
}
