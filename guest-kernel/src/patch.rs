//! Changes to the kernel source that make the guest start faster, and nothing else.
//!
//! Because nothing else depends on one, a patch that a newer source package no longer takes is left out with a
//! word about it: the guest is then slower, not different.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{fs, io};

/// One `patches/*.patch` file: a reason, then a unified diff.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Patch {
    /// File name without the extension.
    pub(crate) name: String,
    /// The whole file.
    pub(crate) text: Vec<u8>,
    pub(crate) path: PathBuf,
}

/// What became of a patch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Applied,
    DoesNotFit,
}

impl Patch {
    /// Reads every `*.patch` file of `dir`, in the order of their names.
    pub(crate) fn read_dir(dir: &Path) -> io::Result<Vec<Self>> {
        let mut paths = Vec::new();
        for entry in fs::read_dir(dir)? {
            let path = entry?.path();
            if path
                .extension()
                .is_some_and(|extension| extension == "patch")
            {
                paths.push(path);
            }
        }
        paths.sort();
        paths
            .into_iter()
            .map(|path| {
                let name = path
                    .file_stem()
                    .unwrap_or_default()
                    .to_string_lossy()
                    .into_owned();
                Ok(Self {
                    name,
                    text: fs::read(&path)?,
                    path,
                })
            })
            .collect()
    }

    /// Applies the patch to the source tree, whole or not at all.
    pub(crate) fn apply(&self, tree: &Path) -> io::Result<Outcome> {
        for mode in ["--dry-run", "--no-backup-if-mismatch"] {
            let status = Command::new("patch")
                .args([
                    "--strip=1",
                    "--batch",
                    "--forward",
                    "--silent",
                    mode,
                    "--directory",
                ])
                .arg(tree)
                .arg("--input")
                .arg(&self.path)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()?;
            if !status.success() {
                return Ok(Outcome::DoesNotFit);
            }
        }
        Ok(Outcome::Applied)
    }
}

#[cfg(test)]
#[path = "patch_test.rs"]
mod tests;
