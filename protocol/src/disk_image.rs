//! Images of a plan.

use serde::{Deserialize, Serialize};

use crate::plan::Partition;
use crate::verity::Verity;

/// An image on the image disk: data, and the tree of its hashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskImage {
    /// First byte; a multiple of 4096.
    pub start: u64,
    /// What is to be there. Where the disk has something else, nothing is read.
    pub verity: Verity,
}

impl DiskImage {
    /// Where it lies, with the tree.
    #[must_use]
    pub fn partition(&self) -> Partition {
        Partition {
            start: self.start,
            length: self.verity.length(),
        }
    }
}
