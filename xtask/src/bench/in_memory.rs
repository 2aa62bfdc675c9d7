//! The measured programs in the nested machine's memory: its disks are files of the host, and to open one or to write it back
//! is a wait for the host, which would be most of what is measured.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::process::{output, run};

/// A file system in memory that the nested machine has made.
const MEMORY: &str = "/run/bench";

/// What a program with shared libraries opens before them.
const LIBRARY_CACHE: &str = "/etc/ld.so.cache";

/// The same tree in memory.
pub(super) fn tree(dist: &Path) -> Result<PathBuf> {
    let tree = Path::new(MEMORY).join("dist");
    fs::create_dir_all(MEMORY)?;
    run(Command::new("cp")
        .args(["--archive", "--sparse=always"])
        .args([dist, &tree]))?;
    Ok(tree)
}

/// The same image in memory.
pub(super) fn image(file: &Path) -> Result<PathBuf> {
    let copy = Path::new(MEMORY).join(file.file_name().context("an image's name")?);
    fs::copy(file, &copy).with_context(|| format!("copy {}", file.display()))?;
    Ok(copy)
}

/// A directory for pods, beside the tree: its files are linked to.
pub(super) fn data() -> Result<PathBuf> {
    let data = Path::new(MEMORY).join("data");
    fs::create_dir_all(&data)?;
    Ok(data)
}

/// Puts copies in memory over the shared libraries of a program.
pub(super) fn libraries_of(program: &Path) -> Result<()> {
    let copies = Path::new(MEMORY).join("lib");
    fs::create_dir_all(&copies)?;
    let list = output(Command::new("ldd").arg(program))?;
    let paths = list.split_whitespace().filter(|word| word.starts_with('/'));
    for path in paths.chain([LIBRARY_CACHE]) {
        let path = fs::canonicalize(path).with_context(|| format!("find {path}"))?;
        let copy = copies.join(path.file_name().context("a library's name")?);
        fs::copy(&path, &copy).with_context(|| format!("copy {}", path.display()))?;
        run(Command::new("mount").arg("--bind").args([&copy, &path]))?;
    }
    Ok(())
}
