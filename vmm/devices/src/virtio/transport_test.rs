use proptest::prelude::*;

use super::*;
use crate::virtio::fake_driver::*;
use crate::virtio::{ConfigSpace, StateError, feature};
use std::sync::Arc;
use virtio_queue::QueueT;

const NEEDS_RESET: u32 = 0x40;

fn info() -> DeviceInfo {
    DeviceInfo {
        device_type: 99,
        features: feature::COMMON | 1,
        queue_sizes: &[128, 16],
        config: Arc::new(ConfigSpace::new(vec![1, 2, 3, 4, 5])),
    }
}

fn driver() -> (FakeDriver, Arc<Interrupt>) {
    let (interrupt, trigger) = interrupt();
    let driver = FakeDriver::cold(info(), &guest_memory(), &interrupt, &trigger);
    (driver, interrupt)
}

#[test]
fn an_orderly_driver_gets_its_queues_and_features() {
    let (mut driver, _) = driver();
    let activation = driver.negotiate(feature::VERSION_1 | 1).unwrap();
    assert_eq!(activation.slot(), Slot(0));
    let claimed = activation.claim().unwrap();
    assert_eq!(claimed.features, feature::VERSION_1 | 1);
    let sizes: Vec<u16> = claimed.queues.iter().map(QueueT::size).collect();
    assert_eq!(sizes, [128, 16]);
    assert_eq!(claimed.queues[1].desc_table(), 0x5000);
    assert!(!claimed.queues[0].event_idx_enabled());
    assert_eq!(driver.status(), 0xf);
}

#[test]
fn identity_registers_name_a_modern_device() {
    let (mut driver, _) = driver();
    assert_eq!(driver.read(0), u32::from_le_bytes(*b"virt"));
    assert_eq!(driver.read(4), 2);
    assert_eq!(driver.read(8), 99);
    driver.set(register::QUEUE_SELECT, 1);
    assert_eq!(driver.read(register::QUEUE_SIZE_MAX), 16);
    driver.set(register::QUEUE_SELECT, 2);
    assert_eq!(driver.read(register::QUEUE_SIZE_MAX), 0);
    driver.set(register::DEVICE_FEATURES_SELECT, 1);
    assert_eq!(driver.read(register::DEVICE_FEATURES), 1);
    driver.set(register::DEVICE_FEATURES_SELECT, 2);
    assert_eq!(driver.read(register::DEVICE_FEATURES), 0);
    assert_eq!(driver.read(0xb0), u32::MAX, "no shared memory region");
}

#[test]
fn a_hidden_device_is_found_at_the_second_look_even_in_a_rebuilt_machine() {
    let (mut driver, _) = driver();
    driver.transport.hide_once();
    assert_eq!(driver.read(register::MAGIC_VALUE), MAGIC);
    let (mut rebuilt, _) = restored(driver.transport.save()).unwrap();
    for transport in [&mut driver.transport, &mut rebuilt] {
        let mut look = || {
            let mut id = [0; 4];
            transport.read(register::DEVICE_ID, &mut id);
            u32::from_le_bytes(id)
        };
        assert_eq!([look(), look(), look()], [0, 99, 99]);
    }
}

#[test]
fn features_without_version_1_or_never_offered_are_refused() {
    for features in [1, feature::VERSION_1 | 2, feature::VERSION_1 | 1 << 40] {
        let (mut driver, _) = driver();
        driver.offer(features);
        assert_eq!(driver.status(), 3, "features {features:#x}");
    }
}

#[test]
fn status_steps_that_skip_or_go_back_are_ignored() {
    let (mut driver, _) = driver();
    for wrong in [2, 3, 0xb, 0xf, 4, 8] {
        driver.set(register::STATUS, wrong);
        assert_eq!(driver.status(), 0, "from 0 to {wrong:#x}");
    }
    driver.offer(feature::VERSION_1);
    for wrong in [1, 3, 7, 0xa] {
        driver.set(register::STATUS, wrong);
        assert_eq!(driver.status(), 0xb, "from 0xb to {wrong:#x}");
    }
}

#[test]
fn a_driver_that_gives_up_must_reset_first() {
    let (mut driver, _) = driver();
    driver.set(register::STATUS, 1);
    driver.set(register::STATUS, 0x81);
    driver.set(register::STATUS, 3);
    assert_eq!(driver.status(), 0x81);
    driver.set(register::STATUS, 0);
    assert_eq!(driver.status(), 0);
    assert!(driver.negotiate(feature::VERSION_1).is_some());
}

#[test]
fn feature_and_queue_writes_after_driver_ok_change_nothing() {
    let (mut driver, _) = driver();
    driver.negotiate(feature::VERSION_1).unwrap();
    let before = driver.transport.save();
    driver.set(register::DRIVER_FEATURES, u32::MAX);
    driver.set(register::QUEUE_SIZE, 2);
    driver.set(register::QUEUE_READY, 0);
    driver.set(register::QUEUE_DESC_LOW, 0x8000);
    driver.set(register::QUEUE_DEVICE_HIGH, 1);
    driver.set(register::STATUS, 0xf);
    assert_eq!(driver.transport.save(), before);
}

#[test]
fn a_ready_queue_keeps_its_configuration() {
    let (mut driver, _) = driver();
    driver.offer(feature::VERSION_1);
    driver.set_queues();
    let before = driver.transport.save();
    driver.set(register::QUEUE_SIZE, 0);
    driver.set(register::QUEUE_DRIVER_LOW, 0);
    assert_eq!(driver.transport.save(), before);
}

#[test]
fn queues_of_impossible_size_never_start_the_device() {
    for size in [0, 3, 100, 256, 0x8000, 0x1_0000, 0x1_0080, u32::MAX] {
        let (mut driver, _) = driver();
        driver.offer(feature::VERSION_1);
        driver.set_queues();
        driver.set(register::QUEUE_SELECT, 0);
        driver.set(register::QUEUE_READY, 0);
        driver.set(register::QUEUE_SIZE, size);
        driver.set(register::QUEUE_READY, 1);
        driver.set(register::STATUS, 0xf);
        assert_eq!(driver.status(), 0xf | NEEDS_RESET, "size {size}");
        assert_eq!(driver.edges(), 1, "size {size}");
    }
}

#[test]
fn rings_outside_memory_or_misaligned_never_start_the_device() {
    let places = [
        (register::QUEUE_DESC_LOW, 0x1008),
        (register::QUEUE_DRIVER_LOW, 0x2001),
        (register::QUEUE_DEVICE_LOW, 0x3002),
        (
            register::QUEUE_DESC_LOW,
            u32::try_from(HOLE_START).unwrap() - 16,
        ),
        (
            register::QUEUE_DRIVER_LOW,
            u32::try_from(HOLE_START).unwrap(),
        ),
        (
            register::QUEUE_DEVICE_LOW,
            u32::try_from(RAM_END).unwrap() - 4,
        ),
        (register::QUEUE_DRIVER_LOW, 0),
        (register::QUEUE_DESC_HIGH, u32::MAX),
        (register::QUEUE_DEVICE_HIGH, 1),
    ];
    for (offset, value) in places {
        let (mut driver, _) = driver();
        driver.offer(feature::VERSION_1);
        driver.set_queues();
        driver.set(register::QUEUE_SELECT, 0);
        driver.set(register::QUEUE_READY, 0);
        driver.set(offset, value);
        driver.set(register::QUEUE_READY, 1);
        driver.set(register::STATUS, 0xf);
        assert_eq!(
            driver.status(),
            0xf | NEEDS_RESET,
            "{offset:#x} := {value:#x}"
        );
    }
}

#[test]
fn a_queue_that_is_not_ready_never_starts_the_device() {
    let (mut driver, _) = driver();
    driver.offer(feature::VERSION_1);
    driver.set_queue(0);
    driver.set(register::QUEUE_READY, 1);
    driver.set(register::STATUS, 0xf);
    assert_eq!(driver.status(), 0xf | NEEDS_RESET);
    driver.set(register::STATUS, 0);
    assert_eq!(driver.status(), 0, "a failed start needs no owner to reset");
}

#[test]
fn a_reset_reads_back_only_when_the_owner_is_quiescent() {
    let (mut driver, interrupt) = driver();
    driver.negotiate(feature::VERSION_1).unwrap();
    let effect = driver.write(register::STATUS, 0);
    assert!(matches!(effect, Effect::ResetDevice(Slot(0))));
    interrupt.signal_queue(); // The owner finishes its last request.
    assert_eq!(driver.status(), 0xf);
    driver.set(register::STATUS, 0);
    driver.set(register::STATUS, 1);
    assert_eq!(driver.status(), 0xf);
    driver.transport.reset_done();
    assert_eq!(driver.status(), 0);
    assert_eq!(driver.read(register::INTERRUPT_STATUS), 0);
    assert!(driver.negotiate(feature::VERSION_1).is_some());
    driver.transport.reset_done();
    assert_eq!(
        driver.status(),
        0xf,
        "an acknowledgement that nobody asked for"
    );
}

#[test]
fn an_activation_that_a_reset_overtook_cannot_be_claimed() {
    let (mut driver, _) = driver();
    let activation = driver.negotiate(feature::VERSION_1).unwrap();
    assert!(matches!(
        driver.write(register::STATUS, 0),
        Effect::ResetDevice(_)
    ));
    driver.transport.reset_done();
    let newer = driver.negotiate(feature::VERSION_1).unwrap();
    assert!(activation.claim().is_none());
    assert!(newer.claim().is_some());
}

#[test]
fn accesses_of_odd_size_or_alignment_read_zero_and_write_nothing() {
    let (mut driver, _) = driver();
    let before = driver.transport.save();
    for size in [0, 1, 2, 3, 5, 8, 16] {
        let mut data = vec![0xaa; size];
        driver.transport.read(0, &mut data);
        assert_eq!(data, vec![0; size]);
        let effect = driver.transport.write(register::STATUS, &vec![1; size]);
        assert!(matches!(effect, Effect::None));
    }
    for offset in 0..CONFIG_START {
        if offset % 4 != 0 {
            assert_eq!(driver.read(offset), 0, "read at {offset:#x}");
            driver.set(offset, u32::MAX);
        }
    }
    assert_eq!(driver.transport.save(), before);
}

#[test]
fn configuration_reads_of_any_size_end_in_zeroes() {
    let (mut driver, _) = driver();
    let mut data = [0xaa; 8];
    driver.transport.read(CONFIG_START + 3, &mut data);
    assert_eq!(data, [4, 5, 0, 0, 0, 0, 0, 0]);
    driver.transport.read(CONFIG_START + 0xeff, &mut data);
    assert_eq!(data, [0; 8]);
    driver.transport.read(u64::MAX, &mut data);
    assert_eq!(data, [0; 8]);
}

#[test]
fn a_replaced_configuration_steps_the_generation() {
    let (mut driver, interrupt) = driver();
    let config = Arc::clone(&driver.transport.info.config);
    config.replace(vec![9]);
    interrupt.signal_config();
    assert_eq!(driver.read(register::CONFIG_GENERATION), 1);
    assert_eq!(driver.read(CONFIG_START), 9);
    assert_eq!(driver.read(register::INTERRUPT_STATUS), 2);
    driver.set(register::INTERRUPT_ACK, 2);
    assert_eq!(driver.read(register::INTERRUPT_STATUS), 0);
    assert_eq!(driver.edges(), 1);
}

#[test]
fn notifications_count_only_for_queues_of_a_running_device() {
    let (mut driver, _) = driver();
    driver.set(MMIO_QUEUE_NOTIFY, 0);
    driver.negotiate(feature::VERSION_1).unwrap();
    let effect = driver.write(MMIO_QUEUE_NOTIFY, 1);
    assert!(matches!(
        effect,
        Effect::Notify {
            slot: Slot(0),
            queue: 1
        }
    ));
    driver.set(MMIO_QUEUE_NOTIFY, 2);
    driver.set(MMIO_QUEUE_NOTIFY, u32::MAX);
}

fn restored(state: TransportState) -> Result<(Transport, Arc<Interrupt>), StateError> {
    let bytes = postcard::to_allocvec(&state).unwrap();
    let state = postcard::from_bytes(&bytes).unwrap();
    let (interrupt, _) = interrupt();
    let transport = Transport::restore(
        Slot(0),
        info(),
        guest_memory(),
        Arc::clone(&interrupt),
        state,
    )?;
    Ok((transport, interrupt))
}

#[test]
fn saved_registers_come_back_in_every_phase() {
    let (mut driver, interrupt) = driver();
    let check = |driver: &FakeDriver| {
        let state = driver.transport.save();
        let (transport, _) = restored(state.clone()).unwrap();
        assert_eq!(transport.save(), state);
    };
    check(&driver);
    driver.offer(feature::VERSION_1);
    check(&driver);
    driver.set_queues();
    check(&driver);
    assert!(matches!(
        driver.write(register::STATUS, 0xf),
        Effect::Activate(_)
    ));
    interrupt.signal_queue();
    driver.transport.info.config.replace(vec![7]);
    check(&driver);
    assert!(matches!(
        driver.write(register::STATUS, 0),
        Effect::ResetDevice(_)
    ));
    let (transport, _) = restored(driver.transport.save()).unwrap();
    driver.transport.reset_done();
    assert_eq!(transport.save().status, 0);
}

#[test]
fn a_restored_running_device_can_be_reset() {
    let (mut driver, _) = driver();
    driver.negotiate(feature::VERSION_1).unwrap();
    let (mut transport, _) = restored(driver.transport.save()).unwrap();
    let effect = transport.write(register::STATUS, &[0; 4]);
    assert!(matches!(effect, Effect::ResetDevice(_)));
}

#[test]
fn states_that_no_driver_can_cause_are_refused() {
    let (mut driver, _) = driver();
    driver.negotiate(feature::VERSION_1).unwrap();
    let good = driver.transport.save();
    let refused = |change: &dyn Fn(&mut TransportState)| {
        let mut state = good.clone();
        change(&mut state);
        restored(state).err()
    };
    assert_eq!(refused(&|_| ()), None);
    let wrong_type = StateError::DeviceType {
        found: 2,
        expected: 99,
    };
    assert_eq!(refused(&|s| s.device_type = 2), Some(wrong_type));
    assert_eq!(refused(&|s| s.status = 0xb), Some(StateError::Status(0xb)));
    assert_eq!(
        refused(&|s| s.status = 0x1f),
        Some(StateError::Status(0x1f))
    );
    let count = StateError::QueueCount {
        found: 1,
        expected: 2,
    };
    assert_eq!(refused(&|s| s.queues.truncate(1)), Some(count));
    let queue = Some(StateError::Queue { index: 1 });
    assert_eq!(refused(&|s| s.queues[1].size = 0), queue);
    assert_eq!(refused(&|s| s.queues[1].size = 128), queue);
    assert_eq!(refused(&|s| s.queues[1].desc_table = !15), queue);
    let features = refused(&|s| s.driver_features = 1).unwrap();
    assert_eq!(
        features.to_string(),
        "saved features 0x1 cannot come from an offer of 0x130000001"
    );
}

proptest! {
    #[test]
    fn random_register_writes_never_panic_and_activate_only_valid_queues(
        writes in prop::collection::vec((0u64..0x120, 0usize..9, any::<u64>(), any::<bool>()), 0..200),
        orderly in 0usize..4,
    ) {
        let (mut driver, _) = driver();
        if orderly > 0 { driver.offer(feature::VERSION_1); }
        if orderly > 1 { driver.set_queues(); }
        if orderly > 2 { prop_assert!(matches!(driver.write(register::STATUS, 0xf), Effect::Activate(_))); }
        let memory = guest_memory();
        for (offset, size, value, word) in writes {
            let (offset, size) = if word { (offset & !3, 4) } else { (offset, size) };
            let effect = driver.transport.write(offset, &value.to_le_bytes()[..size.min(8)]);
            if let Effect::Activate(activation) = effect {
                for queue in activation.claim().unwrap().queues {
                    prop_assert!(queue.is_valid(&memory));
                }
            }
            let mut data = vec![0; size];
            driver.transport.read(offset, &mut data);
        }
        let state = driver.transport.save();
        prop_assert!(restored(state).is_ok());
    }

    #[test]
    fn random_saved_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(state) = postcard::from_bytes::<TransportState>(&bytes) {
            let _ = restored(state);
        }
    }
}
