use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileExt;

use proptest::prelude::*;

use super::wire::feature as blk_feature;
use super::*;
use crate::virtio::fake_driver::*;
use crate::virtio::{Slot, Transport};

#[path = "blk_refusal_test.rs"]
mod refusals;

const PAGE: usize = 4096;
const OK: u8 = 0;
const IOERR: u8 = 1;
const UNSUPP: u8 = 2;
const HEADER: u64 = BUFFERS;
const STATUS: u64 = BUFFERS + 0x100;
const DATA: u64 = BUFFERS + 0x1000;

struct Bench {
    blk: Blk,
    driver: FakeDriver,
    file: File,
}

/// A disk of 4 pages, the last two first, in one file of letters.
fn disk(access: Access) -> (Disk, File) {
    let mut place = tempfile::NamedTempFile::new().unwrap();
    place
        .write_all(&[[b'c'; 2 * PAGE], [b'a'; 2 * PAGE]].concat())
        .unwrap();
    let writable = access != Access::ReadOnly;
    let open = || {
        OpenOptions::new()
            .read(true)
            .write(writable)
            .open(place.path())
            .unwrap()
    };
    let extent = |page: u64| Extent {
        file: open(),
        offset: page * 4096,
        length: 2 * 4096,
    };
    (
        Disk::new(vec![extent(2), extent(0)], access).unwrap(),
        open(),
    )
}

fn bench_with(access: Access, features: u64) -> Bench {
    let (interrupt, trigger) = interrupt();
    let memory = guest_memory();
    let (disk, file) = disk(access);
    let mut blk = Blk::new(disk, "scratch", memory.clone(), Arc::clone(&interrupt));
    let features = blk.info().features & features;
    let driver = FakeDriver::start_with(&mut blk, features, &memory, &interrupt, &trigger);
    Bench { blk, driver, file }
}

fn bench(access: Access) -> Bench {
    bench_with(access, u64::MAX)
}

impl Bench {
    fn header(&self, kind: u32, sector: u64) {
        let mut header = kind.to_le_bytes().to_vec();
        header.extend([0; 4]);
        header.extend(sector.to_le_bytes());
        self.driver.put(HEADER, &header);
        self.driver.put(STATUS, &[0xaa]);
    }

    /// Sends a request with a header, these buffers and a status byte; returns status and used length.
    fn request(&mut self, kind: u32, sector: u64, data: &[Buffer]) -> (u8, u32) {
        self.header(kind, sector);
        let mut chain = vec![readable(HEADER, 16)];
        chain.extend(data);
        chain.push(writable(STATUS, 1));
        let (status, used) = self.raw(&chain);
        (status, used)
    }

    fn raw(&mut self, chain: &[Buffer]) -> (u8, u32) {
        let head = self.driver.add(0, chain);
        assert_eq!(self.blk.handle_queue(0), Progress::Idle);
        let (used, length) = self.driver.used(0).expect("the request is not answered");
        assert_eq!(used, head);
        assert_eq!(self.driver.used(0), None);
        (self.driver.get(STATUS, 1)[0], length)
    }

    fn range(&mut self, kind: u32, sector: u64, sectors: u32, flags: u32) -> u8 {
        let mut range = sector.to_le_bytes().to_vec();
        range.extend(sectors.to_le_bytes());
        range.extend(flags.to_le_bytes());
        self.driver.put(DATA, &range);
        self.request(kind, 0, &[readable(DATA, 16)]).0
    }

    fn contents(&self) -> Vec<u8> {
        let mut contents = vec![0; 4 * PAGE];
        self.file.read_exact_at(&mut contents, 0).unwrap();
        contents
    }
}

#[test]
fn a_read_may_span_extents_and_buffers() {
    let mut bench = bench(Access::ReadOnly);
    let data = [writable(DATA, 100), writable(DATA + 0x1000, 924)];
    assert_eq!(bench.request(0, 15, &data), (OK, 1025));
    assert_eq!(bench.driver.get(DATA, 100), [b'a'; 100]);
    assert_eq!(bench.driver.get(DATA + 0x1000, 412), [b'a'; 412]);
    assert_eq!(bench.driver.get(DATA + 0x1000 + 412, 512), [b'c'; 512]);
    assert_eq!(bench.blk.counters().read_bytes, 1024);
}

/// A disk of one file.
fn bench_on(file: File) -> Bench {
    let (interrupt, trigger) = interrupt();
    let memory = guest_memory();
    let extent = Extent {
        length: file.metadata().unwrap().len(),
        offset: 0,
        file: file.try_clone().unwrap(),
    };
    let disk = Disk::new(vec![extent], Access::Writable).unwrap();
    let mut blk = Blk::new(disk, "", memory.clone(), Arc::clone(&interrupt));
    let driver = FakeDriver::start(&mut blk, &memory, &interrupt, &trigger);
    Bench { blk, driver, file }
}

#[test]
fn a_transfer_larger_than_one_bounce_is_whole() {
    let length = 5 * BOUNCE_BYTES / 2 / PAGE * PAGE;
    let mut file = tempfile::tempfile().unwrap();
    let content: Vec<u8> = (0..length)
        .map(|i| u8::try_from(i % 251).unwrap())
        .collect();
    file.write_all(&content).unwrap();
    let mut bench = bench_on(file);
    let bytes = u32::try_from(length).unwrap();
    let read = bench.request(0, 0, &[writable(DATA, bytes)]);
    assert_eq!(read, (OK, bytes + 1));
    assert_eq!(bench.driver.get(DATA, length), content);
    bench.driver.put(DATA, &vec![9; length]);
    let write = bench.request(1, 0, &[readable(DATA, bytes)]);
    assert_eq!(write, (OK, 1));
    let mut written = vec![0; length];
    bench.file.read_exact_at(&mut written, 0).unwrap();
    assert_eq!(written, vec![9; length]);
}

#[test]
fn a_write_reaches_the_files_and_a_flush_succeeds() {
    let mut bench = bench(Access::Writable);
    bench.driver.put(DATA, &[b'w'; 1024]);
    assert_eq!(bench.request(1, 15, &[readable(DATA, 1024)]), (OK, 1));
    assert_eq!(bench.request(4, 0, &[]), (OK, 1));
    let contents = bench.contents();
    assert_eq!(contents[..512], [b'w'; 512], "start of the second extent");
    assert_eq!(
        contents[4 * PAGE - 512..],
        [b'w'; 512],
        "end of the first extent"
    );
    assert_eq!(contents[512], b'c');
    assert_eq!(bench.blk.counters().written_bytes, 1024);
}

#[test]
fn a_driver_without_flush_gets_durable_writes() {
    let mut bench = bench_with(Access::Writable, !blk_feature::FLUSH);
    assert_eq!(bench.request(1, 0, &[readable(DATA, 512)]), (OK, 1));
    assert_eq!(bench.blk.counters().host_errors, 0);
}

#[test]
fn a_temporary_disk_is_written_and_offers_no_flush() {
    let mut bench = bench(Access::Temporary);
    let features = bench.blk.info().features;
    assert_eq!(features & blk_feature::FLUSH, 0);
    assert_eq!(features & blk_feature::DISCARD, blk_feature::DISCARD);
    bench.driver.put(DATA, &[b't'; 512]);
    assert_eq!(bench.request(1, 0, &[readable(DATA, 512)]), (OK, 1));
    assert_eq!(bench.contents()[2 * PAGE..2 * PAGE + 512], [b't'; 512]);
}

#[test]
fn the_identity_is_padded_with_zeroes() {
    let mut bench = bench(Access::ReadOnly);
    assert_eq!(bench.request(8, 0, &[writable(DATA, 20)]), (OK, 21));
    assert_eq!(
        bench.driver.get(DATA, 20),
        b"scratch\0\0\0\0\0\0\0\0\0\0\0\0\0"
    );
    assert_eq!(bench.request(8, 0, &[writable(DATA, 19)]).0, IOERR);
}

#[test]
fn a_read_only_disk_refuses_every_change() {
    let mut bench = bench(Access::ReadOnly);
    let before = bench.contents();
    assert_eq!(bench.request(1, 0, &[readable(DATA, 512)]).0, IOERR);
    assert_eq!(bench.range(11, 0, 8, 0), IOERR);
    assert_eq!(bench.range(13, 0, 8, 0), IOERR);
    assert_eq!(bench.request(4, 0, &[]).0, OK);
    assert_eq!(bench.contents(), before);
    assert_eq!(bench.blk.counters().refused, 3);
    assert_ne!(bench.blk.info().features & blk_feature::READ_ONLY, 0);
    assert_eq!(bench.blk.info().features & blk_feature::DISCARD, 0);
}

#[test]
fn discard_and_write_zeroes_clear_exactly_their_range() {
    for (kind, flags) in [(11, 0), (13, 0), (13, 1)] {
        let mut bench = bench(Access::Writable);
        assert_eq!(bench.range(kind, 12, 8, flags), OK);
        let contents = bench.contents();
        let zeroes = contents.iter().filter(|byte| **byte == 0).count();
        assert_eq!(zeroes, PAGE, "type {kind}, flags {flags}");
        assert_eq!(contents[..4 * 512], [0; 4 * 512]);
        assert_eq!(contents[4 * PAGE - 4 * 512..], [0; 4 * 512]);
    }
}

#[test]
fn more_requests_than_a_calls_budget_take_several_calls() {
    let mut bench = bench(Access::Writable);
    bench.header(4, 0);
    for _ in 0..40 {
        bench
            .driver
            .add(0, &[readable(HEADER, 16), writable(STATUS, 1)]);
    }
    let mut calls = 1;
    while bench.blk.handle_queue(0) == Progress::Again {
        calls += 1;
    }
    assert_eq!(calls, 3);
    assert_eq!(std::iter::from_fn(|| bench.driver.used(0)).count(), 40);
}

fn capacity(driver: &mut FakeDriver) -> u64 {
    u64::from(driver.read(0x100)) | u64::from(driver.read(0x104)) << 32
}

#[test]
fn the_configuration_names_size_and_limits() {
    let mut bench = bench(Access::Writable);
    assert_eq!(capacity(&mut bench.driver), 32);
    let fields = [
        (8, 128 * 1024),
        (12, 126),
        (36, 1 << 22),
        (40, 16),
        (44, 8),
        (48, 1 << 16),
        (52, 16),
        (56, 1),
    ];
    for (offset, value) in fields {
        assert_eq!(
            bench.driver.read(0x100 + offset),
            value,
            "field at {offset}"
        );
    }
}

#[test]
fn a_running_disk_grows_and_says_so() {
    let mut bench = bench(Access::Writable);
    let (edges, generation) = (bench.driver.edges(), bench.driver.read(0xfc));
    assert_eq!(bench.request(0, 32, &[writable(DATA, 512)]).0, IOERR);
    let more = tempfile::tempfile().unwrap();
    more.set_len(4096).unwrap();
    more.write_all_at(b"new", 0).unwrap();
    let extent = Extent {
        file: more,
        offset: 0,
        length: 4096,
    };
    bench.blk.append(extent).unwrap();
    assert_eq!(capacity(&mut bench.driver), 40);
    assert_ne!(bench.driver.read(0xfc), generation);
    assert!(bench.driver.edges() > edges);
    assert_eq!(bench.driver.read(0x60) & 2, 2, "configuration interrupt");
    assert_eq!(bench.request(0, 32, &[writable(DATA, 512)]).0, OK);
    assert_eq!(bench.driver.get(DATA, 4), b"new\0");
}

#[test]
fn a_reset_disk_serves_its_next_driver() {
    let mut bench = bench(Access::Writable);
    assert!(matches!(
        bench.driver.write(0x70, 0),
        crate::Effect::ResetDevice(_)
    ));
    bench.blk.reset();
    assert_eq!(bench.blk.handle_queue(0), Progress::Idle);
    bench.driver.transport.reset_done();
    let (interrupt, trigger) = interrupt();
    let memory = guest_memory();
    let driver = FakeDriver::start(&mut bench.blk, &memory, &interrupt, &trigger);
    bench.driver = driver;
    bench.blk.memory = memory;
    assert_eq!(bench.request(0, 0, &[writable(DATA, 512)]).0, OK);
}

#[test]
fn a_restored_disk_goes_on_where_it_was() {
    let mut bench = bench(Access::Writable);
    bench.driver.put(DATA, &[b'n'; 512]);
    assert_eq!(bench.request(1, 3, &[readable(DATA, 512)]).0, OK);
    bench.header(0, 3);
    let chain = [
        readable(HEADER, 16),
        writable(DATA + 0x1000, 512),
        writable(STATUS, 1),
    ];
    let head = bench.driver.add(0, &chain);

    let saved = (bench.blk.save(), bench.driver.transport.save());
    let bytes = postcard::to_allocvec(&saved).unwrap();
    let (state, registers): (BlkState, _) = postcard::from_bytes(&bytes).unwrap();
    let Bench { blk, driver, .. } = bench;
    let disk = blk.requests.disk;
    let (interrupt, trigger) = interrupt();
    let memory = driver.memory.clone();
    let mut blk = Blk::restore(
        disk,
        "scratch",
        memory.clone(),
        Arc::clone(&interrupt),
        &state,
    )
    .unwrap();
    assert_eq!(blk.save(), state);
    let transport = Transport::restore(Slot(0), blk.info(), memory, interrupt, registers).unwrap();
    let mut driver = driver.moved_to(transport, &trigger);

    assert_eq!(blk.handle_queue(0), Progress::Idle);
    assert_eq!(driver.used(0), Some((head, 513)));
    assert_eq!(driver.get(DATA + 0x1000, 512), [b'n'; 512]);
}

#[test]
fn a_state_of_another_disk_is_refused() {
    let bench = bench(Access::Writable);
    let mut state = bench.blk.save();
    state.sectors = 31;
    let (disk, _) = disk(Access::Writable);
    let restored = Blk::restore(disk, "", guest_memory(), interrupt().0, &state);
    let error = restored.err().unwrap();
    assert_eq!(
        error.to_string(),
        "saved disk has 31 sectors, this one has 32"
    );
}

proptest! {
    #[test]
    fn random_requests_never_panic_or_reach_beyond_the_disk(
        header in any::<[u8; 16]>(),
        kind in 0u8..15,
        sector in 0u64..64,
        near in any::<bool>(),
        data in prop::collection::vec(any::<u8>(), 64),
        buffers in prop::collection::vec((0u64..RAM_END, 0u32..0x3000, any::<bool>()), 0..6),
    ) {
        let mut bench = bench(Access::Writable);
        bench.driver.put(HEADER, &header);
        if near {
            bench.driver.put(HEADER, &[kind, 0, 0, 0]);
            bench.driver.put(HEADER + 8, &sector.to_le_bytes());
        }
        bench.driver.put(DATA, &data);
        let mut chain = vec![readable(HEADER, 16), readable(DATA, 64)];
        chain.extend(buffers.iter().map(|(address, length, write)| Buffer {
            // Rings stay whole, so that the device can answer.
            address: address | BUFFERS,
            length: *length,
            writable: *write,
        }));
        chain.push(writable(STATUS, 1));
        let head = bench.driver.add(0, &chain);
        let _ = bench.blk.handle_queue(0);
        prop_assert_eq!(bench.driver.used(0).map(|(used, _)| used), Some(head));
        prop_assert_eq!(bench.file.metadata().unwrap().len(), 4 * 4096);
    }

    #[test]
    fn random_saved_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
        if let Ok(state) = postcard::from_bytes::<BlkState>(&bytes) {
            let (disk, _) = disk(Access::Writable);
            let _ = Blk::restore(disk, "", guest_memory(), interrupt().0, &state);
        }
    }
}
