use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use bulkhead_protocol::agent::{Chunk, FromAgent, MAX_CHUNK, Stream, ToAgent};
use bulkhead_protocol::frame::{Decoder, MAX_FROM_AGENT, MAX_TO_AGENT, encode};
use bulkhead_protocol::plan::ProcessId;

use super::{Connection, Lost, OUTPUT_BOUND};

fn pair() -> (Connection, UnixStream) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    (Connection::new(ours.into()), theirs)
}

fn output(offset: usize) -> FromAgent {
    FromAgent::Data(Chunk {
        process: ProcessId(1),
        stream: Stream::Stdout,
        offset: u64::try_from(offset).unwrap(),
        bytes: vec![1; MAX_CHUNK].try_into().unwrap(),
    })
}

#[test]
fn messages_arrive_whole_however_they_are_cut() {
    let (mut connection, mut host) = pair();
    let stop = ToAgent::Stop { grace_ms: 70_000 };
    let mut bytes = Vec::new();
    encode(&stop, MAX_TO_AGENT, &mut bytes).unwrap();
    encode(&ToAgent::Shutdown, MAX_TO_AGENT, &mut bytes).unwrap();
    let mut messages = Vec::new();
    for byte in bytes {
        host.write_all(&[byte]).unwrap();
        connection.read().unwrap();
        messages.extend(connection.message().unwrap());
    }
    assert_eq!(messages, [stop, ToAgent::Shutdown]);
}

#[test]
fn a_host_that_does_not_read_stops_output_and_gets_all_of_it_later() {
    let (mut connection, mut host) = pair();
    let mut sent = 0;
    while connection.takes_output() {
        connection.send(&output(sent * MAX_CHUNK));
        connection.flush().unwrap();
        sent += 1;
    }
    assert!(!connection.is_flushed());
    assert!(connection.unwritten.len() <= 2 * OUTPUT_BOUND);
    let mut decoder = Decoder::new(MAX_FROM_AGENT);
    for index in 0..sent {
        let message = loop {
            if let Some(message) = decoder.take::<FromAgent>().unwrap() {
                break message;
            }
            let mut buffer = [0; 4096];
            let count = host.read(&mut buffer).unwrap();
            decoder.push(&buffer[..count]);
            connection.flush().unwrap();
        };
        assert_eq!(message, output(index * MAX_CHUNK));
    }
    assert!(connection.is_flushed());
}

#[test]
fn a_hang_up_is_a_loss_and_nonsense_is_not() {
    let (mut connection, mut host) = pair();
    host.write_all(&[1, 0, 0, 0, 99]).unwrap();
    connection.read().unwrap();
    assert!(matches!(connection.message(), Err(Lost::Nonsense(_))));
    let (mut connection, host) = pair();
    connection.read().unwrap();
    drop(host);
    assert!(matches!(connection.read(), Err(Lost::Broken)));
    connection.send(&FromAgent::Down);
    assert!(matches!(connection.flush(), Err(Lost::Broken)));
}
