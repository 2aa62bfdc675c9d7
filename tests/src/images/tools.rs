//! The image tools, each call one line.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// Runs a program; its output is shown only when it fails.
pub(super) fn run(program: &str, arguments: &[&dyn AsRef<OsStr>]) -> Result<()> {
    let mut command = Command::new(program);
    command
        .args(arguments.iter().map(|argument| argument.as_ref()))
        .stdin(Stdio::null());
    let output = command
        .output()
        .with_context(|| format!("start {command:?}"))?;
    if !output.status.success() {
        bail!(
            "{command:?}: {}\n{}{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(())
}

/// An OCI layout with one image called `latest`, made by umoci.
pub(super) struct Layout {
    path: PathBuf,
}

impl Layout {
    /// An image without layers.
    pub(super) fn new(path: PathBuf) -> Result<Self> {
        run("umoci", &[&"init", &"--layout", &path])?;
        let layout = Self { path };
        run("umoci", &[&"new", &"--image", &layout.reference()])?;
        Ok(layout)
    }

    fn reference(&self) -> String {
        format!("{}:latest", self.path.display())
    }

    /// Adds a layer: the difference that `change` makes to the image's root.
    pub(super) fn layer(&self, change: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
        let work = tempfile::tempdir().context("make a directory for a bundle")?;
        let bundle = work.path().join("bundle");
        run(
            "umoci",
            &[&"unpack", &"--image", &self.reference(), &bundle],
        )?;
        change(&bundle.join("rootfs"))?;
        run(
            "umoci",
            &[&"repack", &"--image", &self.reference(), &bundle],
        )
    }

    /// Sets one field of the image's configuration, in umoci's words.
    pub(super) fn configure(&self, field: &str, value: &str) -> Result<()> {
        run(
            "umoci",
            &[&"config", &"--image", &self.reference(), &field, &value],
        )
    }

    /// Copies the image to another transport of skopeo (`docker-archive:FILE:NAME` and the like).
    pub(super) fn copy_to(&self, destination: &str) -> Result<()> {
        let source = format!("oci:{}", self.reference());
        run(
            "skopeo",
            &[
                &"--insecure-policy",
                &"copy",
                &"--quiet",
                &source,
                &destination,
            ],
        )
    }
}

/// Builds an App Container image from a directory with `manifest` and `rootfs`.
pub(super) fn actool(layout: &Path, output: &Path) -> Result<()> {
    run(
        "actool",
        &[
            &"build",
            &"-no-compression",
            &"-overwrite",
            &"-owner-root",
            &layout,
            &output,
        ],
    )
}
