use bulkhead_protocol::agent::Stream;
use bulkhead_protocol::bounded::Blob;
use bulkhead_protocol::plan::ProcessId;

use super::*;

fn chunk(offset: u64, bytes: &[u8]) -> Chunk {
    Chunk {
        process: ProcessId(0),
        stream: Stream::Stdout,
        offset,
        bytes: Blob::try_from(bytes).unwrap(),
    }
}

const ACK: Ack = Ack {
    process: ProcessId(0),
    stream: Stream::Stdout,
    offset: 0,
    closed: false,
};

#[test]
fn bytes_come_in_order_and_an_empty_chunk_ends() {
    let mut output = Output::default();
    assert_eq!(
        output.take(chunk(0, b"one")).unwrap().bytes.unwrap(),
        b"one"
    );
    assert_eq!(
        output.take(chunk(3, b"two")).unwrap().bytes.unwrap(),
        b"two"
    );
    assert!(output.take(chunk(6, b"")).unwrap().ended);
    assert!(!output.is_done());
    output.written(6);
    assert!(output.is_done());
    assert_eq!(output.next_ack(ACK).unwrap().offset, 6);
    assert_eq!(output.next_ack(ACK), None);
}

#[test]
fn a_gap_a_repetition_and_bytes_behind_the_end_are_violations() {
    let mut output = Output::default();
    let error = output.take(chunk(1, b"x")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "Stdout of process 0 goes on at 1 and not at 0"
    );
    output.take(chunk(0, b"x")).unwrap();
    let error = output.take(chunk(0, b"x")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "Stdout of process 0 goes on at 0 and not at 1"
    );
    output.take(chunk(1, b"")).unwrap();
    let error = output.take(chunk(1, b"x")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "Stdout of process 0 goes on behind its end"
    );
}

#[test]
fn a_sender_keeps_to_the_window() {
    let mut output = Output::default();
    let step = 32 << 10;
    for offset in (0..WINDOW).step_by(step) {
        output.take(chunk(offset, &vec![0; step])).unwrap();
    }
    let error = output.take(chunk(WINDOW, b"x")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "Stdout of process 0 has more than 262144 bytes on the way"
    );
    output.written(1);
    output.take(chunk(WINDOW, b"x")).unwrap();
}

#[test]
fn after_a_new_connection_what_is_known_is_dropped() {
    let mut output = Output::default();
    output.take(chunk(0, b"abc")).unwrap();
    output.written(1);
    output.resume();
    assert_eq!(output.next_ack(ACK).unwrap().offset, 1);
    let taken = output.take(chunk(1, b"bcd")).unwrap();
    assert_eq!(taken.bytes.unwrap(), b"d");
    output.take(chunk(4, b"")).unwrap();
    assert_eq!(output.take(chunk(1, b"bcd")).unwrap(), Taken::default());
    assert_eq!(output.take(chunk(4, b"")).unwrap(), Taken::default());
}

#[test]
fn a_closed_stream_swallows_and_says_so() {
    let mut output = Output::default();
    output.take(chunk(0, b"abc")).unwrap();
    output.close();
    let ack = output.next_ack(ACK).unwrap();
    assert_eq!((ack.offset, ack.closed), (3, true));
    assert_eq!(output.take(chunk(3, b"def")).unwrap().bytes, None);
    output.take(chunk(6, b"")).unwrap();
    assert!(output.is_done());
}
