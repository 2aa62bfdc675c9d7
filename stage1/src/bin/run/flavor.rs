//! What a pod of this stage1 image runs in: a machine, or namespaces on the host's kernel.

use std::fs::File;
use std::path::Path;

use anyhow::{Result, bail};
use bulkhead_stage1::group::Group;

use crate::kvm;

/// Of the image, by the program that it has for it.
const VMM: &str = "stage1/rootfs/vmm";
const CONTAINER: &str = "stage1/rootfs/container";

/// And what it takes of the host.
pub(crate) enum Flavor {
    /// `/dev/kvm`.
    Kvm(File),
    /// The pod's control group.
    Container(Group),
}

impl Flavor {
    /// That of the image in the pod's directory.
    pub(crate) fn of_image(uuid: &str) -> Result<Self> {
        if Path::new(VMM).exists() {
            return Ok(Self::Kvm(kvm::open()?));
        }
        if Path::new(CONTAINER).exists() {
            return Ok(Self::Container(Group::make(uuid)?));
        }
        bail!("the stage1 image has neither {VMM} nor {CONTAINER}")
    }
}
