//! How a user names pods.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use bulkhead_pod::found::FoundPod;
use clap::Args;

/// A UUID, and blank space around it.
const UUID_FILE_BYTES_MAX: u64 = 128;

/// One pod.
#[derive(Debug, Clone, Args)]
pub(crate) struct PodName {
    /// The pod's UUID, or a beginning of it that no other pod has
    #[arg(
        value_name = "UUID",
        required_unless_present = "uuid_file",
        conflicts_with = "uuid_file"
    )]
    uuid: Option<String>,

    /// Read the UUID from this file
    #[arg(long, value_name = "FILE")]
    uuid_file: Option<PathBuf>,
}

impl PodName {
    /// The pod of this name.
    pub(crate) fn find(&self, data: &Path) -> Result<FoundPod> {
        let text = match (&self.uuid, &self.uuid_file) {
            (Some(uuid), _) => uuid.clone(),
            (None, Some(file)) => read_uuid(file)?,
            (None, None) => unreachable!("clap requires one of them"),
        };
        Ok(FoundPod::find(data, &text)?)
    }
}

fn read_uuid(file: &Path) -> Result<String> {
    let context = || format!("read a UUID from {}", file.display());
    let mut text = String::new();
    File::open(file)
        .with_context(context)?
        .take(UUID_FILE_BYTES_MAX)
        .read_to_string(&mut text)
        .with_context(context)?;
    Ok(text.trim().to_owned())
}
