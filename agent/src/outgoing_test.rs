use std::collections::VecDeque;

use bulkhead_protocol::agent::{MAX_CHUNK, WINDOW};
use proptest::prelude::*;

use super::{Outgoing, Part};
use crate::incoming::{Incoming, StreamError};

fn window() -> usize {
    usize::try_from(WINDOW).unwrap()
}

#[test]
fn a_reader_that_stands_still_stops_the_writer_at_the_window() {
    let mut stream = Outgoing::default();
    assert_eq!(stream.room(), window());
    stream.push(&vec![7; window()]);
    assert_eq!(stream.room(), 0);
    for index in 0..window() / MAX_CHUNK {
        let part = stream.next_part().unwrap();
        assert_eq!(part.offset, u64::try_from(index * MAX_CHUNK).unwrap());
        assert_eq!(part.bytes.len(), MAX_CHUNK);
    }
    assert_eq!(stream.next_part(), None);
    stream.acknowledge(10).unwrap();
    assert_eq!(stream.room(), 10);
}

#[test]
fn the_end_is_sent_once_behind_all_bytes_and_again_after_a_lost_connection() {
    let mut stream = Outgoing::default();
    stream.push(b"ab");
    stream.end();
    let end = Part {
        offset: 2,
        bytes: Vec::new(),
    };
    assert_eq!(stream.next_part().unwrap().bytes, b"ab");
    assert_eq!(stream.next_part().as_ref(), Some(&end));
    assert_eq!(stream.next_part(), None);
    stream.acknowledge(1).unwrap();
    stream.rewind();
    assert_eq!(
        stream.next_part(),
        Some(Part {
            offset: 1,
            bytes: b"b".to_vec()
        })
    );
    assert_eq!(stream.next_part(), Some(end));
    assert_eq!(stream.next_part(), None);
}

#[test]
fn what_was_never_produced_cannot_be_acknowledged() {
    let mut stream = Outgoing::default();
    stream.push(b"abc");
    assert_eq!(
        stream.acknowledge(4),
        Err(StreamError::AckBeyondEnd {
            offset: 4,
            produced: 3
        })
    );
    // After a rewind the host may know more than we sent on this connection.
    stream.acknowledge(3).unwrap();
    assert_eq!(stream.next_part(), None);
}

#[test]
fn a_refused_stream_drops_all_and_takes_nothing() {
    let mut stream = Outgoing::default();
    stream.push(b"abc");
    stream.refuse();
    assert_eq!((stream.room(), stream.has_part()), (0, false));
    stream.end();
    assert_eq!(stream.next_part(), None);
}

#[derive(Debug, Clone)]
enum Step {
    Produce(usize),
    Send,
    Deliver,
    Pass(usize),
    Acknowledge,
    LoseConnection,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (1..3 * MAX_CHUNK).prop_map(Step::Produce),
        Just(Step::Send),
        Just(Step::Send),
        Just(Step::Deliver),
        Just(Step::Deliver),
        (1..MAX_CHUNK).prop_map(Step::Pass),
        Just(Step::Acknowledge),
        Just(Step::LoseConnection),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever is lost and whenever: the reader gets every byte once, in order, and both ends stay in their bounds.
    #[test]
    fn both_ends_together_lose_nothing(steps in prop::collection::vec(step(), 1..120)) {
        let (mut out, mut inn) = (Outgoing::default(), Incoming::default());
        let mut wire: VecDeque<Part> = VecDeque::new();
        let (mut produced, mut passed) = (Vec::new(), Vec::new());
        let pass = |inn: &mut Incoming, passed: &mut Vec<u8>, count: usize| {
            let count = count.min(inn.pending().len());
            passed.extend_from_slice(&inn.pending()[..count]);
            inn.pass(count);
        };
        for step in steps {
            match step {
                Step::Produce(length) => {
                    let start = produced.len();
                    let end = start + length.min(out.room());
                    // No two neighbouring bytes, chunks or windows are alike.
                    produced.extend((start..end).map(|index| (index ^ index >> 8).to_le_bytes()[0]));
                    out.push(&produced[start..]);
                }
                Step::Send => wire.extend(out.next_part()),
                Step::Deliver => if let Some(part) = wire.pop_front() {
                    inn.receive(part.offset, &part.bytes).unwrap();
                },
                Step::Pass(count) => pass(&mut inn, &mut passed, count),
                Step::Acknowledge => if let Some(offset) = inn.take_acknowledgement() {
                    out.acknowledge(offset).unwrap();
                },
                Step::LoseConnection => {
                    wire.clear();
                    out.rewind();
                    out.acknowledge(inn.passed()).unwrap();
                }
            }
        }
        out.end();
        while !inn.is_finished() {
            wire.extend(out.next_part());
            if let Some(part) = wire.pop_front() {
                inn.receive(part.offset, &part.bytes).unwrap();
            }
            pass(&mut inn, &mut passed, usize::MAX);
            out.acknowledge(inn.passed()).unwrap();
        }
        prop_assert!(passed == produced);
    }
}
