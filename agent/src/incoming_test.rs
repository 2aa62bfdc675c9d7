use bulkhead_protocol::agent::WINDOW;

use super::{Incoming, StreamError};

#[test]
fn overlap_is_cut_and_a_gap_is_refused() {
    let mut stream = Incoming::default();
    stream.receive(0, b"abc").unwrap();
    stream.receive(1, b"bcd").unwrap();
    stream.receive(0, b"ab").unwrap();
    assert_eq!(stream.pending(), b"abcd");
    assert_eq!(
        stream.receive(5, b"f"),
        Err(StreamError::Gap {
            offset: 5,
            expected: 4
        })
    );
}

#[test]
fn the_window_is_a_bound_on_what_is_held() {
    let mut stream = Incoming::default();
    let window = usize::try_from(WINDOW).unwrap();
    stream.receive(0, &vec![1; window]).unwrap();
    assert_eq!(
        stream.receive(WINDOW, b"x"),
        Err(StreamError::OverWindow { held: WINDOW + 1 })
    );
    stream.pass(1);
    stream.receive(WINDOW, b"x").unwrap();
    assert_eq!(stream.take_acknowledgement(), Some(1));
    assert_eq!(stream.take_acknowledgement(), None);
}

#[test]
fn nothing_comes_behind_the_end() {
    let mut stream = Incoming::default();
    stream.receive(0, b"ab").unwrap();
    stream.receive(2, b"").unwrap();
    stream.receive(2, b"").unwrap();
    assert!(!stream.is_finished());
    assert_eq!(
        stream.receive(2, b"c"),
        Err(StreamError::BehindEnd { offset: 2, end: 2 })
    );
    stream.pass(2);
    assert!(stream.is_finished());
    assert_eq!(
        Incoming::default().receive(u64::MAX, b"x"),
        Err(StreamError::Gap {
            offset: u64::MAX,
            expected: 0
        })
    );
}
