//! Clients of a listening socket, and an agent that the test plays.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};

use bulkhead_protocol::agent::{Ack, FromAgent, Stream, ToAgent, WINDOW};
use bulkhead_protocol::exit::Exit;
use bulkhead_protocol::plan::ProcessId;

use crate::players::{Agent, Pod, exited};

/// A pod whose only app runs and listens there.
fn listening() -> (Pod, Agent, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    let pod = Pod::listening(&[listener.into()]);
    let mut agent = pod.agent();
    agent.hello();
    agent.expect_start();
    agent.started(0);
    (pod, agent, port)
}

fn expect_connection(agent: &mut Agent) -> u32 {
    loop {
        if let ToAgent::Connect { process, listener } = agent.next() {
            assert_eq!(listener, 0);
            agent.started(process.0);
            return process.0;
        }
    }
}

fn connect(port: u16) -> TcpStream {
    TcpStream::connect(("127.0.0.1", port)).unwrap()
}

/// What the client has written, to its end.
fn everything(agent: &mut Agent, id: u32) -> Vec<u8> {
    let mut received = Vec::new();
    loop {
        let ToAgent::Data(chunk) = agent.next() else {
            continue;
        };
        assert_eq!(
            (chunk.process, chunk.stream),
            (ProcessId(id), Stream::Stdin)
        );
        if chunk.bytes.is_empty() {
            return received;
        }
        received.extend_from_slice(&chunk.bytes);
        acknowledge(agent, id, received.len(), false);
    }
}

fn acknowledge(agent: &mut Agent, id: u32, length: usize, closed: bool) {
    agent.send(&FromAgent::Ack(Ack {
        process: ProcessId(id),
        stream: Stream::Stdin,
        offset: u64::try_from(length).unwrap(),
        closed,
    }));
}

#[test]
fn each_direction_ends_by_itself() {
    let (_pod, mut agent, port) = listening();
    let mut client = connect(port);
    let sent: Vec<u8> = (0..4 * WINDOW / 4).flat_map(u64::to_le_bytes).collect();
    let (copy, mut to) = (sent.clone(), client.try_clone().unwrap());
    let writer = std::thread::spawn(move || {
        to.write_all(&copy).unwrap();
        to.shutdown(Shutdown::Write).unwrap();
    });
    let id = expect_connection(&mut agent);
    assert!(everything(&mut agent, id) == sent, "the bytes differ");
    writer.join().unwrap();
    agent.data(id, Stream::Stdout, 0, b"answer");
    agent.data(id, Stream::Stdout, 6, b"");
    let mut text = String::new();
    client.read_to_string(&mut text).unwrap();
    assert_eq!(text, "answer");
    agent.send(&exited(id, Exit::Code(0)));
}

#[test]
fn an_app_may_end_its_direction_first() {
    let (_pod, mut agent, port) = listening();
    let mut client = connect(port);
    let id = expect_connection(&mut agent);
    agent.data(id, Stream::Stdout, 0, b"go on");
    agent.data(id, Stream::Stdout, 5, b"");
    let mut text = String::new();
    client.read_to_string(&mut text).unwrap();
    assert_eq!(text, "go on");
    client.write_all(b"I do").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(everything(&mut agent, id), b"I do");
}

#[test]
fn a_connection_that_is_over_is_closed() {
    let (_pod, mut agent, port) = listening();
    let mut client = connect(port);
    let id = expect_connection(&mut agent);
    acknowledge(&mut agent, id, 0, true);
    agent.data(id, Stream::Stdout, 0, b"");
    agent.send(&exited(id, Exit::Code(0)));
    assert_eq!(client.read(&mut [0]).unwrap(), 0);
}

#[test]
fn one_that_the_app_does_not_take_is_closed_too() {
    let (_pod, mut agent, port) = listening();
    let mut client = connect(port);
    loop {
        if let ToAgent::Connect { process, .. } = agent.next() {
            agent.send(&exited(process.0, Exit::Code(1)));
            break;
        }
    }
    assert_eq!(client.read(&mut [0]).unwrap(), 0);
}

#[test]
fn a_client_that_is_gone_is_told_to_the_agent() {
    let (_pod, mut agent, port) = listening();
    let client = connect(port);
    let id = expect_connection(&mut agent);
    drop(client);
    assert_eq!(everything(&mut agent, id), b"");
    // Only a write shows that nobody reads either.
    for offset in 0.. {
        agent.data(id, Stream::Stdout, offset, b"x");
        match agent.next() {
            ToAgent::Ack(ack) if ack.closed => break,
            _ => {}
        }
    }
}
