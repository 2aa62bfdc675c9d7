//! Interrupts from devices to vCPUs: the IOAPIC's registers, and KVM to carry its messages.

use std::io;

use bulkhead_kvm::Vm;
use bulkhead_kvm::vm::Message;

use crate::ioapic::{Ioapic, IoapicState, WrongLines};

/// Used by every thread that owns a device, and by vCPUs.
#[derive(Debug)]
pub struct Interrupts {
    ioapic: Ioapic,
    vm: Vm,
}

impl Interrupts {
    /// A controller of so many lines, all masked.
    pub fn new(vm: Vm, lines: u8) -> Self {
        Self {
            ioapic: Ioapic::new(lines),
            vm,
        }
    }

    /// The VM that carries the messages.
    pub fn vm(&self) -> &Vm {
        &self.vm
    }

    /// An edge on a line.
    ///
    /// # Errors
    /// When KVM refuses the message.
    pub fn raise(&self, line: usize) -> io::Result<()> {
        self.send(self.ioapic.raise(line))
    }

    /// A guest's load from the IOAPIC's window.
    pub fn read(&self, offset: u64, data: &mut [u8]) {
        self.ioapic.read(offset, data);
    }

    /// A guest's store to the IOAPIC's window.
    pub fn write(&self, offset: u64, data: &[u8]) {
        // A message that KVM refuses is one that the guest has made: it loses its interrupt.
        let _ = self.send(self.ioapic.write(offset, data));
    }

    /// The IOAPIC as plain data.
    pub fn save(&self) -> IoapicState {
        self.ioapic.save()
    }

    /// Puts a saved IOAPIC back.
    ///
    /// # Errors
    /// When it is that of a machine with other devices.
    pub fn restore(&self, state: IoapicState) -> Result<(), WrongLines> {
        self.ioapic.restore(state)
    }

    fn send(&self, message: Option<Message>) -> io::Result<()> {
        match message {
            Some(message) => self.vm.send(message).map_err(io::Error::other),
            None => Ok(()),
        }
    }
}
