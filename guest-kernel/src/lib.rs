//! Configuration and build of the guest kernel.
