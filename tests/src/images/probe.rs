//! An image of the guest kernel's system call probe alone.

use std::path::{Path, PathBuf};

use anyhow::Result;
use bulkhead_guest_kernel::PROBE_SOURCE;

use super::tools::{Layout, run};

/// The probe, as the image's program.
#[must_use]
pub fn probe_oci() -> PathBuf {
    super::image("probe.oci")
}

pub(super) fn build(directory: &Path) -> Result<()> {
    let layout = Layout::new(directory.join("probe.oci"))?;
    layout.layer(|root| {
        run(
            "cc",
            &[
                &"-O1",
                &"-static",
                &"-o",
                &root.join("syscalls"),
                &PROBE_SOURCE,
            ],
        )
    })?;
    layout.configure("--config.cmd", "/syscalls")
}
