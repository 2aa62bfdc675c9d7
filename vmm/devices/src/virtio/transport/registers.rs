//! Offsets and values of the virtio-mmio registers (virtio 1.2, sections 4.2.2 and 2.1).

/// Offsets of the registers.
pub(super) mod register {
    pub(in super::super) const MAGIC_VALUE: u64 = 0x00;
    pub(in super::super) const VERSION: u64 = 0x04;
    pub(in super::super) const DEVICE_ID: u64 = 0x08;
    pub(in super::super) const VENDOR_ID: u64 = 0x0c;
    pub(in super::super) const DEVICE_FEATURES: u64 = 0x10;
    pub(in super::super) const DEVICE_FEATURES_SELECT: u64 = 0x14;
    pub(in super::super) const DRIVER_FEATURES: u64 = 0x20;
    pub(in super::super) const DRIVER_FEATURES_SELECT: u64 = 0x24;
    pub(in super::super) const QUEUE_SELECT: u64 = 0x30;
    pub(in super::super) const QUEUE_SIZE_MAX: u64 = 0x34;
    pub(in super::super) const QUEUE_SIZE: u64 = 0x38;
    pub(in super::super) const QUEUE_READY: u64 = 0x44;
    pub(in super::super) const QUEUE_NOTIFY: u64 = 0x50;
    pub(in super::super) const INTERRUPT_STATUS: u64 = 0x60;
    pub(in super::super) const INTERRUPT_ACK: u64 = 0x64;
    pub(in super::super) const STATUS: u64 = 0x70;
    pub(in super::super) const QUEUE_DESC_LOW: u64 = 0x80;
    pub(in super::super) const QUEUE_DESC_HIGH: u64 = 0x84;
    pub(in super::super) const QUEUE_DRIVER_LOW: u64 = 0x90;
    pub(in super::super) const QUEUE_DRIVER_HIGH: u64 = 0x94;
    pub(in super::super) const QUEUE_DEVICE_LOW: u64 = 0xa0;
    pub(in super::super) const QUEUE_DEVICE_HIGH: u64 = 0xa4;
    pub(in super::super) const SHARED_MEMORY_FIRST: u64 = 0xb0;
    pub(in super::super) const SHARED_MEMORY_LAST: u64 = 0xbc;
    pub(in super::super) const CONFIG_GENERATION: u64 = 0xfc;
}

/// Device status bits (virtio 1.2, section 2.1).
pub(super) mod status {
    pub(in super::super) const ACKNOWLEDGE: u8 = 1;
    pub(in super::super) const DRIVER: u8 = 2;
    pub(in super::super) const DRIVER_OK: u8 = 4;
    pub(in super::super) const FEATURES_OK: u8 = 8;
    pub(in super::super) const NEEDS_RESET: u8 = 0x40;
    pub(in super::super) const FAILED: u8 = 0x80;

    /// The status after 0, 1, 2, 3 and 4 steps of a driver.
    pub(in super::super) const STEPS: [u8; 5] = [
        0,
        ACKNOWLEDGE,
        ACKNOWLEDGE | DRIVER,
        ACKNOWLEDGE | DRIVER | FEATURES_OK,
        ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK,
    ];
    pub(in super::super) const MAY_SET_FEATURES: u8 = STEPS[2];
    pub(in super::super) const MAY_SET_QUEUES: u8 = STEPS[3];
    pub(in super::super) const RUNNING: u8 = STEPS[4];
}
