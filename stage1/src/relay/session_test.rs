use bulkhead_protocol::agent::{Ack, Chunk};
use bulkhead_protocol::bounded::{Blob, List, Text};
use bulkhead_protocol::metadata::{MetadataSpec, Method, RequestId, Status};
use bulkhead_protocol::plan::{AppName, Limits, NameFiles, Stdio};
use bulkhead_protocol::{control::Exec, relay::Destination, relay::Outputs, vmm::ExitReason};

use super::*;

pub(super) const ID: SessionId = SessionId([7; 16]);
pub(super) const ZERO: Duration = Duration::ZERO;

pub(super) fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

pub(super) fn process(id: u32, name: &str, stdio: Stdio) -> Process {
    Process {
        id: ProcessId(id),
        app: AppName::try_from(name.to_owned()).unwrap(),
        arguments: List::try_from(vec![Text::try_from("/bin/app").unwrap()]).unwrap(),
        pre_start: List::default(),
        post_stop: List::default(),
        environment: List::default(),
        working_directory: Text::try_from("/").unwrap(),
        user: Text::try_from("0").unwrap(),
        group: Text::try_from("0").unwrap(),
        groups: List::default(),
        stdio,
        capabilities: 0,
        no_new_privileges: false,
        seccomp: None,
        oom_score_adj: 0,
        rlimits: List::default(),
        says_ready: false,
        listeners: List::default(),
    }
}

pub(super) fn spec(names: &[&str], stdio: Stdio) -> RelaySpec {
    let processes = (0..).zip(names).map(|(id, name)| process(id, name, stdio));
    RelaySpec {
        plan: Plan {
            waiting_shares: 0,
            hostname: Text::default(),
            name_files: NameFiles::default(),
            settings: Vec::new().try_into().unwrap(),
            limits: Limits::default(),
            images: List::default(),
            apps: List::default(),
            empty_volumes: List::default(),
            volume_scratch: None,
            listeners: List::default(),
            disk_volumes: Vec::new().try_into().unwrap(),
        },
        manifest: Blob::try_from(&br#"{"acKind":"PodManifest","acVersion":"0.8.11"}"#[..]).unwrap(),
        metadata: MetadataSpec {
            uuid: Text::try_from("6733c088-a507-4694-aabf-fb7c31d0b9c2").unwrap(),
            token: Text::try_from("token").unwrap(),
            key: Blob::default(),
            images: List::default(),
        },
        processes: List::try_from(processes.collect::<Vec<_>>()).unwrap(),
        ready_timeout_ms: 30_000,
        stop_grace_ms: 10_000,
        power_off_grace_ms: 3_000,
        label_output: false,
        outputs: List::try_from(vec![Outputs::both(Destination::Log); names.len()]).unwrap(),
        interactive: names.len() == 1,
        confine_entered: false,
        mutable: false,
        debug: false,
    }
}

pub(super) fn new(names: &[&str]) -> Session {
    session(spec(names, Stdio::Pipes { stdin: false }))
}

pub(super) fn session(spec: RelaySpec) -> Session {
    let metadata = Service::new(&spec.metadata, &spec.manifest).unwrap();
    Session::new(spec, metadata, ID, ZERO)
}

pub(super) fn hello(resume: Option<SessionId>) -> FromAgent {
    FromAgent::Hello {
        version: bulkhead_protocol::VERSION,
        resume,
        first_instruction_ns: 10,
        sent_ns: 30,
    }
}

pub(super) fn started(id: u32) -> FromAgent {
    FromAgent::Started {
        process: ProcessId(id),
        exec_ns: 1,
        sent_ns: 2,
    }
}

pub(super) fn exited(id: u32, exit: Exit) -> FromAgent {
    FromAgent::Exited {
        process: ProcessId(id),
        exit,
        reason: None,
    }
}

pub(super) fn data(id: u32, stream: Stream, offset: u64, bytes: &[u8]) -> FromAgent {
    FromAgent::Data(Chunk {
        process: ProcessId(id),
        stream,
        offset,
        bytes: Blob::try_from(bytes).unwrap(),
    })
}

pub(super) fn exec(app: &str) -> Exec {
    Exec {
        app: AppName::try_from(app.to_owned()).unwrap(),
        arguments: List::try_from(vec![Text::try_from("ls").unwrap()]).unwrap(),
        environment: List::default(),
        terminal: None,
    }
}

/// Both outputs of a process end without a byte.
pub(super) fn silent_end(session: &mut Session, id: u32) {
    for stream in [Stream::Stdout, Stream::Stderr] {
        session.agent_message(ZERO, data(id, stream, 0, b""));
    }
}

pub(super) fn running(names: &[&str]) -> Session {
    let mut session = new(names);
    session.agent_connected(ZERO);
    session.agent_message(ZERO, hello(None));
    for (id, _) in (0..).zip(names) {
        session.agent_message(ZERO, started(id));
    }
    session
}

pub(super) fn messages(session: &mut Session) -> Vec<ToAgent> {
    std::iter::from_fn(|| session.next_message())
        .filter_map(|outgoing| match outgoing {
            Outgoing::Welcome(_) => None,
            Outgoing::Message(message) => Some(message),
        })
        .collect()
}

pub(super) fn says(session: &mut Session) -> Vec<String> {
    let said = |action| match action {
        Action::Say(text) => Some(text),
        _ => None,
    };
    let actions = session.take_actions().into_iter();
    actions.filter_map(said).collect()
}

pub(super) fn finish(session: &mut Session) -> Option<u8> {
    session
        .take_actions()
        .into_iter()
        .find_map(|action| match action {
            Action::Finish(code) => Some(code),
            _ => None,
        })
}

/// From the end of the last app to the pod's code, in a guest that does as it is told.
pub(super) fn power_off(session: &mut Session) -> Option<u8> {
    assert!(messages(session).contains(&ToAgent::Shutdown));
    session.agent_message(ZERO, FromAgent::Down);
    assert!(session.take_actions().contains(&Action::StopVmm));
    session.vmm_exited(&ExitReason::GuestReset, b"");
    finish(session)
}

#[test]
fn everything_is_sent_at_once_after_the_hello() {
    let mut session = new(&["web", "db"]);
    session.agent_connected(ZERO);
    assert_eq!(session.next_message(), None);
    session.agent_message(ZERO, hello(None));
    assert_eq!(session.next_message(), Some(Outgoing::Welcome(ID)));
    let sent = messages(&mut session);
    assert!(matches!(
        sent[..],
        [ToAgent::Pod { .. }, ToAgent::Start(_), ToAgent::Start(_)]
    ));
    let actions = session.take_actions();
    assert!(actions.contains(&Action::Ready));
    assert!(actions.contains(&Action::Phase {
        name: "agent-first-instruction",
        ago_ns: 20
    }));
}

#[test]
fn a_pod_whose_apps_end_with_0_ends_with_0() {
    let mut session = running(&["web", "db"]);
    for id in [1, 0] {
        session.agent_message(ZERO, exited(id, Exit::Code(0)));
        silent_end(&mut session, id);
    }
    assert_eq!(power_off(&mut session), Some(0));
}

#[test]
fn the_first_failure_is_the_pods_code_and_stops_the_others() {
    let mut session = running(&["a", "b", "c"]);
    messages(&mut session);
    session.agent_message(ZERO, exited(0, Exit::Code(0)));
    assert_eq!(messages(&mut session), []);
    session.agent_message(ZERO, exited(1, Exit::Code(5)));
    let stop = ToAgent::Stop { grace_ms: 10_000 };
    assert_eq!(messages(&mut session), [stop]);
    session.agent_message(ZERO, exited(2, Exit::Signal(15)));
    let statuses: Vec<u8> = session
        .take_actions()
        .into_iter()
        .filter_map(|action| match action {
            Action::Status { code, .. } => Some(code),
            _ => None,
        })
        .collect();
    assert_eq!(statuses, [0, 5, 143]);
    for id in 0..3 {
        silent_end(&mut session, id);
    }
    assert_eq!(power_off(&mut session), Some(5));
}

#[test]
fn an_app_that_never_started_says_why_and_has_no_streams() {
    let mut session = new(&["web"]);
    session.agent_connected(ZERO);
    session.agent_message(ZERO, hello(None));
    session.agent_message(
        ZERO,
        FromAgent::Exited {
            process: ProcessId(0),
            exit: Exit::Code(203),
            reason: Some(Text::try_from("cannot run \"/bin/nope\"").unwrap()),
        },
    );
    assert_eq!(says(&mut session), ["app web: cannot run \"/bin/nope\""]);
    // An agent may end the streams all the same, before or after.
    silent_end(&mut session, 0);
    assert_eq!(power_off(&mut session), Some(203));
}

#[test]
fn output_is_waited_for_as_long_as_our_reader_takes_but_not_for_ever() {
    let mut session = running(&["web"]);
    session.agent_message(ZERO, data(0, Stream::Stdout, 0, b"hello"));
    session.agent_message(ZERO, exited(0, Exit::Code(0)));
    session.agent_message(ZERO, data(0, Stream::Stdout, 5, b""));
    // Our reader has not taken the bytes: no time limit.
    assert_eq!(session.deadline(), None);
    session.written(seconds(100), ProcessId(0), Stream::Stdout, 5);
    // Standard error never ends: a short silence is enough.
    assert_eq!(session.deadline(), Some(seconds(102)));
    session.tick(seconds(102));
    assert_eq!(power_off(&mut session), Some(0));
}

#[test]
fn a_stop_gives_the_apps_their_grace_and_then_powers_off() {
    let mut session = running(&["web"]);
    messages(&mut session);
    session.stop(ZERO);
    session.stop(ZERO);
    assert_eq!(messages(&mut session), [ToAgent::Stop { grace_ms: 10_000 }]);
    assert_eq!(session.deadline(), Some(seconds(11)));
    session.tick(seconds(11));
    assert_eq!(messages(&mut session), [ToAgent::Shutdown]);
    session.tick(seconds(14));
    assert_eq!(
        says(&mut session),
        ["the guest did not power off within 3 s"]
    );
    session.tick(seconds(16));
    assert_eq!(finish(&mut session), Some(0));
}

#[test]
fn a_pod_that_is_stopped_before_its_apps_run_ends_as_by_sigterm() {
    let mut session = new(&["web"]);
    session.stop(ZERO);
    assert_eq!(
        session.take_actions(),
        [Action::StopVmm, Action::Disconnect]
    );
    session.vmm_exited(&ExitReason::Stopped, b"console");
    assert_eq!(finish(&mut session), Some(143));
}

#[test]
fn a_machine_that_is_never_ready_is_reported_with_its_console() {
    let mut session = new(&["web"]);
    assert_eq!(session.deadline(), Some(seconds(30)));
    session.tick(seconds(30));
    session.vmm_exited(&ExitReason::Stopped, b"Kernel panic");
    let actions = session.take_actions();
    let text = "the machine was not ready after 30 s".to_owned();
    assert!(actions.contains(&Action::Say(text)));
    assert!(actions.contains(&Action::LookAtKernel));
    assert!(actions.contains(&Action::ShowConsole(b"Kernel panic".to_vec())));
    assert!(actions.contains(&Action::Finish(254)));
}

#[test]
fn the_kernel_is_looked_at_only_where_it_ran_and_no_agent_came() {
    let looks = |mut session: Session, reason| {
        session.vmm_exited(&reason, b"");
        session.take_actions().contains(&Action::LookAtKernel)
    };
    assert!(looks(new(&["web"]), ExitReason::GuestReset));
    assert!(!looks(new(&["web"]), ExitReason::TripleFault));
    let message = Text::try_from("kernel: is not a kernel").unwrap();
    assert!(!looks(new(&["web"]), ExitReason::Failed { message }));
    assert!(!looks(running(&["web"]), ExitReason::GuestReset));
}

#[test]
fn a_machine_that_ends_too_early_gives_the_reason() {
    let mut session = new(&["web"]);
    session.vmm_exited(&ExitReason::TripleFault, b"x");
    let text = "the machine ended before it was ready: the guest's CPU met a triple fault";
    let actions = session.take_actions();
    assert!(actions.contains(&Action::Say(text.to_owned())));
    assert!(actions.contains(&Action::ShowConsole(b"x".to_vec())));
    assert!(actions.contains(&Action::Finish(254)));

    let mut session = running(&["web"]);
    session.vmm_exited(&ExitReason::GuestReset, b"");
    let text = "the machine ended while its apps were running: the guest reset the machine";
    assert_eq!(says(&mut session), [text]);

    let mut session = running(&["web"]);
    session.vmm_lost();
    assert_eq!(
        says(&mut session),
        ["the VMM ended without giving a reason"]
    );
}

#[test]
fn what_a_working_agent_never_says_ends_the_pod() {
    let cases: Vec<(FromAgent, &str)> = vec![
        (hello(None), "it said hello twice"),
        (started(0), "process 0 cannot have started now"),
        (started(9), "it speaks of process 9, which there is not"),
        (
            data(0, Stream::Stdin, 0, b"x"),
            "process 0 cannot have written to its input now",
        ),
        (
            data(0, Stream::Stdout, 7, b"x"),
            "Stdout of process 0 goes on at 7 and not at 0",
        ),
        (
            FromAgent::Down,
            "it says that the guest is down, and nobody asked for it",
        ),
        (
            FromAgent::Ack(Ack {
                process: ProcessId(0),
                stream: Stream::Stdin,
                offset: 1,
                closed: false,
            }),
            "it acknowledges bytes that were not sent",
        ),
    ];
    for (message, reason) in cases {
        let mut session = running(&["web"]);
        session.agent_message(ZERO, message);
        assert!(
            session.take_actions().contains(&Action::StopVmm),
            "{reason}"
        );
        session.vmm_exited(&ExitReason::Stopped, b"");
        let expected = format!("the guest's agent breaks the protocol: {reason}");
        assert_eq!(says(&mut session), [expected]);
    }
}

#[test]
fn an_agent_of_another_build_or_session_is_refused() {
    let other = FromAgent::Hello {
        version: 99,
        resume: None,
        first_instruction_ns: 0,
        sent_ns: 0,
    };
    let texts = [
        (other, "it speaks version 99 and this is version 1"),
        (hello(Some(ID)), "its hello names another session"),
        (started(0), "it did not say hello first"),
    ];
    for (message, reason) in texts {
        let mut session = new(&["web"]);
        session.agent_connected(ZERO);
        session.agent_message(ZERO, message);
        session.vmm_exited(&ExitReason::Stopped, b"");
        let expected = format!("the guest's agent breaks the protocol: {reason}");
        assert_eq!(says(&mut session), [expected]);
    }
}

#[test]
fn a_lost_agent_may_come_back_and_repeat_itself() {
    let mut session = running(&["web"]);
    session.agent_message(ZERO, data(0, Stream::Stdout, 0, b"abc"));
    session.written(ZERO, ProcessId(0), Stream::Stdout, 2);
    session.agent_lost(seconds(1));
    assert_eq!(session.next_message(), None);
    assert_eq!(session.deadline(), Some(seconds(31)));
    session.agent_connected(seconds(2));
    session.agent_message(seconds(2), hello(Some(ID)));
    assert_eq!(session.next_message(), Some(Outgoing::Welcome(ID)));
    let acks: Vec<u64> = messages(&mut session)
        .into_iter()
        .filter_map(|message| match message {
            ToAgent::Ack(ack) => Some(ack.offset),
            _ => None,
        })
        .collect();
    assert_eq!(acks, [2, 0]);
    session.take_actions();
    session.agent_message(seconds(2), started(0));
    session.agent_message(seconds(2), data(0, Stream::Stdout, 2, b"cd"));
    let output = Action::Output {
        process: ProcessId(0),
        stream: Stream::Stdout,
        bytes: b"d".to_vec(),
    };
    assert!(session.take_actions().contains(&output));
    assert_eq!(session.deadline(), None);
}

#[test]
fn an_agent_that_does_not_come_back_ends_the_pod() {
    let mut session = running(&["web"]);
    session.agent_lost(ZERO);
    session.tick(seconds(30));
    session.vmm_exited(&ExitReason::Stopped, b"");
    assert_eq!(says(&mut session), ["the guest's agent was lost"]);
}

#[test]
fn input_goes_to_the_app_once_it_runs() {
    let mut session = session(spec(&["cat"], Stdio::Pipes { stdin: true }));
    session.input(INTERACTIVE, b"abc");
    session.agent_connected(ZERO);
    session.agent_message(ZERO, hello(None));
    let is_data = |m: &ToAgent| matches!(m, ToAgent::Data(_));
    assert!(!messages(&mut session).iter().any(is_data));
    session.agent_message(ZERO, started(0));
    assert!(matches!(messages(&mut session)[..], [ToAgent::Data(_)]));
    session.agent_message(ZERO, exited(0, Exit::Code(0)));
    assert_eq!(session.input_room(INTERACTIVE), None);
}

#[test]
fn requests_to_the_metadata_service_are_answered_within_a_bound_and_on_their_own_connection() {
    let request = |id| {
        FromAgent::Metadata(Box::new(Request {
            id: RequestId(id),
            method: Method::Get,
            path: Text::try_from("/token/acMetadata/v1/pod/uuid").unwrap(),
            form: Blob::default(),
        }))
    };
    let mut session = running(&["a"]);
    messages(&mut session);
    session.agent_message(ZERO, request(1));
    session.agent_lost(ZERO);
    session.agent_connected(ZERO);
    session.agent_message(ZERO, hello(Some(ID)));
    session.agent_message(ZERO, request(2));
    let sent = messages(&mut session);
    let is_answer = |m: &&ToAgent| matches!(m, ToAgent::Metadata { request: RequestId(2), answer } if answer.status == Status::Ok);
    assert_eq!(sent.iter().filter(is_answer).count(), 1, "{sent:?}");
    let ids = (0..).take(MAX_REQUESTS + 1);
    ids.for_each(|id| session.agent_message(ZERO, request(id)));
    session.vmm_exited(&ExitReason::Stopped, b"");
    let said = says(&mut session).concat();
    assert!(said.contains("more than 16 requests"), "{said}");
}
