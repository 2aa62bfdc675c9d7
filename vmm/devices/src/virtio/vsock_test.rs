use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;

use proptest::prelude::*;

use super::super::packet::shutdown;
use super::super::packet::{Header, Operation, TYPE_STREAM};
use super::super::{
    CONNECTION_BUFFER, HOST_CID, Interest, MAX_BUFFERED_BYTES, MAX_INCOMING, MAX_PACKET_BYTES,
    MAX_PENDING_RESETS,
};
use super::*;
use crate::virtio::fake_driver::*;
use crate::virtio::{Slot, Transport};

const CID: u32 = 3;
const PORT: u32 = 1024;
/// Guest buffers of 4 KiB, as Linux offers them; packets of the guest lie above.
const RX_BUFFER: u32 = 4096;
const TX_PACKET: u64 = BUFFERS + 0x10_0000;

struct Bench {
    vsock: Vsock,
    driver: FakeDriver,
    /// Guest address of each buffer that waits in the RX queue.
    rx: BTreeMap<u16, u64>,
    /// What epoll watches.
    watched: BTreeMap<Token, (i32, Interest)>,
}

#[derive(Debug, Clone, PartialEq)]
struct Packet {
    header: Header,
    payload: Vec<u8>,
}

fn bench() -> Bench {
    let mut bench = bench_without_buffers();
    bench.offer_rx(64);
    bench
}

fn bench_without_buffers() -> Bench {
    let (interrupt, trigger) = interrupt();
    let memory = guest_memory();
    let mut vsock = Vsock::new(CID, memory.clone(), Arc::clone(&interrupt));
    let driver = FakeDriver::start(&mut vsock, &memory, &interrupt, &trigger);
    Bench {
        vsock,
        driver,
        rx: BTreeMap::new(),
        watched: BTreeMap::new(),
    }
}

fn header(operation: Operation, guest_port: u32) -> Header {
    Header {
        source_cid: CID.into(),
        destination_cid: HOST_CID.into(),
        source_port: guest_port,
        destination_port: PORT,
        length: 0,
        socket_type: TYPE_STREAM,
        operation,
        flags: 0,
        buf_alloc: 0x4_0000,
        fwd_cnt: 0,
    }
}

impl Bench {
    fn offer_rx(&mut self, count: u64) {
        for index in 0..count {
            let address = BUFFERS + index * u64::from(RX_BUFFER);
            let head = self.driver.add(RX_QUEUE, &[writable(address, RX_BUFFER)]);
            self.rx.insert(head, address);
        }
    }

    fn send(&mut self, header: &Header, payload: &[u8]) {
        let header = Header {
            length: u32::try_from(payload.len()).unwrap(),
            ..*header
        };
        self.send_raw(&header, payload);
    }

    /// Sends a packet whose header may lie.
    fn send_raw(&mut self, header: &Header, payload: &[u8]) {
        self.driver.put(TX_PACKET, &header.encode());
        self.driver.put(TX_PACKET + 44, payload);
        let length = u32::try_from(payload.len()).unwrap();
        let chain = [readable(TX_PACKET, 44), readable(TX_PACKET + 44, length)];
        let head = self.driver.add(TX_QUEUE, &chain);
        self.serve(TX_QUEUE);
        assert_eq!(self.driver.used(TX_QUEUE), Some((head, 0)));
    }

    fn serve(&mut self, queue: usize) {
        while self.vsock.handle_queue(queue) == Progress::Again {}
        self.poll();
    }

    fn poll(&mut self) {
        let watched = &mut self.watched;
        self.vsock.poll_changes(|token, fd, change| {
            let fd = fd.as_raw_fd();
            let known = match change {
                Change::Add(interest) => watched.insert(token, (fd, interest)).is_none(),
                Change::Modify(interest) => watched.insert(token, (fd, interest)).is_some(),
                Change::Remove => watched.remove(&token).is_some(),
            };
            assert!(known, "{token:?}: {change:?}");
        });
    }

    /// The next packet of the device; its buffer goes back to the RX queue.
    fn packet(&mut self) -> Option<Packet> {
        let (head, length) = self.driver.used(RX_QUEUE)?;
        let address = self.rx.remove(&head).unwrap();
        let bytes = self.driver.get(address, usize::try_from(length).unwrap());
        let header = Header::parse(bytes[..44].try_into().unwrap());
        let payload = bytes[44..].to_vec();
        assert_eq!(usize::try_from(header.length).unwrap(), payload.len());
        let head = self.driver.add(RX_QUEUE, &[writable(address, RX_BUFFER)]);
        self.rx.insert(head, address);
        Some(Packet { header, payload })
    }

    fn operations(&mut self) -> Vec<Operation> {
        self.serve(RX_QUEUE);
        std::iter::from_fn(|| self.packet())
            .map(|packet| packet.header.operation)
            .collect()
    }

    fn open(&mut self, guest_port: u32) -> UnixStream {
        self.send(&header(Operation::Request, guest_port), &[]);
        assert_eq!(self.operations(), [Operation::Response]);
        let incoming = self.vsock.take_incoming().unwrap();
        assert_eq!(incoming.port, PORT);
        incoming.stream
    }

    /// One round of epoll for all watched sockets, as if each had what it is watched for.
    fn ready_all(&mut self) {
        let tokens: Vec<_> = self
            .watched
            .iter()
            .map(|(token, (_, interest))| (*token, *interest))
            .collect();
        for (token, interest) in tokens {
            let readiness = Readiness {
                readable: interest.readable,
                writable: interest.writable,
                hangup: false,
            };
            self.vsock.ready(token, readiness);
        }
        self.serve(RX_QUEUE);
    }
}

#[test]
fn a_stream_of_the_guest_carries_a_megabyte_both_ways() {
    let mut bench = bench();
    let mut host = bench.open(5000);
    host.set_nonblocking(true).unwrap();
    let sent: Vec<u8> = (0..1 << 20)
        .map(|i: u32| u8::try_from(i % 251).unwrap())
        .collect();
    let (mut from_guest, mut to_host) = (0, Vec::<u8>::new());
    let (mut from_host, mut to_guest) = (0, Vec::<u8>::new());
    let mut known = 0; // The device's fwd_cnt, as the guest knows it.
    let mut data = vec![0; 0x1_0000];
    while to_host.len() < sent.len() || to_guest.len() < sent.len() {
        let window = usize::try_from(CONNECTION_BUFFER).unwrap() - (from_guest - known);
        let length = (sent.len() - from_guest).min(window).min(0x8000);
        let taken = Header {
            fwd_cnt: u32::try_from(to_guest.len()).unwrap(),
            ..header(Operation::Data, 5000)
        };
        bench.send(&taken, &sent[from_guest..from_guest + length]);
        from_guest += length;
        from_host += host.write(&sent[from_host..]).unwrap_or(0);
        to_host.extend(host.read(&mut data).map_or(&[][..], |got| &data[..got]));
        bench.ready_all();
        while let Some(Packet { header, payload }) = bench.packet() {
            known = usize::try_from(header.fwd_cnt).unwrap();
            to_guest.extend(payload);
        }
    }
    assert_eq!(to_host, sent);
    assert_eq!(to_guest, sent);
}

#[test]
fn a_stream_of_the_host_is_requested_answered_and_used() {
    let mut bench = bench();
    let (ours, mut host) = UnixStream::pair().unwrap();
    host.write_all(b"hello").unwrap();
    bench.vsock.connect(80, ours).unwrap();
    bench.serve(RX_QUEUE);
    let request = bench.packet().unwrap().header;
    assert_eq!(
        (request.operation, request.destination_port),
        (Operation::Request, 80)
    );
    assert_eq!(request.source_cid, u64::from(HOST_CID));
    let answer = Header {
        destination_port: request.source_port,
        ..header(Operation::Response, 80)
    };
    bench.send(&answer, &[]);
    bench.ready_all();
    let packet = bench.packet().unwrap();
    assert_eq!(
        (packet.header.operation, packet.payload.as_slice()),
        (Operation::Data, &b"hello"[..])
    );
}

#[test]
fn a_port_that_the_guest_refuses_ends_the_hosts_stream() {
    let mut bench = bench();
    let (ours, mut host) = UnixStream::pair().unwrap();
    bench.vsock.connect(81, ours).unwrap();
    bench.serve(RX_QUEUE);
    let request = bench.packet().unwrap().header;
    let refusal = Header {
        destination_port: request.source_port,
        ..header(Operation::Reset, 81)
    };
    bench.send(&refusal, &[]);
    assert_eq!(host.read(&mut [0; 1]).unwrap(), 0);
    assert!(bench.watched.is_empty());
}

#[test]
fn two_streams_to_one_guest_port_have_different_names() {
    let mut bench = bench();
    for _ in 0..2 {
        bench
            .vsock
            .connect(80, UnixStream::pair().unwrap().0)
            .unwrap();
    }
    bench.serve(RX_QUEUE);
    let ports: Vec<u32> = std::iter::from_fn(|| bench.packet())
        .map(|p| p.header.source_port)
        .collect();
    assert_eq!(ports, [FIRST_HOST_PORT, FIRST_HOST_PORT + 1]);
}

#[test]
fn a_host_cannot_connect_to_a_guest_without_a_driver() {
    let (interrupt, _) = interrupt();
    let mut vsock = Vsock::new(CID, guest_memory(), interrupt);
    let error = vsock
        .connect(80, UnixStream::pair().unwrap().0)
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "connect to guest port 80: the guest's socket driver is not running"
    );
}

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

#[test]
fn a_reset_device_ends_all_streams_and_sends_nothing() {
    let mut bench = bench();
    let mut host = bench.open(5000);
    bench.vsock.reset();
    bench.poll();
    assert!(bench.watched.is_empty());
    assert_eq!(host.read(&mut [0; 1]).unwrap(), 0);
    assert_eq!(bench.vsock.handle_queue(RX_QUEUE), Progress::Idle);
    assert_eq!(bench.packet(), None);
}

#[test]
fn the_configuration_is_the_guests_address() {
    let bench = bench();
    assert_eq!(bench.driver.read(0x100), CID);
    assert_eq!(bench.driver.read(0x104), 0);
}

#[test]
fn a_restored_guest_is_told_that_its_streams_are_gone_and_opens_new_ones() {
    let mut bench = bench();
    let mut old = bench.open(5000);
    bench.driver.add(EVENT_QUEUE, &[writable(TX_PACKET, 4)]);
    let saved = (bench.vsock.save(), bench.driver.transport.save());
    let bytes = postcard::to_allocvec(&saved).unwrap();
    let (state, registers): (VsockState, _) = postcard::from_bytes(&bytes).unwrap();
    let Bench {
        vsock, driver, rx, ..
    } = bench;
    drop(vsock);
    assert_eq!(old.read(&mut [0; 1]).unwrap(), 0);

    let (interrupt, trigger) = interrupt();
    let memory = driver.memory.clone();
    let vsock = Vsock::restore(CID, memory.clone(), Arc::clone(&interrupt), &state).unwrap();
    assert_eq!(vsock.save().active, state.active);
    let transport =
        Transport::restore(Slot(0), vsock.info(), memory, interrupt, registers).unwrap();
    let mut bench = Bench {
        vsock,
        driver: driver.moved_to(transport, &trigger),
        rx,
        watched: BTreeMap::new(),
    };
    bench.driver.put(TX_PACKET, &[0xff; 4]);
    bench.serve(EVENT_QUEUE);
    assert_eq!(
        bench.driver.used(EVENT_QUEUE).map(|(_, length)| length),
        Some(4)
    );
    assert_eq!(bench.driver.get(TX_PACKET, 4), [0; 4]);
    bench.send(&header(Operation::Data, 5000), b"stale");
    assert_eq!(bench.operations(), [Operation::Reset]);
    let mut host = bench.open(5000);
    bench.send(&header(Operation::Data, 5000), b"fresh");
    let mut got = [0; 5];
    host.read_exact(&mut got).unwrap();
    assert_eq!(&got, b"fresh");
}

#[test]
fn the_news_of_a_restore_waits_for_a_buffer() {
    let bench = bench();
    let state = bench.vsock.save();
    let memory = bench.driver.memory.clone();
    let mut vsock = Vsock::restore(CID, memory, interrupt().0, &state).unwrap();
    let mut driver = bench.driver;
    assert_eq!(vsock.handle_queue(EVENT_QUEUE), Progress::Idle);
    assert!(vsock.save().event_due);
    driver.add(EVENT_QUEUE, &[writable(TX_PACKET, 4)]);
    while vsock.handle_queue(EVENT_QUEUE) == Progress::Again {}
    assert!(driver.used(EVENT_QUEUE).is_some());
    assert!(!vsock.save().event_due);
}

#[test]
fn a_state_of_another_guest_is_refused() {
    let bench = bench();
    let error = Vsock::restore(4, guest_memory(), interrupt().0, &bench.vsock.save())
        .err()
        .unwrap();
    assert_eq!(
        error.to_string(),
        "saved guest cid is 3, this machine has 4"
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// A hostile guest and a host that does anything, a few streams wide so that they meet.
    #[test]
    fn random_packets_and_sockets_never_panic_or_break_a_bound(
        steps in prop::collection::vec(
            (0u8..10, 0u16..9, 0u32..4, any::<u32>(), any::<(u32, u32, bool)>(), 0usize..5000),
            1..120,
        ),
    ) {
        let mut bench = bench();
        let mut hosts: Vec<UnixStream> = Vec::new();
        for (kind, operation, port, flags, (buf_alloc, fwd_cnt, honest), length) in steps {
            match kind {
                0..=5 => {
                    let packet = Header {
                        flags,
                        buf_alloc: if honest { 0x1_0000 } else { buf_alloc },
                        fwd_cnt: if honest { 0 } else { fwd_cnt },
                        destination_port: if port == 3 { FIRST_HOST_PORT } else { PORT },
                        length: if honest { u32::try_from(length).unwrap() } else { fwd_cnt },
                        ..header(operation.into(), port)
                    };
                    bench.send_raw(&packet, &vec![0; length]);
                }
                6 => {
                    let (ours, theirs) = UnixStream::pair().unwrap();
                    let _ = bench.vsock.connect(port, ours);
                    hosts.push(theirs);
                }
                7 => {
                    hosts.pop();
                }
                8 => {
                    let readiness = Readiness { readable: honest, writable: true, hangup: flags % 3 == 0 };
                    for token in bench.watched.keys() {
                        bench.vsock.ready(*token, readiness);
                    }
                }
                _ => {
                    for host in &mut hosts {
                        host.set_nonblocking(true).unwrap();
                        let _ = host.write(&vec![1; length]);
                    }
                }
            }
            hosts.extend(std::iter::from_fn(|| bench.vsock.take_incoming()).map(|i| i.stream));
            bench.operations();
            prop_assert!(bench.vsock.table.is_consistent());
        }
        bench.vsock.reset();
        bench.poll();
        prop_assert!(bench.watched.is_empty());
    }

    #[test]
    fn random_saved_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(state) = postcard::from_bytes::<VsockState>(&bytes) {
            let _ = Vsock::restore(CID, guest_memory(), interrupt().0, &state);
        }
    }
}
