//! A machine specification in; memory, boot protocol, devices, threads and event loop out.

pub mod boot;
pub mod boot_params;
pub mod clock;
pub mod command_line;
pub mod control;
pub mod devices;
pub mod disk_worker;
pub mod end;
pub mod event_loop;
pub mod gate;
pub mod interrupts;
pub mod ioapic;
pub mod kernel;
pub mod layout;
pub mod loop_devices;
pub mod machine;
pub mod mailbox;
pub mod mp_table;
pub mod shared;
pub mod spec;
pub mod stats;
pub mod vcpus;
