use std::collections::BTreeSet;

use bulkhead_protocol::agent::{Ack, FromAgent};
use bulkhead_protocol::plan::Stdio;
use bulkhead_protocol::vmm::ExitReason;
use proptest::prelude::*;

use super::tests::{ID, ZERO, data, exec, exited, seconds, session as session_of, spec};
use super::*;

/// Anything that an agent can say, biased towards what comes close to sense.
pub(super) fn any_message() -> impl Strategy<Value = FromAgent> {
    let id = 0_u32..6;
    let stream = prop_oneof![
        Just(Stream::Stdout),
        Just(Stream::Stderr),
        Just(Stream::Stdin)
    ];
    let offset = prop_oneof![0_u64..64, any::<u64>()];
    let exit = any::<u8>().prop_map(Exit::Code);
    let bytes = prop::collection::vec(any::<u8>(), 0..16);
    prop_oneof![
        (any::<u64>(), any::<u64>()).prop_map(|(a, b)| FromAgent::Hello {
            version: bulkhead_protocol::VERSION,
            resume: a.is_multiple_of(2).then_some(ID),
            first_instruction_ns: a,
            sent_ns: b,
        }),
        (id.clone(), any::<u64>(), any::<u64>()).prop_map(|(id, exec_ns, sent_ns)| {
            FromAgent::Started {
                process: ProcessId(id),
                exec_ns,
                sent_ns,
            }
        }),
        id.clone().prop_map(|id| FromAgent::Ready {
            process: ProcessId(id)
        }),
        (id.clone(), exit).prop_map(|(id, exit)| exited(id, exit)),
        (id.clone(), stream.clone(), offset.clone(), bytes)
            .prop_map(|(id, stream, offset, bytes)| data(id, stream, offset, &bytes)),
        (id, stream, offset, any::<bool>()).prop_map(|(id, stream, offset, closed)| {
            FromAgent::Ack(Ack {
                process: ProcessId(id),
                stream,
                offset,
                closed,
            })
        }),
        Just(FromAgent::Down),
    ]
}

/// What may happen around the agent.
#[derive(Debug, Clone)]
enum Event {
    Connected,
    Lost,
    Says(FromAgent),
    Tick(u64),
    Stop,
    Written(u32, u64),
    Input(Vec<u8>),
    Closed,
    Enter(bool),
    PassOn,
    ClientSignal(u32, u8),
    ClientInput(u32, Vec<u8>),
    ClientClosed(u32),
    ClientLeft(u32),
}

fn any_event() -> impl Strategy<Value = Event> {
    prop_oneof![
        2 => Just(Event::Connected),
        1 => Just(Event::Lost),
        20 => any_message().prop_map(Event::Says),
        2 => (0_u64..5).prop_map(Event::Tick),
        1 => Just(Event::Stop),
        4 => (0_u32..6, any::<u64>()).prop_map(|(id, n)| Event::Written(id, n)),
        2 => prop::collection::vec(any::<u8>(), 0..8).prop_map(Event::Input),
        1 => Just(Event::Closed),
        3 => any::<bool>().prop_map(Event::Enter),
        3 => Just(Event::PassOn),
        1 => (3_u32..6, any::<u8>()).prop_map(|(id, n)| Event::ClientSignal(id, n)),
        1 => (3_u32..6, prop::collection::vec(any::<u8>(), 0..8))
            .prop_map(|(id, bytes)| Event::ClientInput(id, bytes)),
        1 => (3_u32..6).prop_map(Event::ClientClosed),
        1 => (3_u32..6).prop_map(Event::ClientLeft),
    ]
}

proptest! {
    #[test]
    fn no_agent_can_make_it_panic_or_keep_it_from_ending(
        events in prop::collection::vec(any_event(), 0..200),
    ) {
        let mut session = session_of(spec(&["a", "b", "c"], Stdio::Pipes { stdin: true }));
        let mut now = ZERO;
        let mut finished = 0;
        let mut statuses = 0;
        let mut clients = BTreeSet::new();
        let mut ends = 0;
        for event in events {
            match event {
                Event::Connected => session.agent_connected(now),
                Event::Lost => session.agent_lost(now),
                Event::Says(message) => session.agent_message(now, message),
                Event::Tick(n) => { now += seconds(n); session.tick(now); }
                Event::Stop => session.stop(now),
                Event::Written(id, n) => session.written(now, ProcessId(id), Stream::Stdout, n),
                Event::Input(bytes) => session.input(INTERACTIVE, &bytes),
                Event::Closed => session.output_closed(now, Stream::Stderr),
                Event::Enter(known) => {
                    // Refused as often as not, once the pod is ending.
                    let entered = session.enter(exec(if known { "b" } else { "z" }));
                    let ids = entered.into_iter().map(|id| id.0);
                    clients.extend(ids);
                }
                Event::PassOn => clients.extend(session.pass_on(0).map(|id| id.0)),
                Event::ClientSignal(id, n) => session.signal(ProcessId(id), n),
                Event::ClientInput(id, bytes) => session.input(ProcessId(id), &bytes),
                Event::ClientClosed(id) => session.client_closed(now, ProcessId(id), Stream::Stdout),
                Event::ClientLeft(id) => session.client_left(now, ProcessId(id)),
            }
            // A pull never goes on for ever: each message is bounded by what was pushed.
            prop_assert!(std::iter::from_fn(|| session.next_message()).take(2000).count() < 2000);
            for action in session.take_actions() {
                match action {
                    Action::Finish(_) => finished += 1,
                    Action::Status { .. } => statuses += 1,
                    Action::Output { process, .. } | Action::OutputEnd { process, .. } => {
                        prop_assert!(process.0 < 3, "an app's output is an app's");
                    }
                    Action::Client { process, news } => {
                        prop_assert!(clients.contains(&process.0), "{} was entered", process.0);
                        ends += usize::from(matches!(news, News::Ended { .. }));
                    }
                    _ => {}
                }
            }
        }
        prop_assert!(statuses <= 3, "a status is written once an app");
        prop_assert!(ends <= clients.len(), "a program ends once");
        session.vmm_exited(&ExitReason::Stopped, b"");
        finished += session.take_actions().iter().filter(|a| matches!(a, Action::Finish(_))).count();
        prop_assert_eq!(finished, 1);
    }
}
