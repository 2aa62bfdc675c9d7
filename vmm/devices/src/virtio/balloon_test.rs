use std::sync::Mutex;

use proptest::prelude::*;
use vm_memory::Bytes;

use super::*;
use crate::virtio::fake_driver::*;
use crate::virtio::transport::registers::register;
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

/// Writes a list of pages where a chain can name it.
fn list(driver: &FakeDriver, pages: &[u32]) -> Buffer {
    let bytes: Vec<u8> = pages.iter().flat_map(|page| page.to_le_bytes()).collect();
    driver
        .memory
        .write_slice(&bytes, GuestAddress(BUFFERS))
        .unwrap();
    readable(BUFFERS, u32::try_from(bytes.len()).unwrap())
}

const FIRST_PAGE: u32 = 0x300;
const _: () = assert!(FIRST_PAGE as u64 * PAGE == BUFFERS);

/// The driver's answer: that this many pages are available, beside something else.
fn say(driver: &mut FakeDriver, pages: u64) {
    let mut bytes = vec![];
    for (number, value) in [(4u16, 0), (AVAILABLE, pages * PAGE)] {
        bytes.extend(number.to_le_bytes());
        bytes.extend(value.to_le_bytes());
    }
    let address = BUFFERS + 0x8000;
    driver
        .memory
        .write_slice(&bytes, GuestAddress(address))
        .unwrap();
    driver.add(STATISTICS, &[readable(address, 20)]);
}

fn wanted(driver: &mut FakeDriver) -> (u32, u32) {
    let pages = driver.read(0x100);
    (pages, driver.read(register::CONFIG_GENERATION))
}

#[test]
fn a_guest_is_asked_for_half_of_what_it_now_has_and_told_when_it_may_have_it_back() {
    let (mut balloon, mut driver, _) = start();
    say(&mut driver, 5000);
    assert_eq!(balloon.handle_queue(STATISTICS), Progress::Idle);
    assert_eq!(driver.used(STATISTICS), None, "nobody asked");

    balloon.press();
    assert!(driver.used(STATISTICS).is_some());
    assert_eq!(wanted(&mut driver), (0, 0), "that answer was an old one");
    say(&mut driver, 600);
    assert_eq!(balloon.handle_queue(STATISTICS), Progress::Idle);
    assert_eq!(wanted(&mut driver), (300, 1));

    // It has given two pages, and could spare fewer now.
    let given = list(&driver, &[FIRST_PAGE, FIRST_PAGE + 1]);
    driver.add(INFLATE, &[given]);
    assert_eq!(balloon.handle_queue(INFLATE), Progress::Idle);
    for pages in [600, 400] {
        say(&mut driver, pages);
    }
    balloon.press();
    assert_eq!(wanted(&mut driver), (202, 2));

    balloon.release();
    assert_eq!(wanted(&mut driver), (0, 3));
    balloon.release();
    assert_eq!(wanted(&mut driver), (0, 3));
}

#[test]
fn a_guest_that_says_nothing_or_nonsense_is_asked_for_nothing() {
    let (mut balloon, mut driver, _) = start();
    balloon.press();
    for buffer in [readable(HOLE_START, 20), readable(BUFFERS, 3)] {
        driver.add(STATISTICS, &[buffer]);
        assert_eq!(balloon.handle_queue(STATISTICS), Progress::Idle);
    }
    assert_eq!(wanted(&mut driver), (0, 0));
    say(&mut driver, u64::MAX / PAGE);
    say(&mut driver, u64::MAX / PAGE);
    balloon.press();
    assert_eq!(wanted(&mut driver), (u32::MAX, 1));
}

#[test]
fn pages_that_the_guest_gives_up_are_discarded_neighbours_together() {
    let (mut balloon, mut driver, discarded) = start();
    let pages = [FIRST_PAGE + 3, FIRST_PAGE + 1, FIRST_PAGE, FIRST_PAGE + 1];
    let list = list(&driver, &pages);
    let head = driver.add(INFLATE, &[list]);
    assert_eq!(balloon.handle_queue(INFLATE), Progress::Idle);
    assert_eq!(driver.used(INFLATE), Some((head, 0)));
    let expected = [(BUFFERS, 2 * PAGE), (BUFFERS + 3 * PAGE, PAGE)];
    assert_eq!(taken(&discarded), expected);
}

#[test]
fn pages_that_the_guest_takes_back_are_left_alone() {
    let (mut balloon, mut driver, discarded) = start();
    let list = list(&driver, &[FIRST_PAGE]);
    let head = driver.add(DEFLATE, &[list]);
    assert_eq!(balloon.handle_queue(DEFLATE), Progress::Idle);
    assert_eq!(driver.used(DEFLATE), Some((head, 0)));
    assert_eq!(taken(&discarded), []);
}

#[test]
fn listed_pages_outside_memory_are_counted_and_a_list_has_a_bound() {
    let (mut balloon, mut driver, discarded) = start();
    let outside = u32::try_from(HOLE_START / PAGE).unwrap();
    let list = list(&driver, &[outside, u32::MAX, FIRST_PAGE]);
    driver.add(INFLATE, &[readable(HOLE_START, 64)]);
    driver.add(INFLATE, &[list]);
    assert_eq!(balloon.handle_queue(INFLATE), Progress::Idle);
    assert_eq!(taken(&discarded), [(BUFFERS, PAGE)]);
    assert_eq!(balloon.counters().malformed, 3);
    driver.add(INFLATE, &[readable(0, 0x4000)]);
    assert_eq!(balloon.handle_queue(INFLATE), Progress::Idle);
    let bytes: u64 = taken(&discarded).iter().map(|(_, length)| length).sum();
    assert!(bytes <= MAX_PAGES as u64 * PAGE, "{bytes}");
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
    let (mut balloon, mut driver, _) = start();
    say(&mut driver, 14);
    say(&mut driver, 14);
    balloon.press();
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
    assert_eq!(driver.read(0x100), 7);

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
