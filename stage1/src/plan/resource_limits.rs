//! The resource limits of every app: appc has no isolator for them.

use bulkhead_protocol::plan::{Resource, ResourceLimit};

/// Open files: a high first limit makes programs slow that close every possible descriptor, a low last one stops servers
/// (the values of systemd and Docker's service). Core files: none unless the program asks, for they would fill the app's
/// disk. Processes: the kernel's own limit follows the machine's memory and counts a user over all apps.
pub(super) const DEFAULT: [ResourceLimit; 3] = [
    ResourceLimit {
        resource: Resource::OpenFiles,
        soft: Some(1024),
        hard: Some(524_288),
    },
    ResourceLimit {
        resource: Resource::Core,
        soft: Some(0),
        hard: None,
    },
    ResourceLimit {
        resource: Resource::Processes,
        soft: None,
        hard: None,
    },
];
