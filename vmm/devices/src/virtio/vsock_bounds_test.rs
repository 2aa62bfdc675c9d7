//! A guest that says what it should not, and more than it should.

use super::*;

#[test]
fn packets_for_no_stream_are_reset_except_resets() {
    let mut bench = bench();
    for operation in [
        Operation::Response,
        Operation::Shutdown,
        Operation::Data,
        Operation::CreditUpdate,
        Operation::CreditRequest,
        Operation::Unknown(9),
    ] {
        bench.send(&header(operation, 5000), &[]);
        assert_eq!(bench.operations(), [Operation::Reset], "{operation:?}");
    }
    bench.send(&header(Operation::Reset, 5000), &[]);
    assert_eq!(bench.operations(), []);
}

#[test]
fn a_stream_type_that_is_not_served_is_reset_with_its_own_type() {
    let mut bench = bench();
    let request = Header {
        socket_type: 2,
        ..header(Operation::Request, 5000)
    };
    bench.send(&request, &[]);
    bench.serve(RX_QUEUE);
    let reset = bench.packet().unwrap().header;
    assert_eq!((reset.operation, reset.socket_type), (Operation::Reset, 2));
    assert!(bench.vsock.take_incoming().is_none());
}

#[test]
fn packets_from_or_to_a_third_party_are_dropped() {
    let mut bench = bench();
    for (source, destination) in [
        (CID + 1, HOST_CID),
        (CID, 1),
        (HOST_CID, HOST_CID),
        (CID, CID),
    ] {
        let forged = Header {
            source_cid: source.into(),
            destination_cid: destination.into(),
            ..header(Operation::Request, 5000)
        };
        bench.send(&forged, &[]);
    }
    assert_eq!(bench.operations(), []);
    assert_eq!(bench.vsock.counters().malformed, 4);
}

#[test]
fn a_length_that_lies_resets_the_stream_and_reads_nothing() {
    let mut bench = bench();
    for length in [5, 0x1_0000, 0x1_0001, u32::MAX] {
        let mut host = bench.open(5000);
        let lie = Header {
            length,
            ..header(Operation::Data, 5000)
        };
        bench.send_raw(&lie, b"four");
        assert_eq!(bench.operations(), [Operation::Reset], "length {length}");
        assert_eq!(host.read(&mut [0; 8]).unwrap(), 0, "length {length}");
    }
}

#[test]
fn a_packet_shorter_than_a_header_is_dropped() {
    let mut bench = bench();
    for length in [0, 1, 43] {
        bench.driver.add(TX_QUEUE, &[readable(TX_PACKET, length)]);
        bench.serve(TX_QUEUE);
        assert!(bench.driver.used(TX_QUEUE).is_some());
    }
    bench.driver.add(TX_QUEUE, &[readable(HOLE_START, 44)]);
    bench.serve(TX_QUEUE);
    assert_eq!(bench.vsock.counters().malformed, 4);
    assert_eq!(bench.operations(), []);
}

#[test]
fn a_guest_that_ignores_its_window_is_reset() {
    let mut bench = bench();
    let _host = bench.open(5000);
    let payload = vec![0; MAX_PACKET_BYTES];
    let mut packets = 0;
    while !bench.operations().contains(&Operation::Reset) {
        bench.send(&header(Operation::Data, 5000), &payload);
        packets += 1;
        assert!(packets < 1000, "there is no bound");
    }
}

/// What a stalled stream holds at least, in the tests of the common bound.
const STALLED: usize = 128 * 1024;

impl Bench {
    /// Opens a stream whose host does not read, and sends until it holds [`STALLED`] or is reset.
    fn stall(&mut self, guest_port: u32) -> (UnixStream, bool) {
        let host = self.open(guest_port);
        let before = self.vsock.table.buffered_bytes();
        while self.vsock.table.buffered_bytes() < before + STALLED {
            self.send(&header(Operation::Data, guest_port), &[0; STALLED / 4]);
            if self.operations().contains(&Operation::Reset) {
                return (host, false);
            }
        }
        (host, true)
    }
}

#[test]
fn all_streams_together_hold_no_more_than_their_bound() {
    let mut bench = bench();
    let mut hosts = Vec::new();
    for guest_port in 0.. {
        let (host, alive) = bench.stall(guest_port);
        hosts.push(host);
        assert!(bench.vsock.table.buffered_bytes() <= MAX_BUFFERED_BYTES);
        assert!(bench.vsock.table.is_consistent());
        if !alive {
            break;
        }
    }
    assert!(hosts.len() <= MAX_BUFFERED_BYTES / STALLED + 1);
    for guest_port in 0..hosts.len() {
        let guest_port = u32::try_from(guest_port).unwrap();
        bench.send(&header(Operation::Reset, guest_port), &[]);
    }
    assert_eq!(bench.vsock.table.buffered_bytes(), 0);
}

#[test]
fn a_stream_that_is_read_does_not_pay_for_those_that_are_not() {
    let mut bench = bench();
    let mut reader = bench.open(9999);
    let hosts: Vec<_> = (0..)
        .map(|guest_port| bench.stall(guest_port))
        .take_while(|(_, alive)| *alive)
        .collect();
    assert!(!hosts.is_empty());
    let payload = vec![0; MAX_PACKET_BYTES];
    for _ in 0..20 {
        bench.send(&header(Operation::Data, 9999), &payload);
        reader.read_exact(&mut vec![0; payload.len()]).unwrap();
        assert!(!bench.operations().contains(&Operation::Reset));
    }
}

#[test]
fn a_false_alarm_of_epoll_costs_no_guest_buffer() {
    let mut bench = bench();
    let mut host = bench.open(5000);
    for _ in 0..100 {
        bench.ready_all();
    }
    assert_eq!(bench.packet(), None);
    host.write_all(b"real").unwrap();
    bench.ready_all();
    assert_eq!(bench.packet().unwrap().payload, b"real");
}

#[test]
fn ports_of_a_closed_stream_are_free_while_its_host_still_reads() {
    let mut bench = bench();
    let (mut old, _) = bench.stall(5000);
    let close = Header {
        flags: shutdown::BOTH,
        ..header(Operation::Shutdown, 5000)
    };
    bench.send(&close, &[]);
    bench.send(&header(Operation::Reset, 5000), &[]);
    assert_eq!(bench.operations(), []);
    let mut new = bench.open(5000);
    bench.send(&header(Operation::Data, 5000), b"new");
    let mut got = [0; 3];
    new.read_exact(&mut got).unwrap();
    assert_eq!(&got, b"new");

    old.set_nonblocking(true).unwrap();
    let (mut total, mut data) = (0, vec![0; 0x1_0000]);
    loop {
        match old.read(&mut data) {
            Ok(0) => break,
            Ok(got) => total += got,
            Err(_) => bench.ready_all(),
        }
    }
    assert!(total >= STALLED);
    assert_eq!(
        bench.operations(),
        [],
        "the guest has forgotten the old stream"
    );
}

#[test]
fn a_storm_of_connections_ends_at_the_bound() {
    let mut bench = bench();
    let mut hosts = Vec::new();
    for guest_port in 0..2000 {
        bench.send(&header(Operation::Request, guest_port), &[]);
        hosts.extend(bench.vsock.take_incoming());
        bench.operations();
    }
    assert_eq!(hosts.len(), MAX_CONNECTIONS);
    assert_eq!(bench.watched.len(), MAX_CONNECTIONS);
    let error = bench
        .vsock
        .connect(80, UnixStream::pair().unwrap().0)
        .unwrap_err();
    assert_eq!(error, ConnectError::TooMany(80));
    bench.send(&header(Operation::Reset, 0), &[]);
    let _host = bench.open(0);
}

#[test]
fn streams_that_nobody_takes_are_refused_at_the_bound() {
    let mut bench = bench();
    for guest_port in 0..200 {
        bench.send(&header(Operation::Request, guest_port), &[]);
        bench.operations();
    }
    let taken = std::iter::from_fn(|| bench.vsock.take_incoming()).count();
    assert_eq!(taken, MAX_INCOMING);
    assert_eq!(
        bench.vsock.counters().refused,
        200 - u64::try_from(MAX_INCOMING).unwrap()
    );
}

#[test]
fn a_guest_that_offers_no_buffers_fills_nothing_on_the_host() {
    let mut bench = bench_without_buffers();
    for guest_port in 0..1000 {
        bench.send(&header(Operation::Data, guest_port), &[]);
    }
    let dropped = bench.vsock.counters().dropped_resets;
    assert_eq!(dropped, 1000 - u64::try_from(MAX_PENDING_RESETS).unwrap());
    bench.offer_rx(64);
    assert_eq!(bench.operations().len(), 64);
}

#[test]
fn buffers_that_come_late_are_filled_when_they_come() {
    let mut bench = bench_without_buffers();
    bench.send(&header(Operation::Request, 5000), &[]);
    let mut host = bench.vsock.take_incoming().unwrap().stream;
    host.write_all(b"waiting").unwrap();
    bench.ready_all();
    assert_eq!(bench.packet(), None);
    let (_, interest) = bench.watched.values().next().unwrap();
    assert!(!interest.readable, "known to be readable: epoll would spin");
    bench.offer_rx(1);
    bench.serve(RX_QUEUE);
    assert_eq!(
        bench.packet().unwrap().header.operation,
        Operation::Response
    );
    bench.serve(RX_QUEUE);
    assert_eq!(bench.packet().unwrap().payload, b"waiting");
}

#[test]
fn guest_buffers_too_small_for_a_header_or_in_a_hole_cost_only_themselves() {
    let mut bench = bench_without_buffers();
    bench.send(&header(Operation::Request, 5000), &[]);
    for buffer in [
        writable(BUFFERS, 43),
        readable(BUFFERS, 4096),
        writable(BUFFERS, 0),
    ] {
        bench.driver.add(RX_QUEUE, &[buffer]);
        bench.serve(RX_QUEUE);
        assert_eq!(
            bench.driver.used(RX_QUEUE).map(|(_, length)| length),
            Some(0)
        );
    }
    bench
        .driver
        .add(RX_QUEUE, &[writable(HOLE_START - 20, 4096)]);
    bench.serve(RX_QUEUE);
    assert_eq!(
        bench.driver.used(RX_QUEUE).map(|(_, length)| length),
        Some(0)
    );
    assert_eq!(bench.vsock.counters().malformed, 4);
}

#[test]
fn streams_take_turns() {
    let mut bench = bench();
    let mut hosts: Vec<_> = (0..3).map(|port| bench.open(port)).collect();
    for host in &mut hosts {
        host.write_all(&[1; 9000]).unwrap();
    }
    bench.ready_all();
    let ports: Vec<u32> = std::iter::from_fn(|| bench.packet())
        .map(|p| p.header.destination_port)
        .collect();
    assert_eq!(ports, [0, 1, 2, 0, 1, 2, 0, 1, 2]);
}

#[test]
fn a_closed_stream_leaves_the_poll_set_before_its_socket_closes() {
    let mut bench = bench();
    let mut host = bench.open(5000);
    let (fd, _) = *bench.watched.values().next().unwrap();
    let close = Header {
        flags: shutdown::BOTH,
        ..header(Operation::Shutdown, 5000)
    };
    bench.driver.put(TX_PACKET, &close.encode());
    bench.driver.add(TX_QUEUE, &[readable(TX_PACKET, 44)]);
    let _ = bench.vsock.handle_queue(TX_QUEUE);
    let mut removed = None;
    bench.vsock.poll_changes(|_, socket, change| {
        assert_eq!(change, Change::Remove);
        removed = Some(socket.as_raw_fd());
    });
    assert_eq!(removed, Some(fd));
    assert_eq!(host.read(&mut [0; 1]).unwrap(), 0);
    assert_eq!(bench.packet().unwrap().header.operation, Operation::Reset);
}

#[test]
fn a_token_that_is_gone_is_ignored() {
    let mut bench = bench();
    let all = Readiness {
        readable: true,
        writable: true,
        hangup: true,
    };
    bench.vsock.ready(Token(7), all);
    assert_eq!(bench.operations(), []);
}
