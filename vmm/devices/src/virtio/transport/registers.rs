//! Offsets and values of the virtio-mmio registers (virtio 1.2, sections 4.2.2 and 2.1).

/// Offsets of the registers.
pub(in crate::virtio) mod register {
    pub(in crate::virtio) const MAGIC_VALUE: u64 = 0x00;
    pub(in crate::virtio) const VERSION: u64 = 0x04;
    pub(in crate::virtio) const DEVICE_ID: u64 = 0x08;
    pub(in crate::virtio) const VENDOR_ID: u64 = 0x0c;
    pub(in crate::virtio) const DEVICE_FEATURES: u64 = 0x10;
    pub(in crate::virtio) const DEVICE_FEATURES_SELECT: u64 = 0x14;
    pub(in crate::virtio) const DRIVER_FEATURES: u64 = 0x20;
    pub(in crate::virtio) const DRIVER_FEATURES_SELECT: u64 = 0x24;
    pub(in crate::virtio) const QUEUE_SELECT: u64 = 0x30;
    pub(in crate::virtio) const QUEUE_SIZE_MAX: u64 = 0x34;
    pub(in crate::virtio) const QUEUE_SIZE: u64 = 0x38;
    pub(in crate::virtio) const QUEUE_READY: u64 = 0x44;
    pub(in crate::virtio) const QUEUE_NOTIFY: u64 = 0x50;
    pub(in crate::virtio) const INTERRUPT_STATUS: u64 = 0x60;
    pub(in crate::virtio) const INTERRUPT_ACK: u64 = 0x64;
    pub(in crate::virtio) const STATUS: u64 = 0x70;
    pub(in crate::virtio) const QUEUE_DESC_LOW: u64 = 0x80;
    pub(in crate::virtio) const QUEUE_DESC_HIGH: u64 = 0x84;
    pub(in crate::virtio) const QUEUE_DRIVER_LOW: u64 = 0x90;
    pub(in crate::virtio) const QUEUE_DRIVER_HIGH: u64 = 0x94;
    pub(in crate::virtio) const QUEUE_DEVICE_LOW: u64 = 0xa0;
    pub(in crate::virtio) const QUEUE_DEVICE_HIGH: u64 = 0xa4;
    pub(in crate::virtio) const SHARED_LENGTH_LOW: u64 = 0xb0;
    pub(in crate::virtio) const SHARED_LENGTH_HIGH: u64 = 0xb4;
    pub(in crate::virtio) const SHARED_BASE_LOW: u64 = 0xb8;
    pub(in crate::virtio) const SHARED_BASE_HIGH: u64 = 0xbc;
    pub(in crate::virtio) const CONFIG_GENERATION: u64 = 0xfc;
}

/// Device status bits (virtio 1.2, section 2.1).
pub(super) mod status {
    pub(in crate::virtio) const ACKNOWLEDGE: u8 = 1;
    pub(in crate::virtio) const DRIVER: u8 = 2;
    pub(in crate::virtio) const DRIVER_OK: u8 = 4;
    pub(in crate::virtio) const FEATURES_OK: u8 = 8;
    pub(in crate::virtio) const NEEDS_RESET: u8 = 0x40;
    pub(in crate::virtio) const FAILED: u8 = 0x80;

    /// The status after 0, 1, 2, 3 and 4 steps of a driver.
    pub(in crate::virtio) const STEPS: [u8; 5] = [
        0,
        ACKNOWLEDGE,
        ACKNOWLEDGE | DRIVER,
        ACKNOWLEDGE | DRIVER | FEATURES_OK,
        ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK,
    ];
    pub(in crate::virtio) const MAY_SET_FEATURES: u8 = STEPS[2];
    pub(in crate::virtio) const MAY_SET_QUEUES: u8 = STEPS[3];
    pub(in crate::virtio) const RUNNING: u8 = STEPS[4];
}
