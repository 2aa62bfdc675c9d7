//! Where things are in the checkout, and cargo called for it.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The checkout that this binary was compiled from.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap_or(Path::new("/"))
}

/// Cargo's output directory.
pub(crate) fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// The tree that an installation would have: `bin/bulkhead` and `lib/bulkhead/stage1/kvm`.
pub(crate) fn dist() -> PathBuf {
    target().join("dist")
}

/// A cargo command in the checkout, with the cargo that runs this task.
pub(crate) fn cargo(subcommand: &str) -> Command {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(root()).arg(subcommand);
    command
}
