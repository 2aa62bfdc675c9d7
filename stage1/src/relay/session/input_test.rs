use super::*;

fn input() -> Input {
    Input::new(ProcessId(0), Stdio::Pipes { stdin: true })
}

fn ack(offset: u64, closed: bool) -> Ack {
    Ack {
        process: ProcessId(0),
        stream: Stream::Stdin,
        offset,
        closed,
    }
}

fn bytes(input: &mut Input) -> Option<(u64, Vec<u8>)> {
    let chunk = input.next_chunk()?;
    Some((chunk.offset, chunk.bytes.into_vec()))
}

#[test]
fn bytes_then_the_end_are_sent_once() {
    let mut input = input();
    input.push(b"abc");
    assert_eq!(bytes(&mut input), Some((0, b"abc".to_vec())));
    assert_eq!(bytes(&mut input), None);
    input.push(b"");
    assert_eq!(bytes(&mut input), Some((3, Vec::new())));
    assert_eq!(bytes(&mut input), None);
    assert_eq!(input.room(), None);
}

#[test]
fn what_is_not_acknowledged_is_kept_and_bounded() {
    let mut input = input();
    let window = usize::try_from(WINDOW).unwrap();
    input.push(&vec![7; window]);
    assert_eq!(input.room(), Some(0));
    while input.next_chunk().is_some() {}
    assert_eq!(input.room(), Some(0));
    input.acknowledged(ack(1000, false)).unwrap();
    assert_eq!(input.room(), Some(1000));
}

#[test]
fn an_acknowledgement_of_what_was_never_sent_is_a_violation() {
    let mut input = input();
    input.push(b"abc");
    assert_eq!(input.acknowledged(ack(1, false)), Err(Violation::Ack));
    input.next_chunk();
    input.acknowledged(ack(3, false)).unwrap();
    assert_eq!(input.acknowledged(ack(2, false)), Err(Violation::Ack));
}

#[test]
fn a_new_connection_goes_on_where_the_agent_stands() {
    let mut input = input();
    input.push(b"abcdef");
    input.push(b"");
    while input.next_chunk().is_some() {}
    input.resume();
    assert_eq!(bytes(&mut input), None);
    input.acknowledged(ack(2, false)).unwrap();
    assert_eq!(bytes(&mut input), Some((2, b"cdef".to_vec())));
    assert_eq!(bytes(&mut input), Some((6, Vec::new())));
}

#[test]
fn a_reader_that_is_gone_ends_it() {
    let mut input = input();
    input.push(b"abc");
    input.acknowledged(ack(0, true)).unwrap();
    assert_eq!(input.room(), None);
    assert_eq!(bytes(&mut input), None);
}
