use super::*;
use crate::virtio::fake_driver::*;

#[test]
fn the_configuration_is_the_padded_tag_and_the_number_of_request_queues() {
    let mut read = [0xff; 48];
    info("data").config.read(0, &mut read);
    assert_eq!(&read[..5], b"data\0");
    assert_eq!(&read[5..36], [0; 31]);
    assert_eq!(read[36..], [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
}

#[test]
fn a_tag_never_reaches_the_number_of_queues() {
    assert_eq!(config(&"t".repeat(40)).len(), 40);
}

/// What a driver has set up that offers all features, and the memory that it lies in.
fn driver() -> (ActiveState, GuestMemory) {
    let (interrupt, trigger) = interrupt();
    let memory = guest_memory();
    let mut driver = FakeDriver::cold(info("data"), &memory, &interrupt, &trigger);
    let activation = driver.negotiate(feature::COMMON).unwrap();
    (claim(activation).unwrap(), memory)
}

#[test]
fn queues_that_were_taken_back_are_saved_and_rebuilt_where_they_stood() {
    let (driver, memory) = driver();
    for (used, queue) in (4_u16..).zip(&driver.queues) {
        let index = GuestAddress(queue.used_ring + 2);
        memory.write_obj(used.to_le(), index).unwrap();
    }
    let saved = FsState::new(Some(taken_back(driver.clone(), &[5, 65_535], &memory)));
    let bytes = postcard::to_stdvec(&saved).unwrap();
    let read: FsState = postcard::from_bytes(&bytes).unwrap();
    assert_eq!(read, saved);
    let restored = read.restore(&memory).unwrap().unwrap();
    let places: Vec<_> = restored
        .queues
        .iter()
        .map(|queue| (queue.next_avail, queue.next_used))
        .collect();
    assert_eq!(places, [(5, 4), (65_535, 5)]);
    assert_eq!(restored.features, driver.features);
    assert_eq!(FsState::new(None).restore(&memory), Ok(None));
}

#[test]
fn saved_queues_that_no_driver_could_have_set_up_are_refused() {
    let (driver, memory) = driver();
    let restore = |change: fn(&mut ActiveState)| {
        let mut changed = driver.clone();
        change(&mut changed);
        FsState::new(Some(changed)).restore(&memory).unwrap_err()
    };
    let outside = restore(|driver| driver.queues[1].used_ring = HOLE_START);
    assert_eq!(outside, StateError::Queue { index: 1 });
    let count = restore(|driver| driver.queues.truncate(1));
    let (found, expected) = (1, QUEUES);
    assert_eq!(count, StateError::QueueCount { found, expected });
    let features = restore(|driver| driver.features = 0);
    assert!(matches!(features, StateError::Features { found: 0, .. }));
}
