use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::virtio::{DeviceInfo, Interrupt, Trigger};
use crate::{ConsoleRing, EarlyConsole, GuestMemory, ResetPort, early_console, reset_port};

struct Silent;

impl Trigger for Silent {
    fn trigger(&self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Remembers nothing, answers with its offset.
struct Echo;

impl PortDevice for Echo {
    fn read(&mut self, offset: u16) -> u8 {
        u8::try_from(offset).unwrap()
    }

    fn write(&mut self, _offset: u16, value: u8) -> Effect {
        if value == 0xfe {
            Effect::Reset
        } else {
            Effect::None
        }
    }
}

fn ports(base: u16, len: u16) -> PortRange {
    PortRange {
        base,
        len,
        device: Box::new(Echo),
    }
}

fn window(base: u64, slot: u8) -> MmioRange {
    let memory = GuestMemory::from_ranges(&[(vm_memory::GuestAddress(0), 0x1000)]).unwrap();
    let info = DeviceInfo {
        device_type: slot.into(),
        features: 0,
        queue_sizes: &[],
        config: Arc::default(),
    };
    let transport = Transport::new(Slot(slot), info, memory, Interrupt::new(Box::new(Silent)));
    MmioRange { base, transport }
}

#[test]
fn overlapping_ranges_are_refused_in_any_order() {
    let error = PortBus::new(vec![ports(0x64, 8), ports(0x60, 5)])
        .err()
        .unwrap();
    assert_eq!(error.to_string(), "bus range 0x64+0x8 overlaps 0x60+0x5");
    assert!(PortBus::new(vec![ports(0x64, 8), ports(0x60, 4)]).is_ok());
    let error = MmioBus::new(vec![window(0x1000, 0), window(0x1fff, 1)])
        .err()
        .unwrap();
    assert_eq!(
        error.to_string(),
        "bus range 0x1fff+0x1000 overlaps 0x1000+0x1000"
    );
}

#[test]
fn empty_and_wrapping_ranges_are_refused() {
    let error = PortBus::new(vec![ports(0x60, 0)]).err().unwrap();
    assert_eq!(
        error.to_string(),
        "bus range 0x60+0x0 is empty or ends beyond 0xffff"
    );
    assert!(PortBus::new(vec![ports(0xffff, 2)]).is_err());
    assert!(PortBus::new(vec![ports(0xffff, 1)]).is_ok());
    assert!(MmioBus::new(vec![window(u64::MAX - 0xffe, 0)]).is_err());
    assert!(MmioBus::new(vec![window(u64::MAX - 0xfff, 0)]).is_ok());
}

#[test]
fn a_slot_is_on_the_bus_once() {
    let error = MmioBus::new(vec![window(0x1000, 7), window(0x8000, 7)])
        .err()
        .unwrap();
    assert_eq!(error.to_string(), "slot 7 is on the bus twice");
}

#[test]
fn bytes_of_a_wide_port_access_go_to_successive_ports() {
    let bus = PortBus::new(vec![ports(0x60, 2), ports(0x63, 1)]).unwrap();
    let mut data = [0; 4];
    bus.read(0x60, &mut data);
    assert_eq!(data, [0, 1, 0xff, 0]);
    bus.read(0xfffe, &mut data);
    assert_eq!(data, [0xff; 4]);
    assert!(matches!(bus.write(0x5f, &[0, 0xfe]), Effect::Reset));
    assert!(matches!(bus.write(0x62, &[0xfe]), Effect::None));
}

#[test]
fn memory_accesses_find_the_window_that_holds_their_address() {
    let bus = MmioBus::new(vec![window(0x8000, 3), window(0x1000, 2)]).unwrap();
    let device_type = |address| {
        let mut data = [0; 4];
        bus.read(address, &mut data);
        u32::from_le_bytes(data)
    };
    assert_eq!(device_type(0x1008), 2);
    assert_eq!(device_type(0x8008), 3);
    for nobody in [0, 0xffc, 0x2000, 0x7ffc, 0x9000, u64::MAX] {
        assert_eq!(device_type(nobody), u32::MAX, "{nobody:#x}");
    }
    assert!(bus.save(Slot(2)).is_some());
    assert!(bus.save(Slot(9)).is_none());
    bus.reset_done(Slot(9));
}

proptest! {
    #[test]
    fn no_access_of_any_address_or_size_fails(
        accesses in prop::collection::vec((any::<u64>(), any::<u16>(), prop::collection::vec(any::<u8>(), 0..17)), 0..100)
    ) {
        let mmio = MmioBus::new(vec![window(0, 0), window(u64::MAX - 0xfff, 1)]).unwrap();
        let console = EarlyConsole::new(ConsoleRing::new(), None);
        let port = PortBus::new(vec![
            PortRange { base: reset_port::BASE, len: reset_port::LEN, device: Box::new(ResetPort) },
            PortRange { base: early_console::BASE, len: early_console::LEN, device: Box::new(console) },
        ]).unwrap();
        for (address, number, mut data) in accesses {
            for address in [address, address % 0x1000, u64::MAX - address % 0x1000] {
                let _ = mmio.write(address, &data);
                mmio.read(address, &mut data);
            }
            for number in [number, number % 0x400] {
                let _ = port.write(number, &data);
                port.read(number, &mut data);
            }
        }
    }
}
