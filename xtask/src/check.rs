//! `check`: what can be told without running anything.

mod bad_images;
mod parity;
mod tidy;

use std::path::PathBuf;

use anyhow::{Result, bail};

use crate::process::{output, progress, run};
use crate::workspace::{cargo, root};

/// Formatting, lints, dependencies, size of files, and the lists that name tests.
pub(crate) fn all() -> Result<()> {
    progress("formatting");
    output(cargo("fmt").args(["--all", "--check"]))?;
    progress("lints");
    run(cargo("clippy")
        .args(["--quiet", "--workspace", "--all-targets"])
        .args(["--", "--deny", "warnings"]))?;
    dependencies()?;
    progress("sizes and lists of tests");
    let mut complaints = tidy::complaints(root())?;
    complaints.extend(parity::complaints(root())?);
    complaints.extend(bad_images::complaints(root())?);
    if !complaints.is_empty() {
        bail!("{}", complaints.join("\n"));
    }
    Ok(())
}

/// What `deny.toml` says about dependencies, where cargo-deny is installed. Nothing here needs a network: known holes are
/// looked up in the database that the last `cargo deny fetch` left.
fn dependencies() -> Result<()> {
    if output(cargo("deny").arg("--version")).is_err() {
        progress("licences and sources: not checked, cargo-deny is not installed");
        return Ok(());
    }
    progress("licences and sources");
    let deny = || {
        let mut command = cargo("deny");
        command.args(["--offline", "check", "--hide-inclusion-graph"]);
        command
    };
    run(deny().args(["licenses", "bans", "sources"]))?;
    if !has_advisories() {
        progress("advisories: not checked, there is no database; cargo deny fetch");
        return Ok(());
    }
    progress("advisories");
    run(deny().arg("advisories"))
}

/// Whether there is a database where cargo-deny keeps it when `deny.toml` does not say. A fetch that failed leaves the
/// directory empty.
fn has_advisories() -> bool {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let user = || std::env::home_dir().unwrap_or_default().join(".cargo");
    let databases = home.unwrap_or_else(user).join("advisory-dbs");
    std::fs::read_dir(databases)
        .into_iter()
        .flatten()
        .flatten()
        .any(|database| database.path().join(".git").exists())
}
