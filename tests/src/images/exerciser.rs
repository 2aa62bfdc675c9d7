//! Programs that exercise a file system, from crates.io: `fsx` and `pjdfstest`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::image;
use super::tools::Layout;

/// An OCI layout with `/bin/fsx`, `/bin/pjdfstest`, a shell, and the users that the latter wants.
#[must_use]
pub fn exerciser_oci() -> PathBuf {
    image("exerciser.oci")
}

/// Name and version.
const PROGRAMS: [(&str, &str); 2] = [("fsx", "0.3.2"), ("pjdfstest", "0.2.2")];

/// The image has no libraries.
const FLAGS: &str = "-C target-feature=+crt-static";

const TARGET: &str = "x86_64-unknown-linux-gnu";

const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\ntests:x:1001:1001::/:/bin/false\n\
    nobody:x:65534:65534::/:/bin/false\n";

const GROUP: &str = "root:x:0:\ntests:x:1001:\nnobody:x:65534:\n";

pub(super) fn build(directory: &Path) -> Result<()> {
    let layout = Layout::new(directory.join("exerciser.oci"))?;
    layout.layer(|root| {
        super::busybox::fill(root)?;
        fs::write(root.join("etc/passwd"), PASSWD).context("write /etc/passwd")?;
        fs::write(root.join("etc/group"), GROUP).context("write /etc/group")?;
        PROGRAMS
            .iter()
            .try_for_each(|(name, version)| install(name, version, &root.join("bin")))
    })?;
    layout.configure("--config.cmd", "/bin/sh")
}

fn install(name: &str, version: &str, directory: &Path) -> Result<()> {
    let work = tempfile::tempdir().context("make a directory for a build")?;
    let output = Command::new("cargo")
        .args(["install", name, "--quiet", "--locked"])
        .args(["--version", version, "--target", TARGET])
        .arg("--root")
        .arg(work.path())
        .env("CARGO_TARGET_DIR", work.path().join("target"))
        .env("CARGO_PROFILE_RELEASE_STRIP", "true")
        .env("RUSTFLAGS", FLAGS)
        .output()
        .context("start cargo")?;
    if !output.status.success() {
        bail!(
            "install {name} {version}: {}\n{}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
    }
    let program = work.path().join("bin").join(name);
    fs::copy(&program, directory.join(name))
        .map(drop)
        .with_context(|| format!("copy {}", program.display()))
}
