//! Bytes: many of them, none taken, and across a lost connection.

use bulkhead_protocol::agent::{Ack, MAX_CHUNK, Stream, ToAgent, WINDOW};
use bulkhead_protocol::exit::Exit;
use bulkhead_protocol::plan::{ProcessId, Stdio};

use crate::relay::{Relay, SESSION};
use crate::rig::{Rig, process, shell, start};

const ID: ProcessId = ProcessId(1);

fn cat() -> ToAgent {
    let mut cat = process(1, "web", &["cat"]);
    cat.stdio = Stdio::Pipes { stdin: true };
    start(cat)
}

/// Sends as much of `bytes` as the window allows. Returns the new offset.
fn feed(relay: &mut Relay, bytes: &[u8], mut sent: usize) -> usize {
    let passed = relay.outcome(ID).input_passed;
    while sent < bytes.len() && u64::try_from(sent).unwrap() - passed < WINDOW {
        let room = usize::try_from(passed + WINDOW).unwrap() - sent;
        let end = bytes.len().min(sent + MAX_CHUNK.min(room));
        relay.input(1, u64::try_from(sent).unwrap(), &bytes[sent..end]);
        sent = end;
    }
    sent
}

#[test]
fn many_bytes_go_through_unchanged() {
    let rig = Rig::new(&["web"]);
    let mut relay = rig.relay();
    relay.send(&cat());
    let bytes: Vec<u8> = (0..16_u32 << 20)
        .map(|index| (index.wrapping_mul(2_654_435_761) >> 24).to_le_bytes()[0])
        .collect();
    let mut sent = 0;
    while sent < bytes.len() {
        sent = feed(&mut relay, &bytes, sent);
        if sent < bytes.len() {
            assert!(relay.step());
        }
    }
    relay.input(1, u64::try_from(sent).unwrap(), b"");
    let outcome = relay.finish(1);
    assert!(outcome.stdout == bytes);
    assert_eq!(outcome.exit, Some(Exit::Code(0)));
}

#[test]
fn a_stream_that_nobody_acknowledges_stops_alone() {
    let rig = Rig::new(&["web"]);
    let mut relay = rig.relay();
    relay.acknowledges = false;
    relay.send(&start(shell(
        1,
        "web",
        "while :; do echo xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx; done",
    )));
    let window = usize::try_from(WINDOW).unwrap();
    relay.until(|relay| {
        relay
            .outcomes
            .get(&ID)
            .is_some_and(|outcome| outcome.stdout.len() > window - MAX_CHUNK)
    });
    // Others go on.
    relay.send(&start(shell(2, "web", "echo still here")));
    assert_eq!(relay.finish(2).text(), "still here\n");
    assert!(relay.outcomes[&ID].stdout.len() <= window);
    // Its writer learns that nobody listens.
    relay.send(&ToAgent::Ack(Ack {
        process: ID,
        stream: Stream::Stdout,
        offset: 0,
        closed: true,
    }));
    relay.until(|relay| relay.outcomes[&ID].exit.is_some());
    assert_eq!(relay.outcomes[&ID].exit, Some(Exit::Signal(13)));
}

#[test]
fn input_that_nobody_reads_is_refused() {
    let rig = Rig::new(&["web"]);
    let mut relay = rig.relay();
    let mut deaf = shell(1, "web", "exec 0<&-; echo closed; sleep 1000");
    deaf.stdio = Stdio::Pipes { stdin: true };
    relay.send(&start(deaf));
    relay.until(|relay| {
        relay
            .outcomes
            .get(&ID)
            .is_some_and(|outcome| outcome.input_closed)
    });
    // What is under way then, or was never asked for, goes nowhere and harms nobody.
    relay.input(1, 0, b"anyone?");
    relay.send(&start(shell(2, "web", "cat; echo heard nothing")));
    relay.input(2, 0, b"x");
    assert_eq!(relay.finish(2).text(), "heard nothing\n");
    assert_eq!(relay.outcomes[&ID].input_passed, 0);
    assert!(!relay.outcomes[&ProcessId(2)].input_closed);
}

#[test]
fn a_lost_connection_loses_nothing() {
    let rig = Rig::new(&["web"]);
    let mut relay = rig.relay();
    relay.acknowledges = false;
    relay.send(&cat());
    relay.input(1, 0, b"before ");
    relay.send(&start(shell(2, "web", "exit 5")));
    relay.until(|relay| {
        let done = |id| relay.outcomes.get(&ProcessId(id));
        done(1).is_some_and(|outcome| outcome.input_passed == 7 && outcome.stdout == b"before ")
            && done(2).is_some_and(|outcome| outcome.exit.is_some())
    });
    drop(relay.hang_up());
    // Nothing was acknowledged, so that all of it is told again.
    let mut relay = Relay::greet(rig.accept());
    assert_eq!(relay.resumed, Some(SESSION));
    // What the host repeats in its turn is known already.
    relay.build(rig.plan.clone());
    relay.send(&cat());
    relay.input(1, 0, b"before after");
    relay.input(1, 12, b"");
    let outcome = relay.finish(1);
    assert_eq!((outcome.text(), outcome.started), ("before after", true));
    assert_eq!(relay.finish(2).exit, Some(Exit::Code(5)));
}
