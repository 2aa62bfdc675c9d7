//! The relay's program between a supervisor, a VMM and an agent that are played by the test.

// A player that cannot play fails the test: these are functions of tests, outside of test modules.
#![allow(clippy::unwrap_used)]

mod attached;
mod entered;
mod mutable;
mod passed_on;
mod players;

use std::io::{Read, Write};

use bulkhead_jail::Ended;
use bulkhead_protocol::AGENT_PORT;
use bulkhead_protocol::agent::{FromAgent, Stream, ToAgent, WINDOW};
use bulkhead_protocol::bounded::Blob;
use bulkhead_protocol::exit::Exit;
use bulkhead_protocol::plan::Stdio;
use bulkhead_protocol::relay::ToRelay;
use bulkhead_protocol::vmm::{ExitReason, FromVmm, ToVmm};

use players::{Agent, Pod, exited};

const PIPES: Stdio = Stdio::Pipes { stdin: false };

#[test]
fn a_pod_from_hello_to_down() {
    let mut pod = Pod::start(&["web"], PIPES);
    let mut agent = pod.agent();
    agent.hello();
    assert!(matches!(agent.next(), ToAgent::Welcome { .. }));
    assert!(matches!(agent.next(), ToAgent::Pod { .. }));
    assert!(matches!(agent.next(), ToAgent::Start(_)));
    agent.started(0);
    agent.data(0, Stream::Stdout, 0, b"out\n");
    agent.data(0, Stream::Stderr, 0, b"err\n");
    assert_eq!(pod.read_output(4), "out\n");
    assert_eq!(
        std::fs::read_link(pod.rkt().join("supervisor-status")).unwrap(),
        std::path::Path::new("ready")
    );
    agent.end_process(0, 4, 4, Exit::Code(3));
    agent.expect_shutdown();
    agent.send(&FromAgent::Down);
    pod.end_machine(ExitReason::GuestReset, b"");
    assert_eq!(pod.read_errors(), "err\n");
    assert_eq!(pod.status("web"), "3");
    assert!(!pod.rkt().join("supervisor-status").exists());
    assert_eq!(pod.ended(), Ended::Code(3));
}

#[test]
fn lines_of_several_apps_carry_their_names() {
    let mut pod = Pod::start(&["web", "db"], PIPES);
    let mut agent = pod.agent();
    agent.hello();
    agent.started(0);
    agent.started(1);
    agent.data(0, Stream::Stdout, 0, b"one\ntw");
    assert_eq!(pod.read_output(9), "web: one\n");
    agent.data(1, Stream::Stdout, 0, b"hello\n");
    assert_eq!(pod.read_output(10), "db: hello\n");
    agent.end_process(0, 6, 0, Exit::Code(0));
    assert_eq!(pod.read_output(8), "web: tw\n");
    agent.end_process(1, 6, 0, Exit::Signal(9));
    agent.expect_shutdown();
    agent.send(&FromAgent::Down);
    pod.end_machine(ExitReason::Stopped, b"");
    assert_eq!(
        (pod.status("web").as_str(), pod.status("db").as_str()),
        ("0", "137")
    );
    assert_eq!(pod.ended(), Ended::Code(137));
}

/// The agent is `cat`: more than all windows together goes in, and comes out as it was.
#[test]
fn bytes_pass_through_unchanged() {
    let mut pod = Pod::start(&["cat"], Stdio::Pipes { stdin: true });
    let mut agent = pod.agent();
    agent.hello();
    agent.started(0);
    let sent: Vec<u8> = (0_u32..2_000_000).flat_map(u32::to_le_bytes).collect();
    let mut input = pod.take_input();
    let mut output = pod.take_output();
    let copy = sent.clone();
    let writer = std::thread::spawn(move || input.write_all(&copy).unwrap());
    let reader = std::thread::spawn(move || {
        let mut received = Vec::new();
        output.read_to_end(&mut received).unwrap();
        received
    });
    let length = agent.echo_until_the_end();
    writer.join().unwrap();
    assert_eq!(length, u64::try_from(sent.len()).unwrap());
    agent.end_process(0, length, 0, Exit::Code(0));
    agent.expect_shutdown();
    agent.send(&FromAgent::Down);
    pod.end_machine(ExitReason::GuestReset, b"");
    assert_eq!(pod.ended(), Ended::Code(0));
    assert!(reader.join().unwrap() == sent, "the bytes differ");
}

/// Nobody reads standard output; standard error goes on beyond any buffer, and so does the agent's connection.
#[test]
fn a_reader_that_stands_still_stops_only_its_own_stream() {
    let mut pod = Pod::start(&["web"], PIPES);
    let mut agent = pod.agent();
    agent.hello();
    agent.started(0);
    for _ in 0..WINDOW / 1024 {
        agent.stream(0, Stream::Stdout, &[b'x'; 1024]);
    }
    let mut errors = pod.take_errors();
    let total = 4 * WINDOW;
    let reader = std::thread::spawn(move || {
        let mut received = vec![0; usize::try_from(total).unwrap()];
        errors.read_exact(&mut received).unwrap();
    });
    for _ in 0..total / 1024 {
        agent.stream(0, Stream::Stderr, &[b'e'; 1024]);
    }
    reader.join().unwrap();
    assert!(agent.acknowledged(Stream::Stdout) < WINDOW);
}

#[test]
fn an_output_that_nobody_reads_any_more_is_closed_in_the_guest() {
    let mut pod = Pod::start(&["yes"], PIPES);
    let mut agent = pod.agent();
    agent.hello();
    agent.started(0);
    drop(pod.take_output());
    agent.data(0, Stream::Stdout, 0, b"y\n");
    loop {
        if let ToAgent::Ack(ack) = agent.next()
            && ack.closed
        {
            assert_eq!(ack.stream, Stream::Stdout);
            break;
        }
    }
}

#[test]
fn a_stop_reaches_the_agent() {
    let mut pod = Pod::start(&["web"], PIPES);
    let mut agent = pod.agent();
    agent.hello();
    agent.started(0);
    assert!(matches!(agent.next(), ToAgent::Welcome { .. }));
    pod.command(&ToRelay::Stop);
    while !matches!(agent.next(), ToAgent::Stop { .. }) {}
    agent.end_process(0, 0, 0, Exit::Signal(15));
    agent.expect_shutdown();
    agent.send(&FromAgent::Down);
    assert_eq!(pod.next_for_vmm(), ToVmm::Stop);
    pod.end_machine(ExitReason::Stopped, b"");
    assert_eq!(pod.ended(), Ended::Code(143));
}

/// The command comes together with the specification, or right behind it.
#[test]
fn a_stop_before_the_agent_is_there_ends_the_machine() {
    let mut pod = Pod::start(&["web"], PIPES);
    pod.command(&ToRelay::Stop);
    assert_eq!(pod.next_for_vmm(), ToVmm::Stop);
    pod.end_machine(ExitReason::Stopped, b"console");
    assert_eq!(pod.read_errors(), "");
    assert_eq!(pod.ended(), Ended::Code(143));
}

#[test]
fn a_machine_that_dies_early_is_explained_by_its_console() {
    let mut pod = Pod::start(&["web"], PIPES);
    let console = b"one\r\nKernel panic \x1b[31m- not syncing\n";
    pod.end_machine(ExitReason::TripleFault, console);
    assert_eq!(
        pod.read_errors(),
        "stage1: the machine ended before it was ready: the guest's CPU met a triple fault\n\
         stage1: the last lines of the guest's console:\n  one\n  Kernel panic \u{fffd}[31m- not syncing\n"
    );
    assert_eq!(pod.ended(), Ended::Code(254));
}

#[test]
fn a_vmm_that_goes_without_a_word_is_reported() {
    let mut pod = Pod::start(&["web"], PIPES);
    pod.drop_vmm();
    assert_eq!(
        pod.read_errors(),
        "stage1: the VMM ended without giving a reason\n"
    );
    assert_eq!(pod.ended(), Ended::Code(254));
}

#[test]
fn an_agent_that_sends_nonsense_ends_the_pod() {
    for (bytes, reason) in [
        (
            &u32::MAX.to_le_bytes()[..],
            "a message of 4294967295 bytes is over the bound of 65536",
        ),
        (
            &[1, 0, 0, 0, 0xff][..],
            "a message of 1 bytes cannot be decoded",
        ),
    ] {
        let mut pod = Pod::start(&["web"], PIPES);
        let mut agent = pod.agent();
        agent.raw(bytes);
        assert_eq!(pod.next_for_vmm(), ToVmm::Stop);
        pod.end_machine(ExitReason::Stopped, b"");
        let expected = format!("stage1: the guest's agent breaks the protocol: {reason}\n");
        assert_eq!(pod.read_errors(), expected);
        assert_eq!(pod.ended(), Ended::Code(254));
    }
}

#[test]
fn nobody_listens_on_other_ports() {
    let pod = Pod::start(&["web"], PIPES);
    let mut other = pod.connect(AGENT_PORT + 1);
    assert_eq!(other.read(&mut [0]).unwrap(), 0);
    pod.agent().hello();
}

/// An agent that asks for nothing and never reads: what is queued for it does not grow.
#[test]
fn an_agent_that_does_not_read_is_still_heard() {
    let mut pod = Pod::start(&["web"], PIPES);
    let mut agent = pod.agent();
    agent.hello();
    agent.started(0);
    let mut output = pod.take_output();
    let total = 64 * WINDOW;
    let reader = std::thread::spawn(move || {
        let mut received = vec![0; usize::try_from(total).unwrap()];
        output.read_exact(&mut received).unwrap();
    });
    // Only what was passed on may be followed by more, so the test waits for the acknowledgements, and throws them away.
    for _ in 0..total / 1024 {
        agent.stream(0, Stream::Stdout, &[b'x'; 1024]);
    }
    reader.join().unwrap();
    agent.send(&exited(0, Exit::Code(0)));
}

#[test]
fn an_agent_may_lose_its_connection_and_come_back() {
    let mut pod = Pod::start(&["web"], PIPES);
    let mut first = pod.agent();
    first.hello();
    let ToAgent::Welcome { session, .. } = first.next() else {
        panic!("no welcome")
    };
    first.started(0);
    first.data(0, Stream::Stdout, 0, b"abc");
    assert_eq!(pod.read_output(3), "abc");
    drop(first);
    let mut second: Agent = pod.agent();
    second.resume(session);
    second.data(0, Stream::Stdout, 0, b"abcdef");
    assert_eq!(pod.read_output(3), "def");
    second.end_process(0, 6, 0, Exit::Code(0));
    second.expect_shutdown();
    second.send(&FromAgent::Down);
    pod.end_machine(ExitReason::GuestReset, b"");
    assert_eq!(pod.ended(), Ended::Code(0));
}

#[test]
fn what_the_relay_does_not_ask_for_is_passed_over() {
    let mut pod = Pod::start(&["web"], PIPES);
    pod.vmm_says(&FromVmm::Paused, None);
    pod.vmm_says(&FromVmm::Connection { port: AGENT_PORT }, None);
    let console = Blob::default();
    let reason = ExitReason::Stopped;
    pod.vmm_says(&FromVmm::Exited { reason, console }, None);
    assert_eq!(pod.ended(), Ended::Code(254));
}
