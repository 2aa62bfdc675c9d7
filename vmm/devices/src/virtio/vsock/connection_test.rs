use std::io::{Read, Write};

use super::*;

const KEY: Key = Key {
    guest_port: 5000,
    host_port: 1024,
};
const BUF_ALLOC: u32 = 1000;

fn header(operation: Operation, length: u32) -> Header {
    Header {
        source_cid: 3,
        destination_cid: 2,
        source_port: KEY.guest_port,
        destination_port: KEY.host_port,
        length,
        socket_type: TYPE_STREAM,
        operation,
        flags: 0,
        buf_alloc: BUF_ALLOC,
        fwd_cnt: 0,
    }
}

fn data(connection: &mut Connection, payload: &[u8]) -> Verdict {
    let length = u32::try_from(payload.len()).unwrap();
    connection.receive(&header(Operation::Data, length), payload)
}

fn shut(connection: &mut Connection, flags: u32) -> Verdict {
    let header = Header {
        flags,
        ..header(Operation::Shutdown, 0)
    };
    connection.receive(&header, &[])
}

/// All packets that a connection has now.
fn packets(connection: &mut Connection) -> Vec<(Operation, Vec<u8>, u32)> {
    let mut packets = Vec::new();
    let mut space = [0; 300];
    while connection.wants_to_send() {
        let Some(header) = connection.next_packet(3, &mut space) else {
            break;
        };
        assert_eq!((header.source_port, header.destination_port), (1024, 5000));
        let length = usize::try_from(header.length).unwrap();
        packets.push((header.operation, space[..length].to_vec(), header.flags));
    }
    packets
}

fn readable(connection: &mut Connection) -> Verdict {
    connection.ready(Readiness {
        readable: true,
        ..Readiness::default()
    })
}

fn hangup(connection: &mut Connection) -> Verdict {
    connection.ready(Readiness {
        hangup: true,
        ..Readiness::default()
    })
}

fn established() -> (Connection, UnixStream) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let mut connection = Connection::accepted(KEY, ours, &header(Operation::Request, 0));
    assert_eq!(packets(&mut connection), [(Operation::Response, vec![], 0)]);
    (connection, theirs)
}

#[test]
fn an_accepted_stream_carries_data_both_ways() {
    let (mut connection, mut host) = established();
    assert_eq!(data(&mut connection, b"to the host"), Verdict::Keep);
    let mut got = [0; 11];
    host.read_exact(&mut got).unwrap();
    assert_eq!(&got, b"to the host");
    host.write_all(b"to the guest").unwrap();
    assert_eq!(readable(&mut connection), Verdict::Keep);
    let expected = (Operation::Data, b"to the guest".to_vec(), 0);
    assert_eq!(packets(&mut connection), [expected]);
}

#[test]
fn a_requested_stream_waits_for_the_guests_answer() {
    let (ours, mut host) = UnixStream::pair().unwrap();
    let mut connection = Connection::requested(KEY, ours);
    host.write_all(b"early").unwrap();
    assert_eq!(readable(&mut connection), Verdict::Keep);
    assert_eq!(packets(&mut connection), [(Operation::Request, vec![], 0)]);
    assert_eq!(
        connection.receive(&header(Operation::Response, 0), &[]),
        Verdict::Keep
    );
    assert_eq!(
        packets(&mut connection),
        [(Operation::Data, b"early".to_vec(), 0)]
    );
}

#[test]
fn an_answer_that_nobody_asked_for_resets_the_stream() {
    let (ours, _host) = UnixStream::pair().unwrap();
    let mut connection = Connection::requested(KEY, ours);
    let early = connection.receive(&header(Operation::Response, 0), &[]);
    assert_eq!(early, Verdict::Reset, "before the request was sent");
    let (mut connection, _host) = established();
    let again = connection.receive(&header(Operation::Response, 0), &[]);
    assert_eq!(again, Verdict::Reset);
    let (mut connection, _host) = established();
    let request = connection.receive(&header(Operation::Request, 0), &[]);
    assert_eq!(request, Verdict::Reset);
    let (mut connection, _host) = established();
    let unknown = connection.receive(&header(Operation::Unknown(77), 0), &[]);
    assert_eq!(unknown, Verdict::Reset);
}

#[test]
fn a_host_that_gives_up_before_the_answer_ends_the_request() {
    let (ours, host) = UnixStream::pair().unwrap();
    let mut connection = Connection::requested(KEY, ours);
    drop(host);
    assert_eq!(hangup(&mut connection), Verdict::Reset);
}

#[test]
fn no_more_goes_to_the_guest_than_it_has_room_for() {
    let (mut connection, mut host) = established();
    host.write_all(&[b'x'; 2500]).unwrap();
    readable(&mut connection);
    let first = packets(&mut connection);
    let sent: usize = first.iter().map(|(_, payload, _)| payload.len()).sum();
    assert_eq!(sent, 1000);
    assert_eq!(
        first.last().unwrap().0,
        Operation::CreditRequest,
        "asks once"
    );
    assert!(packets(&mut connection).is_empty());
    assert_eq!(
        connection.change(),
        Some(Change::Add(Interest {
            readable: false,
            writable: false
        }))
    );

    let update = Header {
        fwd_cnt: 900,
        ..header(Operation::CreditUpdate, 0)
    };
    assert_eq!(connection.receive(&update, &[]), Verdict::Keep);
    let sent: usize = packets(&mut connection)
        .iter()
        .map(|(_, payload, _)| payload.len())
        .sum();
    assert_eq!(sent, 900);
}

#[test]
fn a_host_that_does_not_read_stops_the_guest_at_its_window() {
    let (mut connection, _host) = established();
    let payload = [7; 0x1_0000];
    let mut accepted = 0;
    while data(&mut connection, &payload) == Verdict::Keep {
        accepted += payload.len();
        assert!(accepted < 16 << 20, "there is no bound");
    }
    assert!(connection.buffered() <= usize::try_from(CONNECTION_BUFFER).unwrap());

    let (mut connection, mut host) = established();
    let window = usize::try_from(CONNECTION_BUFFER).unwrap();
    while connection.buffered() == 0 {
        assert_eq!(data(&mut connection, &payload), Verdict::Keep);
    }
    let told = packets(&mut connection);
    assert!(
        told.iter()
            .all(|(operation, ..)| *operation == Operation::CreditUpdate)
    );
    let before = connection.buffered();
    host.read_exact(&mut vec![0; window / 2]).unwrap();
    let writable = Readiness {
        writable: true,
        ..Readiness::default()
    };
    assert_eq!(connection.ready(writable), Verdict::Keep);
    assert!(connection.buffered() < before);
}

#[test]
fn the_guest_hears_of_new_room_in_time() {
    let (mut connection, mut host) = established();
    let quarter = usize::try_from(CONNECTION_BUFFER / 4).unwrap();
    assert_eq!(data(&mut connection, &vec![1; quarter - 1]), Verdict::Keep);
    assert!(packets(&mut connection).is_empty());
    assert_eq!(data(&mut connection, &[1]), Verdict::Keep);
    assert_eq!(
        packets(&mut connection),
        [(Operation::CreditUpdate, vec![], 0)]
    );
    host.read_exact(&mut vec![0; quarter]).unwrap();
    let asked = connection.receive(&header(Operation::CreditRequest, 0), &[]);
    assert_eq!(asked, Verdict::Keep);
    assert_eq!(
        packets(&mut connection),
        [(Operation::CreditUpdate, vec![], 0)]
    );
}

#[test]
fn the_hosts_half_close_leaves_the_guest_its_own_direction() {
    let (mut connection, mut host) = established();
    host.write_all(b"last").unwrap();
    host.shutdown(std::net::Shutdown::Write).unwrap();
    readable(&mut connection);
    let expected = [
        (Operation::Data, b"last".to_vec(), 0),
        (Operation::Shutdown, vec![], shutdown::SEND),
    ];
    assert_eq!(packets(&mut connection), expected);
    assert_eq!(data(&mut connection, b"answer"), Verdict::Keep);
    assert_eq!(shut(&mut connection, shutdown::BOTH), Verdict::Reset);
    drop(connection);
    let mut got = String::new();
    host.read_to_string(&mut got).unwrap();
    assert_eq!(got, "answer");
}

#[test]
fn the_guests_half_close_leaves_the_host_its_own_direction() {
    let (mut connection, mut host) = established();
    assert_eq!(data(&mut connection, b"question"), Verdict::Keep);
    assert_eq!(shut(&mut connection, shutdown::SEND), Verdict::Keep);
    let mut got = String::new();
    host.read_to_string(&mut got).unwrap();
    assert_eq!(got, "question");
    packets(&mut connection);
    host.write_all(b"answer").unwrap();
    readable(&mut connection);
    assert_eq!(
        packets(&mut connection),
        [(Operation::Data, b"answer".to_vec(), 0)]
    );
    assert_eq!(
        data(&mut connection, b"more"),
        Verdict::Reset,
        "it said it would send no more"
    );
}

#[test]
fn a_guest_that_wants_no_more_is_sent_no_more() {
    let (mut connection, mut host) = established();
    assert_eq!(shut(&mut connection, shutdown::RECEIVE), Verdict::Keep);
    let nothing = Interest {
        readable: false,
        writable: false,
    };
    let change = connection.change();
    assert_eq!(
        change,
        Some(Change::Add(nothing)),
        "a socket shut for reading is always readable"
    );
    packets(&mut connection);
    assert!(host.write_all(b"unwanted").is_err());
    readable(&mut connection);
    assert!(packets(&mut connection).is_empty());
    assert_eq!(data(&mut connection, b"still sending"), Verdict::Keep);
    let mut got = [0; 13];
    host.read_exact(&mut got).unwrap();
}

#[test]
fn a_guest_that_closes_without_reading_is_an_end_of_file_not_an_error() {
    let (mut connection, mut host) = established();
    host.write_all(&[1; 10_000]).unwrap();
    assert_eq!(shut(&mut connection, shutdown::BOTH), Verdict::Reset);
    drop(connection);
    assert_eq!(host.read(&mut [0; 1]).unwrap(), 0);
}

#[test]
fn both_half_closes_end_the_stream_from_the_hosts_side_too() {
    let (mut connection, host) = established();
    host.shutdown(std::net::Shutdown::Write).unwrap();
    shut(&mut connection, shutdown::SEND);
    readable(&mut connection);
    let last = packets(&mut connection).pop().unwrap();
    assert_eq!(last, (Operation::Shutdown, vec![], shutdown::BOTH));
    assert_eq!(
        connection.receive(&header(Operation::Reset, 0), &[]),
        Verdict::Close
    );
}

/// Fills the socket and some of the buffer; returns all bytes that the host has to get.
fn clog(connection: &mut Connection) -> usize {
    let mut total = 0;
    while connection.buffered() == 0 {
        assert_eq!(data(connection, &[7; 0x8000]), Verdict::Keep);
        total += 0x8000;
    }
    total
}

/// Reads to the end while the connection delivers the rest of its buffer.
fn drain(connection: Connection, mut host: UnixStream) -> (usize, Verdict) {
    let mut connection = Some(connection);
    let mut verdict = Verdict::Keep;
    let (mut total, mut data) = (0, vec![0; 0x1_0000]);
    loop {
        match host.read(&mut data).unwrap() {
            0 => return (total, verdict),
            got => total += got,
        }
        if let Some(alive) = &mut connection {
            verdict = alive.ready(Readiness {
                writable: true,
                ..Readiness::default()
            });
            if verdict != Verdict::Keep {
                connection = None;
            }
        }
    }
}

#[test]
fn a_close_waits_until_the_host_has_everything() {
    let (mut connection, host) = established();
    let total = clog(&mut connection);
    assert_eq!(shut(&mut connection, shutdown::BOTH), Verdict::Keep);
    assert_eq!(drain(connection, host), (total, Verdict::Reset));
}

#[test]
fn a_guest_that_lost_patience_after_its_close_still_delivers_everything() {
    let (mut connection, host) = established();
    let total = clog(&mut connection);
    assert_eq!(shut(&mut connection, shutdown::BOTH), Verdict::Keep);
    let reset = connection.receive(&header(Operation::Reset, 0), &[]);
    assert_eq!(reset, Verdict::Keep);
    assert!(!connection.wants_to_send());
    assert_eq!(drain(connection, host), (total, Verdict::Close));
}

#[test]
fn a_reset_in_the_middle_ends_the_stream_at_once() {
    let (mut connection, _host) = established();
    clog(&mut connection);
    let reset = connection.receive(&header(Operation::Reset, 0), &[]);
    assert_eq!(reset, Verdict::Close);
}

#[test]
fn a_host_that_vanishes_leaves_its_last_words_and_the_poll_set() {
    let (mut connection, mut host) = established();
    assert_eq!(
        connection.change(),
        Some(Change::Add(Interest {
            readable: true,
            writable: false
        }))
    );
    host.write_all(b"bye").unwrap();
    drop(host);
    assert_eq!(hangup(&mut connection), Verdict::Keep);
    assert_eq!(
        connection.change(),
        Some(Change::Remove),
        "else epoll reports it forever"
    );
    assert_eq!(connection.change(), None);
    let told = packets(&mut connection);
    assert_eq!(told.first().unwrap().1, b"bye");
    assert_eq!(
        told.last().unwrap(),
        &(Operation::Shutdown, vec![], shutdown::BOTH)
    );
    assert_eq!(data(&mut connection, b"into the void"), Verdict::Keep);
}

#[test]
fn writing_to_a_host_that_vanished_is_no_signal_and_no_error() {
    let (mut connection, host) = established();
    drop(host);
    assert_eq!(data(&mut connection, b"x"), Verdict::Keep);
    let told = packets(&mut connection);
    assert_eq!(told, [(Operation::Shutdown, vec![], shutdown::RECEIVE)]);
}

#[test]
fn a_host_that_closes_with_unread_bytes_ends_the_stream() {
    let (mut connection, host) = established();
    assert_eq!(data(&mut connection, b"never read"), Verdict::Keep);
    drop(host);
    hangup(&mut connection);
    let last = packets(&mut connection).pop().unwrap();
    assert_eq!(last, (Operation::Shutdown, vec![], shutdown::BOTH));
}

#[test]
fn interest_follows_what_can_be_done() {
    let (mut connection, mut host) = established();
    let both = |readable, writable| Interest { readable, writable };
    assert_eq!(connection.change(), Some(Change::Add(both(true, false))));
    clog(&mut connection);
    assert_eq!(connection.change(), Some(Change::Modify(both(true, true))));
    host.write_all(b"x").unwrap();
    readable(&mut connection);
    assert_eq!(connection.change(), Some(Change::Modify(both(false, true))));
    packets(&mut connection);
    assert_eq!(connection.change(), Some(Change::Modify(both(true, true))));
    host.shutdown(std::net::Shutdown::Write).unwrap();
    readable(&mut connection);
    packets(&mut connection);
    let at_end = Some(Change::Modify(both(false, true)));
    assert_eq!(
        connection.change(),
        at_end,
        "end of file is reported once, not for ever"
    );
}
