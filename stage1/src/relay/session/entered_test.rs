use bulkhead_protocol::agent::FromAgent;

use super::super::tests::{
    ID, ZERO, data, exec, exited, finish, hello, messages, power_off, running, says, seconds,
    silent_end, started,
};
use super::*;

/// The first one in a pod of two apps.
const FIRST: u32 = 2;

/// A pod of two apps, and a program that was entered and runs.
fn entered() -> (Session, ProcessId) {
    let mut session = running(&["web", "db"]);
    let id = session.enter(exec("db")).unwrap();
    messages(&mut session);
    session.agent_message(ZERO, started(id.0));
    assert_eq!(news(&mut session), [News::Started]);
    (session, id)
}

fn news(session: &mut Session) -> Vec<News> {
    let of_client = |action| match action {
        Action::Client { news, .. } => Some(news),
        _ => None,
    };
    let actions = session.take_actions();
    actions.into_iter().filter_map(of_client).collect()
}

fn ended(exit: Exit) -> News {
    let reason = None;
    News::Ended { exit, reason }
}

#[test]
fn it_is_started_in_its_app_with_an_id_of_its_own() {
    let mut session = running(&["web", "db"]);
    messages(&mut session);
    let ids = [(); 2].map(|()| session.enter(exec("db")).unwrap());
    assert_eq!(ids, [ProcessId(FIRST), ProcessId(FIRST + 1)]);
    let sent = messages(&mut session);
    let [ToAgent::Start(first), ToAgent::Start(second)] = &sent[..] else {
        panic!("{sent:?}")
    };
    assert_eq!([first.id, second.id], ids);
    assert_eq!(first.app.as_str(), "db");
}

#[test]
fn its_output_and_end_are_its_client_s_alone_and_not_the_pod_s() {
    let (mut session, id) = entered();
    session.agent_message(ZERO, data(id.0, Stream::Stdout, 0, b"out"));
    session.agent_message(ZERO, data(id.0, Stream::Stdout, 3, b""));
    session.agent_message(ZERO, data(id.0, Stream::Stderr, 0, b""));
    session.agent_message(ZERO, exited(id.0, Exit::Code(7)));
    let (stdout, stderr) = (Stream::Stdout, Stream::Stderr);
    let output = |stream, bytes: &[u8]| News::Output {
        stream,
        bytes: bytes.to_vec(),
    };
    let end = |stream| News::OutputEnd { stream };
    let expected = [
        output(stdout, b"out"),
        end(stdout),
        end(stderr),
        ended(Exit::Code(7)),
    ];
    let process = id;
    let of_client = expected.map(|news| Action::Client { process, news });
    assert_eq!(session.take_actions(), of_client);
    session.written(ZERO, id, Stream::Stdout, 3);
    assert_eq!(news(&mut session), [News::Over]);
    for app in [0, 1] {
        session.agent_message(ZERO, exited(app, Exit::Code(0)));
        silent_end(&mut session, app);
    }
    assert_eq!(power_off(&mut session), Some(0));
}

#[test]
fn it_may_be_asked_for_before_the_agent_is_there() {
    let mut session = super::super::tests::new(&["web"]);
    session.enter(exec("web")).unwrap();
    assert_eq!(session.next_message(), None);
    session.agent_connected(ZERO);
    session.agent_message(ZERO, hello(None));
    let sent = messages(&mut session);
    assert!(matches!(
        sent[..],
        [ToAgent::Pod { .. }, ToAgent::Start(_), ToAgent::Start(_)]
    ));
}

#[test]
fn what_cannot_be_is_refused_with_its_reason() {
    let mut session = running(&["web", "db"]);
    let refusal = session.enter(exec("www")).unwrap_err();
    assert_eq!(
        refusal.to_string(),
        "the pod has no app www: it has web, db"
    );
    for _ in 0..MAX_CONNECTIONS {
        session.enter(exec("web")).unwrap();
    }
    assert_eq!(session.enter(exec("web")), Err(Refusal::TooMany));
    session.stop(ZERO);
    assert_eq!(session.enter(exec("web")), Err(Refusal::Ending));
}

#[test]
fn signals_are_sent_once_it_runs() {
    let mut session = running(&["web"]);
    let process = session.enter(exec("web")).unwrap();
    for signal in [15, 2, 15, 0, 65] {
        session.signal(process, signal);
    }
    messages(&mut session);
    session.agent_message(ZERO, started(process.0));
    let of = |signal| ToAgent::Signal { process, signal };
    assert_eq!(messages(&mut session), [of(2), of(15)]);
}

#[test]
fn a_client_that_leaves_hangs_it_up_and_kills_it_after_the_grace() {
    let (mut session, process) = entered();
    session.client_left(ZERO, process);
    let sent = messages(&mut session);
    let of = |signal| ToAgent::Signal { process, signal };
    // It hears of the hang-up while its streams are still there.
    assert_eq!(sent[0], of(SIGHUP), "{sent:?}");
    let closed = |message: &ToAgent| matches!(message, ToAgent::Ack(ack) if ack.closed);
    assert_eq!(sent.iter().filter(|message| closed(message)).count(), 2);
    let input_ends =
        |message: &ToAgent| matches!(message, ToAgent::Data(chunk) if chunk.bytes.is_empty());
    assert!(sent.iter().any(input_ends), "{sent:?}");
    assert_eq!(session.deadline(), Some(HANG_UP_GRACE));
    session.tick(HANG_UP_GRACE);
    assert_eq!(messages(&mut session), [of(SIGKILL)]);
    session.agent_message(ZERO, exited(process.0, Exit::Signal(9)));
    assert_eq!(news(&mut session), [ended(Exit::Signal(9))]);
    assert_eq!(session.entered.list.len(), 0);
}

#[test]
fn one_that_leaves_before_its_program_was_asked_for_leaves_nothing() {
    let mut session = running(&["web"]);
    messages(&mut session);
    let process = session.enter(exec("web")).unwrap();
    session.client_left(ZERO, process);
    assert_eq!(messages(&mut session), []);
    assert_eq!(session.entered.list.len(), 0);
}

#[test]
fn a_stream_that_somebody_holds_open_is_not_waited_for_without_end() {
    let (mut session, process) = entered();
    session.agent_message(ZERO, data(process.0, Stream::Stdout, 0, b"x"));
    session.agent_message(ZERO, exited(process.0, Exit::Code(0)));
    // As long as the client has something to read, its time is its own.
    assert_eq!(session.deadline(), None);
    session.written(ZERO, process, Stream::Stdout, 1);
    assert_eq!(session.deadline(), Some(DRAIN_LIMIT));
    news(&mut session);
    session.tick(DRAIN_LIMIT);
    assert_eq!(news(&mut session), [News::Over]);
    let closed = |message: &ToAgent| matches!(message, ToAgent::Ack(ack) if ack.closed);
    assert!(messages(&mut session).iter().all(closed));
}

#[test]
fn the_end_of_the_apps_does_not_wait_for_it() {
    let (mut session, process) = entered();
    for app in [0, 1] {
        session.agent_message(ZERO, exited(app, Exit::Code(0)));
        silent_end(&mut session, app);
    }
    assert!(messages(&mut session).contains(&ToAgent::Shutdown));
    session.agent_message(ZERO, exited(process.0, Exit::Signal(9)));
    assert!(news(&mut session).contains(&ended(Exit::Signal(9))));
    session.agent_message(ZERO, FromAgent::Down);
    let reason = bulkhead_protocol::vmm::ExitReason::GuestReset;
    session.vmm_exited(&reason, b"");
    assert_eq!(finish(&mut session), Some(0));
}

#[test]
fn a_lost_agent_hears_the_start_again_until_it_has_said_something_of_it() {
    let mut session = running(&["web"]);
    messages(&mut session);
    let process = session.enter(exec("web")).unwrap();
    let starts = |session: &mut Session| {
        let sent = messages(session);
        let of = |message: &&ToAgent| matches!(message, ToAgent::Start(_));
        sent.iter().filter(of).count()
    };
    assert_eq!(starts(&mut session), 1);
    for expected in [1, 0] {
        session.agent_lost(ZERO);
        session.agent_connected(ZERO);
        session.agent_message(ZERO, hello(Some(ID)));
        assert_eq!(starts(&mut session), expected);
        session.agent_message(ZERO, started(process.0));
    }
    assert_eq!(news(&mut session), [News::Started]);
}

#[test]
fn what_is_late_is_passed_over_and_what_never_was_ends_the_pod() {
    let (mut session, process) = entered();
    session.agent_message(ZERO, exited(process.0, Exit::Code(0)));
    silent_end(&mut session, process.0);
    assert!(news(&mut session).contains(&News::Over));
    let ack = Ack {
        process,
        stream: Stream::Stdin,
        offset: 0,
        closed: true,
    };
    for late in [
        FromAgent::Ack(ack),
        data(process.0, Stream::Stdout, 77, b"late"),
        exited(process.0, Exit::Code(1)),
    ] {
        session.agent_message(ZERO, late);
    }
    assert_eq!(session.take_actions(), []);
    // The agent cannot know of this one yet.
    let next = session.enter(exec("web")).unwrap();
    session.agent_message(ZERO, started(next.0));
    assert_eq!(
        says_at_the_end(&mut session),
        format!(
            "the guest's agent breaks the protocol: it speaks of process {}, which there is not",
            next.0
        )
    );
}

fn says_at_the_end(session: &mut Session) -> String {
    session.tick(seconds(100));
    says(session).join("\n")
}

#[test]
fn signals_are_kept_by_their_number() {
    let mut signals = Signals::default();
    [64, 9, 1, 9]
        .into_iter()
        .for_each(|signal| signals.add(signal));
    let taken: Vec<u8> = std::iter::from_fn(|| signals.take()).collect();
    assert_eq!(taken, [1, 9, 64]);
}
