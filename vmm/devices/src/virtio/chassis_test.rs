//! Every device under a guest that writes anything anywhere: registers, descriptor tables, rings, buffers.

use std::sync::Arc;

use proptest::prelude::*;

use super::blk::{Access, Disk, Extent};
use super::fake_driver::*;
use super::{Balloon, Blk, Interrupt, Progress, Rng, VirtioDevice, Vsock};
use crate::GuestMemory;
use crate::bus::Effect;

type Make = fn(GuestMemory, Arc<Interrupt>) -> Box<dyn VirtioDevice>;

const DEVICES: [(&str, Make); 5] = [
    ("scratch disk", |memory, interrupt| {
        Box::new(Blk::new(disk(Access::Writable), "", memory, interrupt))
    }),
    ("image disk", |memory, interrupt| {
        Box::new(Blk::new(disk(Access::ReadOnly), "", memory, interrupt))
    }),
    ("rng", |memory, interrupt| {
        Box::new(Rng::new(memory, interrupt))
    }),
    ("balloon", |memory, interrupt| {
        Box::new(Balloon::new(memory, interrupt, Box::new(|_, _| Ok(()))))
    }),
    ("vsock", |memory, interrupt| {
        Box::new(Vsock::new(3, memory, interrupt))
    }),
];

fn disk(access: Access) -> Disk {
    let place = tempfile::NamedTempFile::new().unwrap();
    place.as_file().set_len(0x10_0000).unwrap();
    let file = match access {
        Access::ReadOnly => std::fs::File::open(place.path()).unwrap(),
        Access::Writable | Access::Temporary => place.reopen().unwrap(),
    };
    let extent = Extent {
        file,
        offset: 0,
        length: 0x10_0000,
    };
    Disk::new(vec![extent], access).unwrap()
}

#[derive(Debug, Clone)]
enum Act {
    Register {
        offset: u64,
        value: u32,
    },
    Status(u32),
    Negotiate,
    Descriptor {
        queue: usize,
        index: u16,
        address: u64,
        length: u32,
        flags: u16,
        next: u16,
    },
    Offer {
        queue: usize,
        head: u16,
    },
    Available {
        queue: usize,
        index: u16,
    },
    Memory {
        address: u64,
        bytes: Vec<u8>,
    },
    Serve(usize),
    Acknowledge,
}

fn act() -> impl Strategy<Value = Act> {
    let queue = || 0usize..4;
    let address = prop_oneof![0..RAM_END + 0x1000, any::<u64>(), 0x1000u64..0x1_1000];
    let length = prop_oneof![0u32..0x3000, any::<u32>()];
    prop_oneof![
        1 => (0u64..0x110, any::<u32>()).prop_map(|(offset, value)| Act::Register { offset, value }),
        1 => prop_oneof![Just(0), any::<u32>()].prop_map(Act::Status),
        2 => Just(Act::Negotiate),
        8 => (queue(), 0u16..16, address, length, 0u16..8, 0u16..18).prop_map(
            |(queue, index, address, length, flags, next)| Act::Descriptor {
                queue, index, address, length, flags, next,
            }
        ),
        8 => (queue(), 0u16..17).prop_map(|(queue, head)| Act::Offer { queue, head }),
        1 => (queue(), any::<u16>()).prop_map(|(queue, index)| Act::Available { queue, index }),
        4 => (0x1000..RAM_END - 64, prop::collection::vec(any::<u8>(), 1..64))
            .prop_filter("in a hole", |(address, _)| !(HOLE_START - 64..HOLE_END).contains(address))
            .prop_map(|(address, bytes)| Act::Memory { address, bytes }),
        8 => (0usize..5).prop_map(Act::Serve),
        1 => Just(Act::Acknowledge),
    ]
}

/// Does what the machine does with an effect.
fn apply(effect: Effect, device: &mut dyn VirtioDevice, driver: &mut FakeDriver) {
    match effect {
        Effect::Activate(activation) => device.activate(activation),
        Effect::ResetDevice(_) => {
            device.reset();
            driver.transport.reset_done();
        }
        Effect::Notify { queue, .. } => {
            let _ = device.handle_queue(queue);
        }
        Effect::None => {}
        Effect::Reset => panic!("a virtio device resets no machine"),
    }
}

fn perform(act: Act, device: &mut dyn VirtioDevice, driver: &mut FakeDriver) {
    let queues = device.info().queue_count();
    match act {
        Act::Register { offset, value } => {
            let effect = driver.write(offset, value);
            apply(effect, device, driver);
        }
        Act::Status(value) => {
            let effect = driver.write(0x70, value);
            apply(effect, device, driver);
        }
        Act::Negotiate => {
            let effect = driver.write(0x70, 0);
            apply(effect, device, driver);
            if let Some(activation) = driver.negotiate(device.info().features) {
                device.activate(activation);
            }
        }
        Act::Descriptor {
            queue,
            index,
            address,
            length,
            flags,
            next,
        } => {
            driver.descriptor(
                queue % queues,
                index,
                readable(address, length),
                flags,
                next,
            );
        }
        Act::Offer { queue, head } => driver.offer_head(queue % queues, head),
        Act::Available { queue, index } => driver.set_avail_index(queue % queues, index),
        Act::Memory { address, bytes } => driver.put(address, &bytes),
        Act::Serve(queue) => {
            // A bound on calls: a device may stay busy with what it wrote itself.
            for _ in 0..4 {
                if device.handle_queue(queue) == Progress::Idle {
                    break;
                }
            }
        }
        Act::Acknowledge => driver.set(0x64, u32::MAX),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn no_device_panics_whatever_its_guest_writes(
        which in 0..DEVICES.len(),
        acts in prop::collection::vec(act(), 1..150),
    ) {
        let (_, make) = DEVICES[which];
        let (interrupt, trigger) = interrupt();
        let memory = guest_memory();
        let mut device = make(memory.clone(), Arc::clone(&interrupt));
        let mut driver = FakeDriver::cold(device.info(), &memory, &interrupt, &trigger);
        for act in acts {
            perform(act, &mut *device, &mut driver);
        }
        device.reset();
        prop_assert!(!device.is_active());
    }
}

#[test]
fn every_device_starts_with_all_it_offers_and_with_the_least() {
    for (name, make) in DEVICES {
        for least in [false, true] {
            let (interrupt, trigger) = interrupt();
            let memory = guest_memory();
            let mut device = make(memory.clone(), Arc::clone(&interrupt));
            let offered = device.info().features;
            let features = if least {
                super::feature::VERSION_1
            } else {
                offered
            };
            FakeDriver::start_with(&mut *device, features, &memory, &interrupt, &trigger);
            assert!(device.is_active(), "{name}");
        }
    }
}

#[test]
fn every_device_serves_what_waited_for_its_activation() {
    for (name, make) in DEVICES {
        let (interrupt, trigger) = interrupt();
        let memory = guest_memory();
        let mut device = make(memory.clone(), Arc::clone(&interrupt));
        let mut driver = FakeDriver::cold(device.info(), &memory, &interrupt, &trigger);
        let activation = driver.negotiate(device.info().features).unwrap();
        // The one by which the guest asks: the second, where there are several.
        let queue = usize::from(device.info().queue_count() > 1);
        let head = driver.add(queue, &[writable(BUFFERS, 1)]);
        assert_eq!(device.handle_queue(queue), Progress::Idle, "{name}");
        device.activate(activation);
        assert_eq!(
            driver.used(queue).map(|(used, _)| used),
            Some(head),
            "{name}"
        );
    }
}
