use super::*;
use crate::virtio::fake_driver::*;
use crate::virtio::{Slot, Transport};

fn start() -> (Rng, FakeDriver) {
    let (interrupt, trigger) = interrupt();
    let memory = guest_memory();
    let mut rng = Rng::new(memory.clone(), Arc::clone(&interrupt));
    let driver = FakeDriver::start(&mut rng, &memory, &interrupt, &trigger);
    (rng, driver)
}

#[test]
fn a_request_is_filled() {
    let (mut rng, mut driver) = start();
    let head = driver.add(0, &[writable(BUFFERS, 600), writable(BUFFERS + 1000, 100)]);
    assert_eq!(rng.handle_queue(0), Progress::Idle);
    assert_eq!(driver.used(0), Some((head, 700)));
    let bytes = driver.get(BUFFERS, 1100);
    assert_ne!(bytes[..600], [0; 600]);
    assert_eq!(bytes[600..1000], [0; 400], "between the buffers");
    assert_ne!(bytes[1000..], [0; 100]);
}

#[test]
fn requests_that_were_there_before_the_activation_are_served_by_it() {
    let (interrupt, trigger) = interrupt();
    let memory = guest_memory();
    let mut rng = Rng::new(memory.clone(), Arc::clone(&interrupt));
    let mut driver = FakeDriver::cold(rng.info(), &memory, &interrupt, &trigger);
    let activation = driver.negotiate(rng.info().features).unwrap();
    for _ in 0..5 {
        driver.add(0, &[writable(BUFFERS, 40 * 1024)]);
    }
    assert_eq!(
        rng.handle_queue(0),
        Progress::Idle,
        "a notification too early"
    );
    rng.activate(activation);
    assert_eq!(std::iter::from_fn(|| driver.used(0)).count(), 5);
}

#[test]
fn a_page_mapped_many_times_into_a_chain_costs_no_more_than_the_limit() {
    let (mut rng, mut driver) = start();
    let head = driver.add(0, &[writable(BUFFERS, 0x10_0000); 60]);
    assert_eq!(rng.handle_queue(0), Progress::Idle);
    assert_eq!(driver.used(0), Some((head, 64 * 1024)));
}

#[test]
fn many_requests_are_served_over_several_calls() {
    let (mut rng, mut driver) = start();
    for _ in 0..10 {
        driver.add(0, &[writable(BUFFERS, 40 * 1024)]);
    }
    assert_eq!(rng.handle_queue(0), Progress::Again);
    let lengths = |driver: &mut FakeDriver| -> u64 {
        let used = std::iter::from_fn(|| driver.used(0));
        used.map(|(_, length)| u64::from(length)).sum()
    };
    assert_eq!(
        lengths(&mut driver),
        MAX_CALL_BYTES,
        "the last one was cut at the budget"
    );
    assert_eq!(rng.handle_queue(0), Progress::Idle);
    assert_eq!(lengths(&mut driver), 3 * 40 * 1024);
}

#[test]
fn requests_that_cannot_be_written_come_back_empty() {
    let (mut rng, mut driver) = start();
    for buffer in [
        readable(BUFFERS, 64),
        writable(HOLE_START, 64),
        writable(BUFFERS, 0),
    ] {
        let head = driver.add(0, &[buffer]);
        assert_eq!(rng.handle_queue(0), Progress::Idle);
        assert_eq!(driver.used(0), Some((head, 0)), "{buffer:?}");
    }
    assert_eq!(rng.counters().malformed, 1);
}

#[test]
fn a_reset_device_touches_no_memory() {
    let (mut rng, mut driver) = start();
    driver.add(0, &[writable(BUFFERS, 64)]);
    rng.reset();
    assert_eq!(rng.handle_queue(0), Progress::Idle);
    assert_eq!(driver.used(0), None);
    assert_eq!(
        rng.handle_queue(1),
        Progress::Idle,
        "a queue that does not exist"
    );
}

#[test]
fn a_restored_device_goes_on_where_it_was() {
    let (mut rng, mut driver) = start();
    driver.add(0, &[writable(BUFFERS, 8)]);
    assert_eq!(rng.handle_queue(0), Progress::Idle);
    driver.used(0).unwrap();
    let head = driver.add(0, &[writable(BUFFERS, 16)]);

    let bytes = postcard::to_allocvec(&(rng.save(), driver.transport.save())).unwrap();
    let (state, registers): (RngState, _) = postcard::from_bytes(&bytes).unwrap();
    let (interrupt, trigger) = interrupt();
    let memory = driver.memory.clone();
    let mut rng = Rng::restore(memory.clone(), Arc::clone(&interrupt), &state).unwrap();
    assert_eq!(rng.save(), state);
    let transport = Transport::restore(Slot(0), rng.info(), memory, interrupt, registers).unwrap();
    let mut driver = driver.moved_to(transport, &trigger);

    driver.want_interrupt(0);
    assert_eq!(rng.handle_queue(0), Progress::Idle);
    assert_eq!(driver.used(0), Some((head, 16)));
    assert_eq!(driver.edges(), 1);
}

#[test]
fn a_state_with_impossible_queues_is_refused() {
    let (rng, driver) = start();
    let good = rng.save().active.unwrap();
    let refused = |change: &dyn Fn(&mut ActiveState)| {
        let mut active = good.clone();
        change(&mut active);
        let state = RngState {
            active: Some(active),
        };
        Rng::restore(driver.memory.clone(), interrupt().0, &state).err()
    };
    assert_eq!(refused(&|_| ()), None);
    assert_eq!(
        refused(&|s| s.queues[0].size = 3),
        Some(StateError::Queue { index: 0 })
    );
    assert_eq!(
        refused(&|s| s.queues[0].used_ring = HOLE_START),
        Some(StateError::Queue { index: 0 })
    );
    assert!(matches!(
        refused(&|s| s.queues.clear()),
        Some(StateError::QueueCount { .. })
    ));
    assert!(matches!(
        refused(&|s| s.features = 0),
        Some(StateError::Features { .. })
    ));
}
