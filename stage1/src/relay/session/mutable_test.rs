use std::collections::BTreeSet;

use proptest::prelude::*;

use bulkhead_protocol::agent::{FromAgent, Stream};
use bulkhead_protocol::bounded::{Blob, List, Text};
use bulkhead_protocol::mutable::AddedApp;
use bulkhead_protocol::plan::{App as Planned, ImageFiles, Limits, Partition, Stdio};
use bulkhead_protocol::relay::Destination;
use bulkhead_protocol::vmm::ExitReason;

use super::super::property_tests::any_message;
use super::super::tests::{
    ID, ZERO, data, exec, exited, finish, hello, messages, power_off, process, says, seconds,
    session, spec, started,
};
use super::*;

const PIPES: Stdio = Stdio::Pipes { stdin: false };

/// A mutable pod whose agent is there.
fn mutable() -> Session {
    let mut spec = spec(&[], PIPES);
    spec.mutable = true;
    let mut session = session(spec);
    session.agent_connected(ZERO);
    session.agent_message(ZERO, hello(None));
    messages(&mut session);
    session.take_actions();
    session
}

fn name(name: &str) -> AppName {
    AppName::try_from(name.to_owned()).unwrap()
}

fn add(number: u16, app: &str) -> AddApp {
    let id = "0f".repeat(64);
    let manifest = format!(
        r#"{{"acKind":"PodManifest","acVersion":"0.8.11",
            "apps":[{{"name":"{app}","image":{{"id":"sha512-{id}"}}}}]}}"#
    );
    let image = r#"{"acKind":"ImageManifest","acVersion":"0.8.11","name":"example.com/a"}"#;
    let (start, length) = (0, 4096);
    AddApp {
        added: AddedApp {
            number,
            app: Planned {
                name: name(app),
                image: ImageFiles::Layers(List::try_from(vec![0]).unwrap()),
                scratch: Partition { start, length },
                read_only_root: false,
                mounts: List::default(),
                masked_paths: List::default(),
                read_only_paths: List::default(),
                limits: Limits::default(),
                exported: false,
            },
            images: List::default(),
            empty_volumes: List::default(),
        },
        process: process(0, app, PIPES),
        outputs: Outputs::both(Destination::Log),
        manifest: Blob::try_from(manifest.as_bytes()).unwrap(),
        image_manifest: Blob::try_from(image.as_bytes()).unwrap(),
    }
}

fn added(app: u16, failure: Option<&str>) -> FromAgent {
    let failure = failure.map(|text| Text::try_from(text).unwrap());
    FromAgent::AppAdded { app, failure }
}

fn removed(app: u16) -> FromAgent {
    let failure = None;
    FromAgent::AppRemoved { app, failure }
}

/// The app `web`, added.
fn with_web() -> Session {
    let mut session = mutable();
    session.add_app(add(0, "web"));
    messages(&mut session);
    session.agent_message(ZERO, added(0, None));
    session.take_actions();
    session
}

/// One that runs as process `id`.
fn start_web(session: &mut Session, id: u32) {
    assert_eq!(session.order(ZERO, 7, &name("web"), Order::Start), None);
    // After acknowledgements of what an earlier one left.
    let Some(ToAgent::Start(process)) = messages(session).pop() else {
        panic!("a start");
    };
    assert_eq!(process.id, ProcessId(id));
    session.agent_message(ZERO, started(id));
    assert_eq!(answers(session), [(7, Answer::Done)]);
}

fn answers(session: &mut Session) -> Vec<(Asker, Answer)> {
    let answer = |action| match action {
        Action::Answer { asker, answer } => Some((asker, answer)),
        _ => None,
    };
    session
        .take_actions()
        .into_iter()
        .filter_map(answer)
        .collect()
}

#[test]
fn who_waits_for_an_app_hears_when_it_is_there_or_why_not() {
    let mut session = mutable();
    session.add_app(add(0, "web"));
    assert!(matches!(&messages(&mut session)[..], [ToAgent::AddApp(_)]));
    assert_eq!(session.order(ZERO, 1, &name("web"), Order::Arrive), None);
    let early = session.order(ZERO, 2, &name("web"), Order::Start);
    assert!(matches!(early, Some(Answer::Refused(_))));
    session.agent_message(ZERO, added(0, None));
    assert_eq!(answers(&mut session), [(1, Answer::Done)]);
    assert_eq!(
        session.order(ZERO, 3, &name("web"), Order::Arrive),
        Some(Answer::Done)
    );
    session.add_app(add(1, "db"));
    session.agent_message(ZERO, added(1, Some("no room")));
    // Whoever asks too late still hears why, and the name is free again.
    let why = Answer::Refused("no room".to_owned());
    assert_eq!(
        session.order(ZERO, 4, &name("db"), Order::Arrive),
        Some(why)
    );
    assert_eq!(
        session.order(ZERO, 5, &name("db"), Order::Leave),
        Some(Answer::Done)
    );
    let unknown = session.order(ZERO, 6, &name("db"), Order::Start);
    assert!(matches!(unknown, Some(Answer::Refused(_))));
}

#[test]
fn an_app_runs_again_and_again_as_another_process() {
    let mut session = with_web();
    start_web(&mut session, 0);
    session.agent_message(ZERO, data(0, Stream::Stdout, 0, b"one"));
    session.agent_message(ZERO, exited(0, Exit::Code(9)));
    assert!(finish(&mut session).is_none());
    start_web(&mut session, 1);
    // What the agent still says of the first is late.
    session.agent_message(ZERO, data(0, Stream::Stdout, 3, b"late"));
    session.agent_message(ZERO, exited(1, Exit::Code(0)));
    assert_eq!(says(&mut session), Vec::<String>::new());
    let id = session.enter(exec("web")).unwrap();
    assert_eq!(id, ProcessId(FIRST_ENTERED));
}

#[test]
fn an_app_that_is_stopped_has_its_grace_and_leaves_nothing_running() {
    let mut session = with_web();
    let not_running = session.order(ZERO, 1, &name("web"), Order::Stop);
    assert_eq!(not_running, Some(Answer::NotRunning));
    start_web(&mut session, 0);
    assert_eq!(session.order(ZERO, 1, &name("web"), Order::Stop), None);
    assert_eq!(session.order(ZERO, 2, &name("web"), Order::Stop), None);
    let process = ProcessId(0);
    let signal = SIGTERM;
    assert_eq!(
        messages(&mut session),
        [ToAgent::Signal { process, signal }]
    );
    assert_eq!(session.deadline(), Some(seconds(10)));
    session.tick(seconds(10));
    assert_eq!(messages(&mut session), [ToAgent::KillApp { app: 0 }]);
    session.agent_message(seconds(10), exited(0, Exit::Signal(9)));
    assert_eq!(messages(&mut session), [ToAgent::KillApp { app: 0 }]);
    assert_eq!(
        answers(&mut session),
        [(1, Answer::Done), (2, Answer::Done)]
    );
}

#[test]
fn an_app_that_never_runs_says_why_to_who_started_it() {
    let mut session = with_web();
    assert_eq!(session.order(ZERO, 1, &name("web"), Order::Start), None);
    messages(&mut session);
    let reason = Some(Text::try_from("no such program").unwrap());
    let (process, exit) = (ProcessId(0), Exit::Code(203));
    session.agent_message(
        ZERO,
        FromAgent::Exited {
            process,
            exit,
            reason,
        },
    );
    let why = Answer::Refused("no such program".to_owned());
    assert_eq!(answers(&mut session), [(1, why)]);
}

#[test]
fn a_name_is_free_when_its_app_has_gone() {
    let mut session = with_web();
    start_web(&mut session, 0);
    let running = session.order(ZERO, 1, &name("web"), Order::Leave);
    assert_eq!(running, Some(Answer::Refused("app web runs".to_owned())));
    session.agent_message(ZERO, exited(0, Exit::Code(0)));
    assert_eq!(session.order(ZERO, 1, &name("web"), Order::Leave), None);
    assert_eq!(messages(&mut session), [ToAgent::RemoveApp { app: 0 }]);
    session.agent_message(ZERO, removed(0));
    assert_eq!(answers(&mut session), [(1, Answer::Done)]);
    assert!(session.enter(exec("web")).is_err());
    session.add_app(add(1, "web"));
    session.agent_message(ZERO, added(1, None));
    messages(&mut session);
    start_web(&mut session, 1);
    session.agent_message(ZERO, added(9, None));
    session.vmm_exited(&ExitReason::Stopped, b"");
    assert!(says(&mut session)[0].contains("app 9, which was never added"));
}

#[test]
fn the_pod_ends_when_it_is_stopped_and_with_0() {
    let mut idle = with_web();
    idle.stop(ZERO);
    let ending = idle.order(ZERO, 1, &name("web"), Order::Start);
    assert!(matches!(ending, Some(Answer::Refused(_))));
    assert_eq!(power_off(&mut idle), Some(0));
    let mut session = with_web();
    start_web(&mut session, 0);
    session.stop(ZERO);
    let grace_ms = 10_000;
    assert_eq!(messages(&mut session), [ToAgent::Stop { grace_ms }]);
    for stream in [Stream::Stdout, Stream::Stderr] {
        session.agent_message(ZERO, data(0, stream, 0, b""));
    }
    session.agent_message(ZERO, exited(0, Exit::Code(4)));
    assert_eq!(power_off(&mut session), Some(0));
}

#[test]
fn what_a_lost_connection_took_along_is_asked_again() {
    let mut session = with_web();
    session.add_app(add(1, "db"));
    let asked = messages(&mut session);
    session.agent_lost(ZERO);
    session.agent_connected(ZERO);
    session.agent_message(ZERO, hello(Some(ID)));
    assert_eq!(messages(&mut session), asked);
    session.agent_message(ZERO, added(1, None));
    session.agent_lost(ZERO);
    session.agent_connected(ZERO);
    session.agent_message(ZERO, hello(Some(ID)));
    assert_eq!(messages(&mut session), []);
}

/// What may happen to a mutable pod.
#[derive(Debug, Clone)]
enum Event {
    Add(bool),
    Order(bool, Order),
    Says(FromAgent),
    Connected,
    Lost,
    Tick(u64),
    AskerLeft(Asker),
}

fn any_event() -> impl Strategy<Value = Event> {
    let order = prop_oneof![
        Just(Order::Arrive),
        Just(Order::Start),
        Just(Order::Stop),
        Just(Order::Leave)
    ];
    let failure = || prop_oneof![3 => Just(None), 1 => Just(Some("no room"))];
    prop_oneof![
        3 => any::<bool>().prop_map(Event::Add),
        8 => (any::<bool>(), order).prop_map(|(web, order)| Event::Order(web, order)),
        6 => (0_u16..9, failure()).prop_map(|(app, why)| Event::Says(added(app, why))),
        3 => (0_u16..9).prop_map(|app| Event::Says(removed(app))),
        6 => (0_u32..6).prop_map(|id| Event::Says(started(id))),
        6 => (0_u32..6).prop_map(|id| Event::Says(exited(id, Exit::Code(1)))),
        3 => any_message().prop_map(Event::Says),
        1 => Just(Event::Connected),
        1 => Just(Event::Lost),
        1 => (0_u64..9).prop_map(Event::Tick),
        1 => (0_u64..40).prop_map(Event::AskerLeft),
    ]
}

proptest! {
    #[test]
    fn whatever_an_agent_says_who_asks_is_answered_once(
        events in prop::collection::vec(any_event(), 0..200),
    ) {
        let mut session = mutable();
        let mut now = ZERO;
        let (mut numbers, mut asker) = (0, 0);
        let mut waiting = BTreeSet::new();
        for event in events {
            let app = |web: bool| if web { "web" } else { "db" };
            match event {
                Event::Add(web) => {
                    session.add_app(add(numbers, app(web)));
                    numbers += 1;
                }
                Event::Order(web, order) => {
                    asker += 1;
                    if session.order(now, asker, &name(app(web)), order).is_none() {
                        waiting.insert(asker);
                    }
                }
                Event::Says(message) => session.agent_message(now, message),
                Event::Connected => session.agent_connected(now),
                Event::Lost => session.agent_lost(now),
                Event::Tick(n) => { now += seconds(n); session.tick(now); }
                Event::AskerLeft(asker) => {
                    session.asker_left(asker);
                    waiting.remove(&asker);
                }
            }
            prop_assert!(std::iter::from_fn(|| session.next_message()).take(2000).count() < 2000);
            for (asker, _) in answers(&mut session) {
                prop_assert!(waiting.remove(&asker), "{asker} asked, and has no answer yet");
            }
        }
    }
}
