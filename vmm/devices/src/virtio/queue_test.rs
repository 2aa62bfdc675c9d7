use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::virtio::fake_driver::*;
use crate::virtio::{ConfigSpace, feature};

const BUDGET: usize = 64;

struct Bench {
    driver: FakeDriver,
    queue: DeviceQueue,
    memory: GuestMemory,
    interrupt: Arc<Interrupt>,
}

fn bench_with(features: u64) -> Bench {
    let (interrupt, trigger) = interrupt();
    let memory = guest_memory();
    let info = DeviceInfo {
        device_type: 99,
        features: feature::COMMON,
        queue_sizes: &[16],
        config: Arc::new(ConfigSpace::default()),
    };
    let mut driver = FakeDriver::cold(info, &memory, &interrupt, &trigger);
    let activation = driver.negotiate(features).unwrap();
    let queue = activation.claim().unwrap().queues.remove(0);
    Bench {
        driver,
        queue: DeviceQueue::new(queue, false),
        memory,
        interrupt,
    }
}

fn bench() -> Bench {
    bench_with(feature::COMMON)
}

impl Bench {
    /// Drains the queue and returns each chain's readable and writable lengths.
    fn drain(&mut self) -> (Progress, Vec<(u64, u64)>) {
        let mut seen = Vec::new();
        let memory = &self.memory;
        let progress = self.queue.drain(memory, &self.interrupt, BUDGET, |chain| {
            seen.push((chain.readable(memory).len(), chain.writable(memory).len()));
            7
        });
        (progress, seen)
    }

    fn needs_reset(&mut self) -> bool {
        self.driver.status() & 0x40 != 0
    }
}

use crate::virtio::DeviceInfo;

#[test]
fn chains_come_back_in_order_with_what_was_written() {
    let mut bench = bench();
    let first = bench
        .driver
        .add(0, &[readable(BUFFERS, 16), writable(BUFFERS + 16, 8)]);
    let second = bench.driver.add(0, &[writable(BUFFERS, 1)]);
    assert_eq!(bench.drain(), (Progress::Idle, vec![(16, 8), (0, 1)]));
    assert_eq!(bench.driver.used(0), Some((first, 7)));
    assert_eq!(bench.driver.used(0), Some((second, 7)));
    assert_eq!(bench.driver.used(0), None);
    assert_eq!(bench.drain(), (Progress::Idle, vec![]));
}

#[test]
fn an_interrupt_comes_only_at_the_index_the_driver_asked_for() {
    let mut bench = bench();
    bench.driver.want_interrupt(0);
    for _ in 0..5 {
        bench.driver.add(0, &[writable(BUFFERS, 1)]);
    }
    let _ = bench.drain();
    assert_eq!(bench.driver.edges(), 1, "used_event is the first buffer");
    bench.driver.add(0, &[writable(BUFFERS, 1)]);
    let _ = bench.drain();
    assert_eq!(bench.driver.edges(), 1);
    while bench.driver.used(0).is_some() {}
    bench.driver.want_interrupt(0);
    bench.driver.add(0, &[writable(BUFFERS, 1)]);
    let _ = bench.drain();
    assert_eq!(bench.driver.edges(), 2);
}

#[test]
fn without_event_idx_every_used_buffer_interrupts() {
    let mut bench = bench_with(feature::VERSION_1);
    bench.driver.add(0, &[writable(BUFFERS, 1)]);
    bench.driver.add(0, &[writable(BUFFERS, 1)]);
    let _ = bench.drain();
    assert_eq!(bench.driver.edges(), 2);
}

#[test]
fn a_drained_queue_asks_for_its_next_buffer() {
    let mut bench = bench();
    for _ in 0..3 {
        bench.driver.add(0, &[writable(BUFFERS, 1)]);
    }
    let _ = bench.drain();
    assert_eq!(bench.driver.avail_event(0), 3);
}

#[test]
fn a_budget_ends_a_call_and_the_next_goes_on() {
    let mut bench = bench();
    for _ in 0..3 {
        bench.driver.add(0, &[writable(BUFFERS, 1)]);
    }
    let memory = bench.memory.clone();
    let mut served = 0;
    let mut call = |budget| {
        let progress = bench.queue.drain(&memory, &bench.interrupt, budget, |_| {
            served += 1;
            0
        });
        (progress, served)
    };
    assert_eq!(call(2), (Progress::Again, 2));
    assert_eq!(call(2), (Progress::Idle, 3));
}

#[test]
fn an_available_index_beyond_the_ring_stops_the_device_once() {
    let mut bench = bench();
    bench.driver.set_avail_index(0, 17);
    assert_eq!(bench.drain(), (Progress::Idle, vec![]));
    assert!(bench.needs_reset());
    let edges = bench.driver.edges();
    bench.driver.set_avail_index(0, 1);
    assert_eq!(bench.drain(), (Progress::Idle, vec![]));
    assert_eq!(bench.driver.edges(), edges, "a stopped ring is silent");
}

#[test]
fn a_head_outside_the_ring_stops_the_device() {
    let mut bench = bench();
    bench.driver.offer_head(0, 16);
    assert_eq!(bench.drain(), (Progress::Idle, vec![]));
    assert!(bench.needs_reset());
}

#[test]
fn chains_without_end_or_out_of_order_are_answered_with_nothing() {
    type Write = fn(&FakeDriver);
    let cases: [(&str, Write); 5] = [
        ("a loop", |driver| {
            driver.descriptor(0, 0, readable(BUFFERS, 1), NEXT, 1);
            driver.descriptor(0, 1, readable(BUFFERS, 1), NEXT, 0);
        }),
        ("a link out of the table", |driver| {
            driver.descriptor(0, 0, readable(BUFFERS, 1), NEXT, 16);
        }),
        ("lengths that sum to more than 32 bits", |driver| {
            driver.descriptor(0, 0, readable(BUFFERS, u32::MAX), NEXT, 1);
            driver.descriptor(0, 1, readable(BUFFERS, u32::MAX), 0, 0);
        }),
        ("a readable buffer after a writable one", |driver| {
            driver.descriptor(0, 0, writable(BUFFERS, 1), NEXT | WRITE, 1);
            driver.descriptor(0, 1, readable(BUFFERS, 1), 0, 0);
        }),
        ("an indirect table in a hole", |driver| {
            driver.descriptor(0, 0, readable(HOLE_START, 32), INDIRECT, 0);
        }),
    ];
    for (name, write) in cases {
        let mut bench = bench();
        write(&bench.driver);
        bench.driver.offer_head(0, 0);
        assert_eq!(bench.drain(), (Progress::Idle, vec![]), "{name}");
        assert_eq!(bench.driver.used(0), Some((0, 0)), "{name}");
        assert_eq!(bench.queue.malformed(), 1, "{name}");
        assert!(!bench.needs_reset(), "{name}");
    }
}

#[test]
fn an_indirect_table_is_followed_up_to_the_limit() {
    let table = BUFFERS + 0x1_0000;
    let chain = |entries: usize, nested: bool| {
        let mut bench = bench();
        for index in 0..entries {
            let last = index + 1 == entries;
            let link = if last { 0 } else { NEXT };
            let next = u16::try_from(index + 1).unwrap();
            let at = table + u64::try_from(index).unwrap() * 16;
            bench
                .driver
                .descriptor_at(at, readable(BUFFERS, 2), link, next);
        }
        if nested {
            bench
                .driver
                .descriptor_at(table, readable(table, 16), INDIRECT, 0);
        }
        let bytes = u32::try_from(entries * 16).unwrap();
        bench.driver.add_indirect(0, table, bytes);
        bench.drain().1
    };
    assert_eq!(chain(3, false), [(6, 0)]);
    assert_eq!(chain(MAX_SEGMENTS, false), [(256, 0)]);
    assert_eq!(chain(MAX_SEGMENTS + 1, false), []);
    assert_eq!(chain(2, true), [], "a table in a table");
}

#[test]
fn buffers_in_a_hole_or_across_the_end_of_memory_fail_and_write_no_further() {
    let bad = [
        (HOLE_START, 4),
        (HOLE_START - 2, 4),
        (RAM_END - 2, 4),
        (u64::MAX - 1, 4),
    ];
    for (address, length) in bad {
        let mut bench = bench();
        bench
            .driver
            .add(0, &[readable(address, length), writable(address, length)]);
        let memory = bench.memory.clone();
        let mut results = Vec::new();
        let _ = bench
            .queue
            .drain(&memory, &bench.interrupt, BUDGET, |chain| {
                results.push(chain.readable(&memory).read_at(0, &mut [0; 4]));
                results.push(chain.writable(&memory).write_at(0, &[0; 4]));
                0
            });
        assert_eq!(results, [Err(BadBuffer), Err(BadBuffer)], "{address:#x}");
    }
}

#[test]
fn a_buffer_is_one_sequence_whatever_its_pieces() {
    let mut bench = bench();
    let pieces = [
        readable(BUFFERS, 3),
        readable(BUFFERS + 10, 0),
        readable(BUFFERS + 20, 4),
    ];
    bench.driver.put(BUFFERS, b"abc");
    bench.driver.put(BUFFERS + 20, b"defg");
    bench.driver.add(0, &pieces);
    let memory = bench.memory.clone();
    let _ = bench
        .queue
        .drain(&memory, &bench.interrupt, BUDGET, |chain| {
            let buffer = chain.readable(&memory);
            let mut data = [0; 4];
            buffer.read_at(2, &mut data).unwrap();
            assert_eq!(&data, b"cdef");
            assert_eq!(buffer.read_at(4, &mut data), Err(BadBuffer));
            assert_eq!(buffer.read_at(u64::MAX, &mut data), Err(BadBuffer));
            assert_eq!(buffer.read_at(7, &mut []), Ok(()));
            0
        });
}

proptest! {
    #[test]
    fn random_tables_and_rings_never_panic_or_run_away(
        table in prop::collection::vec(any::<(u64, u32, u16, u16)>(), 16),
        ring in prop::collection::vec(0u16..20, 16),
        index in any::<u16>(),
        near in any::<bool>(),
    ) {
        let mut bench = bench();
        for (slot, (address, length, flags, next)) in (0u16..).zip(table) {
            let (address, flags, next) = match near {
                true => (address % (RAM_END + 0x1000), flags & 7, next % 17),
                false => (address, flags, next),
            };
            let buffer = readable(address, length % 0x2000);
            bench.driver.descriptor(0, slot, buffer, flags, next);
        }
        for head in ring {
            bench.driver.offer_head(0, head);
        }
        bench.driver.set_avail_index(0, if near { index % 17 } else { index });
        let memory = bench.memory.clone();
        let mut calls = 0;
        let progress = bench.queue.drain(&memory, &bench.interrupt, BUDGET, |chain| {
            calls += 1;
            let mut data = vec![0; 100];
            let _ = chain.readable(&memory).read_at(u64::from(index) % 50, &mut data);
            // A write may land in the rings: the device must live with what it finds there next.
            let _ = chain.writable(&memory).write_at(0, &data);
            u32::MAX
        });
        prop_assert!(calls <= BUDGET);
        prop_assert!(progress == Progress::Idle || calls > 0 || bench.queue.malformed() > 0);
    }
}
