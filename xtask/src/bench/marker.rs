//! The guest of the boot comparison: an initramfs with one program that says that it runs.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::process::output;

/// The initramfs's file name.
pub(super) const INITRAMFS: &str = "marker.cpio";

const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/bench/marker.c");

pub(super) fn write_initramfs(directory: &Path) -> Result<()> {
    let program = directory.join("marker");
    let mut compiler = Command::new("cc");
    compiler.args([
        "-Os",
        "-static",
        "-nostdlib",
        "-ffreestanding",
        "-Wall",
        "-Werror",
        "-o",
    ]);
    output(compiler.arg(&program).arg(SOURCE))?;
    bulkhead_rootfs::initramfs::write(&program, &directory.join(INITRAMFS))?;
    Ok(())
}
