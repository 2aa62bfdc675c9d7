//! `check`: what can be told without running anything.

mod parity;
mod tidy;

use std::process::Command;

use anyhow::{Result, bail};

use crate::process::{output, progress, run};
use crate::workspace::{cargo, root};

/// Formatting, lints, licences where cargo-deny is installed, size of files, and the parity list.
pub(crate) fn all() -> Result<()> {
    progress("formatting");
    output(cargo("fmt").args(["--all", "--check"]))?;
    progress("lints");
    run(cargo("clippy")
        .args(["--quiet", "--workspace", "--all-targets"])
        .args(["--", "--deny", "warnings"]))?;
    if Command::new("cargo-deny").arg("--version").output().is_ok() {
        progress("licences and advisories");
        run(cargo("deny").args(["--offline", "check", "licenses", "bans"]))?;
    }
    progress("sizes and parity list");
    let mut complaints = tidy::complaints(root())?;
    complaints.extend(parity::complaints(root())?);
    if !complaints.is_empty() {
        bail!("{}", complaints.join("\n"));
    }
    Ok(())
}
