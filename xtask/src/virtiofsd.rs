//! The file server of shared directories: built once a version, from crates.io, into the cache.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::cache;
use crate::process::{progress, run};

/// What the release's own lock file pins is built (`--locked`).
const VERSION: &str = "1.14.0";

/// Static, as all of a pod's processes: it has no libraries in its jail.
const FLAGS: &str = "-C target-feature=+crt-static -C relocation-model=static";

const TARGET: &str = "x86_64-unknown-linux-gnu";

/// Where Debian's libcap-ng-dev and libseccomp-dev put their archives.
const LIBRARIES: &str = "/usr/lib/x86_64-linux-gnu";

/// Finds the program in the cache, or builds it.
pub(crate) fn build() -> Result<PathBuf> {
    let directory = cache::directory("virtiofsd");
    let key = cache::key(&[VERSION.as_bytes(), FLAGS.as_bytes()]);
    let program = directory.join(format!("virtiofsd-{VERSION}-{key}"));
    if program.exists() {
        return Ok(program);
    }
    progress(&format!("building virtiofsd {VERSION}"));
    let root = tempfile::tempdir().context("make a temporary directory")?;
    run(Command::new("cargo")
        .args(["install", "virtiofsd", "--quiet", "--locked"])
        .args(["--version", VERSION, "--target", TARGET])
        .arg("--root")
        .arg(root.path())
        .env("CARGO_TARGET_DIR", root.path().join("target"))
        .env("CARGO_PROFILE_RELEASE_STRIP", "true")
        .env("LIBSECCOMP_LINK_TYPE", "static")
        .env("LIBSECCOMP_LIB_PATH", LIBRARIES)
        .env("LIBCAPNG_LINK_TYPE", "static")
        .env("LIBCAPNG_LIB_PATH", LIBRARIES)
        .env("RUSTFLAGS", FLAGS))?;
    let built = root.path().join("bin/virtiofsd");
    let bytes = std::fs::read(&built).with_context(|| format!("read {}", built.display()))?;
    cache::write_whole(&program, &bytes)?;
    Ok(program)
}
