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

#[path = "vsock_bounds_test.rs"]
mod bounds;

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
    let mut bench = bench();
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
