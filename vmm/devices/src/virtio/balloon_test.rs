use std::sync::Mutex;

use proptest::prelude::*;

use super::*;
use crate::virtio::fake_driver::*;
use crate::virtio::{Slot, Transport};

type Discarded = Arc<Mutex<Vec<(u64, u64)>>>;

fn recorder() -> (Discarded, Discard) {
    let discarded = Discarded::default();
    let record = Arc::clone(&discarded);
    let discard = move |address: GuestAddress, length| {
        record.lock().unwrap().push((address.0, length));
        Ok(())
    };
    (discarded, Box::new(discard))
}

fn start() -> (Balloon, FakeDriver, Discarded) {
    let (interrupt, trigger) = interrupt();
    let memory = guest_memory();
    let (discarded, discard) = recorder();
    let mut balloon = Balloon::new(memory.clone(), Arc::clone(&interrupt), discard);
    let driver = FakeDriver::start(&mut balloon, &memory, &interrupt, &trigger);
    (balloon, driver, discarded)
}

fn taken(discarded: &Discarded) -> Vec<(u64, u64)> {
    std::mem::take(&mut discarded.lock().unwrap())
}

#[test]
fn reported_pages_are_discarded() {
    let (mut balloon, mut driver, discarded) = start();
    let ranges = [
        writable(BUFFERS, 0x1000),
        writable(BUFFERS + 0x2000, 0x1000),
    ];
    let head = driver.add(REPORTS, &ranges);
    assert_eq!(balloon.handle_queue(REPORTS), Progress::Idle);
    assert_eq!(driver.used(REPORTS), Some((head, 0)));
    let expected = [(BUFFERS, 0x1000), (BUFFERS + 0x2000, 0x1000)];
    assert_eq!(taken(&discarded), expected);
    assert_eq!(balloon.counters().discarded_bytes, 0x2000);
}

#[test]
fn pages_that_are_given_to_a_balloon_that_asked_for_none_stay() {
    let (mut balloon, mut driver, discarded) = start();
    for queue in [0, 1] {
        let head = driver.add(queue, &[readable(BUFFERS, 64)]);
        assert_eq!(balloon.handle_queue(queue), Progress::Idle);
        assert_eq!(driver.used(queue), Some((head, 0)));
    }
    assert_eq!(taken(&discarded), []);
}

#[test]
fn parts_of_pages_and_readable_buffers_are_left_alone() {
    let (mut balloon, mut driver, discarded) = start();
    let ranges = [
        readable(BUFFERS, 0x1000),
        writable(BUFFERS + 8, 0x1000),
        writable(BUFFERS + 8, 0x2000),
        writable(BUFFERS, 0),
    ];
    driver.add(REPORTS, &ranges);
    assert_eq!(balloon.handle_queue(REPORTS), Progress::Idle);
    assert_eq!(taken(&discarded), [(BUFFERS + 0x1000, 0x1000)]);
}

#[test]
fn what_is_not_guest_memory_is_counted_and_its_neighbours_are_discarded() {
    let (mut balloon, mut driver, discarded) = start();
    let ranges = [
        writable(HOLE_START, 0x1000),
        writable(HOLE_START - 0x1000, 0x2000),
        writable(1 << 60, 0x1000),
        writable(BUFFERS, 0x1000),
    ];
    driver.add(REPORTS, &ranges);
    assert_eq!(balloon.handle_queue(REPORTS), Progress::Idle);
    assert_eq!(taken(&discarded), [(BUFFERS, 0x1000)]);
    assert_eq!(balloon.counters().malformed, 3);
}

#[test]
fn a_host_that_does_not_take_pages_back_is_counted() {
    let (mut balloon, mut driver, _) = start();
    balloon.discard = Box::new(|_, _| Err(io::ErrorKind::OutOfMemory.into()));
    let head = driver.add(REPORTS, &[writable(BUFFERS, 0x1000)]);
    assert_eq!(balloon.handle_queue(REPORTS), Progress::Idle);
    assert_eq!(driver.used(REPORTS), Some((head, 0)));
    assert_eq!(balloon.counters().host_errors, 1);
}

#[test]
fn many_reports_are_served_over_several_calls() {
    let (mut balloon, mut driver, discarded) = start();
    for _ in 0..=CALL_BUDGET {
        driver.add(REPORTS, &[writable(BUFFERS, 0x1000)]);
    }
    assert_eq!(balloon.handle_queue(REPORTS), Progress::Again);
    assert_eq!(taken(&discarded).len(), CALL_BUDGET);
    assert_eq!(balloon.handle_queue(REPORTS), Progress::Idle);
    assert_eq!(taken(&discarded).len(), 1);
}

#[test]
fn a_reset_device_discards_nothing() {
    let (mut balloon, mut driver, discarded) = start();
    driver.add(REPORTS, &[writable(BUFFERS, 0x1000)]);
    balloon.reset();
    assert_eq!(balloon.handle_queue(REPORTS), Progress::Idle);
    assert_eq!(taken(&discarded), []);
}

#[test]
fn a_restored_device_goes_on_where_it_was() {
    let (balloon, mut driver, _) = start();
    let head = driver.add(REPORTS, &[writable(BUFFERS, 0x1000)]);
    let bytes = postcard::to_allocvec(&(balloon.save(), driver.transport.save())).unwrap();
    let (state, registers): (BalloonState, _) = postcard::from_bytes(&bytes).unwrap();
    let (interrupt, trigger) = interrupt();
    let memory = driver.memory.clone();
    let (discarded, discard) = recorder();
    let mut balloon =
        Balloon::restore(memory.clone(), Arc::clone(&interrupt), discard, &state).unwrap();
    assert_eq!(balloon.save(), state);
    let transport =
        Transport::restore(Slot(0), balloon.info(), memory, interrupt, registers).unwrap();
    let mut driver = driver.moved_to(transport, &trigger);

    assert_eq!(balloon.handle_queue(REPORTS), Progress::Idle);
    assert_eq!(driver.used(REPORTS), Some((head, 0)));
    assert_eq!(taken(&discarded), [(BUFFERS, 0x1000)]);
}

proptest! {
    #[test]
    fn only_pages_within_the_range_are_taken(address in 0u64..1 << 40, length in 0u64..1 << 32) {
        let (start, taken) = whole_pages(GuestAddress(address), length);
        prop_assert_eq!(start.0 % PAGE, 0);
        prop_assert_eq!(taken % PAGE, 0);
        prop_assert!(taken == 0 || (start.0 >= address && start.0 + taken <= address + length));
        prop_assert!(length < 2 * PAGE || taken > length - 2 * PAGE);
    }
}
