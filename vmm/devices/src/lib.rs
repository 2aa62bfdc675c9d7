//! Emulated devices: registers and queues, no KVM, no threads, no paths.
