//! An image of one program of ours, which tells what it sees (`tests/inspect`).

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::tools::{Layout, run};

/// The file name of the image as an OCI archive.
pub const INSPECT_ARCHIVE: &str = "inspect.oci.tar";

/// An OCI archive with `/inspect` alone: no directory but the root, no other file.
#[must_use]
pub fn inspect_oci_archive() -> PathBuf {
    super::image(INSPECT_ARCHIVE)
}

const MANIFEST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/inspect/Cargo.toml");

/// The image has no libraries.
const FLAGS: &str = "RUSTFLAGS=-C target-feature=+crt-static";

const TARGET: &str = "x86_64-unknown-linux-gnu";

pub(super) fn build(directory: &Path) -> Result<()> {
    let work = tempfile::tempdir().context("make a directory for a build")?;
    run(
        "env",
        &[
            &FLAGS,
            &"cargo",
            &"build",
            &"--quiet",
            &"--locked",
            &"--release",
            &"--manifest-path",
            &MANIFEST,
            &"--target",
            &TARGET,
            &"--target-dir",
            &work.path(),
        ],
    )?;
    let program = work.path().join(TARGET).join("release/inspect");
    let layout = Layout::new(work.path().join("layout"))?;
    layout.layer(|root| {
        std::fs::copy(&program, root.join("inspect"))
            .map(drop)
            .with_context(|| format!("copy {}", program.display()))
    })?;
    layout.configure("--config.entrypoint", "/inspect")?;
    let archive = directory.join(INSPECT_ARCHIVE);
    layout.copy_to(&format!("oci-archive:{}", archive.display()))
}
