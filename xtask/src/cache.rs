//! Files that are made once for the same inputs, outside of the checkout.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

/// Digits of a digest that name a file: enough to tell the versions of one input apart.
const NAME_DIGITS: usize = 16;

/// The directory of one kind of files.
pub(crate) fn directory(kind: &str) -> PathBuf {
    bulkhead_guest_kernel::cache_dir().join(kind)
}

/// The inputs' digest as a part of a file name.
pub(crate) fn key(inputs: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    for input in inputs {
        // With its length in front, no two lists of inputs are one stream of bytes.
        hash.update((input.len() as u64).to_le_bytes());
        hash.update(input);
    }
    let digits: String = hash
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    digits[..NAME_DIGITS].to_owned()
}

/// Writes a file that appears under its name only when it is whole.
pub(crate) fn write_whole(path: &Path, content: &[u8]) -> Result<()> {
    let directory = path.parent().context("a cached file lies in a directory")?;
    fs::create_dir_all(directory).with_context(|| format!("make {}", directory.display()))?;
    let mut file = tempfile::NamedTempFile::new_in(directory)
        .with_context(|| format!("make a file in {}", directory.display()))?;
    file.write_all(content)
        .with_context(|| format!("write {}", file.path().display()))?;
    file.persist(path)
        .with_context(|| format!("name {}", path.display()))?;
    Ok(())
}
