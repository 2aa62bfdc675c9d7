//! Programs in apps of a running pod: `enter` between the test and the relay.

use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Output};

use bulkhead_protocol::agent::{FromAgent, Stream, ToAgent, WINDOW};
use bulkhead_protocol::bounded::Text;
use bulkhead_protocol::control::MAX_CONNECTIONS;
use bulkhead_protocol::exit::Exit;
use bulkhead_protocol::plan::{ProcessId, Stdio};
use bulkhead_protocol::vmm::ExitReason;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::players::{Agent, Pod};

/// A pod whose only app runs.
fn running() -> (Pod, Agent) {
    let pod = Pod::start(&["web"], Stdio::Pipes { stdin: false });
    let mut agent = pod.agent();
    agent.hello();
    agent.expect_start();
    agent.started(0);
    (pod, agent)
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

fn signal(child: &Child, signal: Signal) {
    kill(Pid::from_raw(child.id().try_into().unwrap()), signal).unwrap();
}

fn fails(output: &Output, message: &str) {
    assert_eq!(text(&output.stderr), message);
    assert_eq!(output.status.code(), Some(254));
}

#[test]
fn output_error_and_code_pass() {
    let (pod, mut agent) = running();
    let client = pod.enter("web", &["ls", "-l"]).spawn().unwrap();
    let process = agent.expect_start();
    assert_eq!(process.id, ProcessId(1));
    let words: Vec<&str> = process.arguments.iter().map(Text::as_str).collect();
    assert_eq!(words, ["ls", "-l"]);
    let variables: Vec<&str> = process.environment.iter().map(Text::as_str).collect();
    assert_eq!(variables, ["TERM=ours"]);
    agent.started(1);
    agent.data(1, Stream::Stdout, 0, b"out");
    agent.data(1, Stream::Stderr, 0, b"err");
    agent.end_process(1, 3, 3, Exit::Code(5));
    let output = client.wait_with_output().unwrap();
    assert_eq!((text(&output.stdout), text(&output.stderr)), ("out", "err"));
    assert_eq!(output.status.code(), Some(5));
}

#[test]
fn input_passes_and_ends() {
    let (pod, mut agent) = running();
    let mut client = pod.enter("web", &["cat"]).spawn().unwrap();
    agent.expect_start();
    agent.started(1);
    client.stdin.take().unwrap().write_all(b"abc").unwrap();
    let mut received = Vec::new();
    loop {
        if let ToAgent::Data(chunk) = agent.next() {
            assert_eq!((chunk.process, chunk.stream), (ProcessId(1), Stream::Stdin));
            if chunk.bytes.is_empty() {
                break;
            }
            received.extend_from_slice(&chunk.bytes);
        }
    }
    assert_eq!(received, b"abc");
    agent.end_process(1, 0, 0, Exit::Signal(9));
    assert_eq!(client.wait().unwrap().code(), Some(137));
}

#[test]
fn signals_pass_to_the_program() {
    let (pod, mut agent) = running();
    let mut client = pod.enter("web", &["sleep"]).spawn().unwrap();
    agent.expect_start();
    agent.started(1);
    agent.data(1, Stream::Stdout, 0, b"r");
    let stdout = client.stdout.as_mut().unwrap();
    stdout.read_exact(&mut [0]).unwrap();
    signal(&client, Signal::SIGTERM);
    let expected = ToAgent::Signal {
        process: ProcessId(1),
        signal: 15,
    };
    while agent.next() != expected {}
    agent.end_process(1, 1, 0, Exit::Code(0));
    assert_eq!(client.wait().unwrap().code(), Some(0));
}

#[test]
fn a_client_that_is_killed_takes_its_program_along() {
    let (pod, mut agent) = running();
    let mut client = pod.enter("web", &["sleep"]).spawn().unwrap();
    agent.expect_start();
    agent.started(1);
    agent.data(1, Stream::Stdout, 0, b"r");
    client
        .stdout
        .as_mut()
        .unwrap()
        .read_exact(&mut [0])
        .unwrap();
    signal(&client, Signal::SIGKILL);
    assert_eq!(client.wait().unwrap().signal(), Some(9));
    let expected = ToAgent::Signal {
        process: ProcessId(1),
        signal: 1,
    };
    while agent.next() != expected {}
}

/// Nobody reads the client's output: another program in the same app is not held up by it.
#[test]
fn a_reader_that_stands_still_holds_up_nobody_else() {
    let (pod, mut agent) = running();
    let client = pod.enter("web", &["yes"]).spawn().unwrap();
    agent.expect_start();
    agent.started(1);
    for _ in 0..WINDOW / 1024 {
        agent.stream(1, Stream::Stdout, &[b'y'; 1024]);
    }
    let other = pod.enter("web", &["true"]).spawn().unwrap();
    agent.expect_start();
    agent.started(2);
    agent.data(2, Stream::Stdout, 0, b"other");
    agent.end_process(2, 5, 0, Exit::Code(0));
    assert_eq!(text(&other.wait_with_output().unwrap().stdout), "other");
    agent.end_process(1, WINDOW, 0, Exit::Code(0));
    let output = client.wait_with_output().unwrap();
    assert_eq!(output.stdout.len(), usize::try_from(WINDOW).unwrap());
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn a_reader_that_is_gone_closes_the_stream_in_the_guest() {
    let (pod, mut agent) = running();
    let mut client = pod.enter("web", &["yes"]).spawn().unwrap();
    agent.expect_start();
    agent.started(1);
    drop(client.stdout.take());
    agent.data(1, Stream::Stdout, 0, b"y\n");
    loop {
        if let ToAgent::Ack(ack) = agent.next()
            && ack.closed
        {
            assert_eq!((ack.process, ack.stream), (ProcessId(1), Stream::Stdout));
            break;
        }
    }
    agent.end_process(1, 2, 0, Exit::Signal(13));
    assert_eq!(client.wait().unwrap().code(), Some(141));
}

#[test]
fn why_a_program_never_ran_is_said_without_what_could_deceive() {
    let (pod, mut agent) = running();
    let client = pod.enter("web", &["nope"]).spawn().unwrap();
    agent.expect_start();
    agent.send(&FromAgent::Exited {
        process: ProcessId(1),
        exit: Exit::Code(203),
        reason: Some(Text::try_from("cannot run \x1b[31mnope").unwrap()),
    });
    let output = client.wait_with_output().unwrap();
    assert_eq!(text(&output.stderr), "enter: cannot run \u{fffd}[31mnope\n");
    assert_eq!(output.status.code(), Some(203));
}

#[test]
fn refusals_have_their_reasons() {
    let (pod, mut agent) = running();
    let unknown = pod.enter("www", &["ls"]).output().unwrap();
    fails(&unknown, "enter: the pod has no app www: it has web\n");
    let clients: Vec<Child> = (0..MAX_CONNECTIONS)
        .map(|_| {
            let client = pod.enter("web", &["sleep"]).spawn().unwrap();
            agent.expect_start();
            client
        })
        .collect();
    let another = pod.enter("web", &["ls"]).output().unwrap();
    fails(
        &another,
        &format!("enter: {MAX_CONNECTIONS} are connected\n"),
    );
    for mut client in clients {
        client.kill().unwrap();
        client.wait().unwrap();
    }
}

#[test]
fn the_pod_s_end_is_the_client_s() {
    let (mut pod, mut agent) = running();
    let client = pod.enter("web", &["sleep"]).spawn().unwrap();
    agent.expect_start();
    agent.started(1);
    agent.end_process(0, 0, 0, Exit::Code(0));
    agent.expect_shutdown();
    agent.send(&FromAgent::Down);
    pod.end_machine(ExitReason::GuestReset, b"");
    let output = client.wait_with_output().unwrap();
    fails(&output, "enter: the pod ended before the program did\n");
    assert_eq!(pod.ended(), bulkhead_jail::Ended::Code(0));
    let late = pod.enter("web", &["ls"]).output().unwrap();
    fails(&late, "enter: the pod is not running\n");
}
