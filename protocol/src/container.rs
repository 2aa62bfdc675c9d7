//! Supervisor → container: what a pod on the host's own kernel is made of.
//!
//! One packet, as to a VMM ([`crate::vmm`]), whose place a container takes: it answers with [`crate::vmm::FromVmm`], of which it
//! knows `Connection` and `Exited`, and is told nothing more.

use serde::{Deserialize, Serialize};

use crate::MAX_APPS;
use crate::bounded::List;
use crate::plan::{MAX_DISK_VOLUMES, MAX_LISTENERS};
use crate::vmm::{FdIndex, MAX_SHARES};

/// The descriptors of a container, each named by its place among those that came with the message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerSpec {
    /// Directory of the pod's control group (version 2), which has no processes.
    pub cgroup: FdIndex,
    /// Files of the plan's images, in its order; open for reading only.
    pub images: List<FdIndex, { MAX_APPS * 2 }>,
    /// Files of the apps' writable layers, in the plan's order.
    pub scratch: List<FdIndex, MAX_APPS>,
    /// File of the volumes that several apps share.
    pub volume_scratch: Option<FdIndex>,
    /// Disks of the host, in the order of the plan's disk volumes.
    pub disks: List<ContainerDisk, MAX_DISK_VOLUMES>,
    /// Directories and files of the host, by their indexes in the plan.
    pub shares: List<SharedTree, MAX_SHARES>,
    /// Sockets for apps, in the order of the plan's listeners.
    pub listeners: List<FdIndex, MAX_LISTENERS>,
}

/// A disk of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerDisk {
    /// A block device, or a regular file.
    pub file: FdIndex,
    /// Whether it is opened for reading only.
    pub read_only: bool,
}

/// A directory or file of the host, as a detached mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SharedTree {
    /// The mount.
    pub tree: FdIndex,
    /// Whether it is a file.
    pub is_file: bool,
}
