//! What the build needs from the machine: Debian's kernel source package and the tools to compile it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, io};

/// The Debian packages that a build needs, beside a C compiler.
pub const KERNEL_PACKAGES: &[&str] = &[
    "linux-source-6.12",
    "make",
    "gcc",
    "flex",
    "bison",
    "bc",
    "libelf-dev",
    "libssl-dev",
    "lz4",
    "patch",
    "xz-utils",
    "cpio",
];

/// Installed by `linux-source-6.12`.
const TARBALL: &str = "/usr/src/linux-source-6.12.tar.xz";

/// Programs that the build calls, each with the package that brings it.
const TOOLS: &[(&str, &str)] = &[
    ("make", "make"),
    ("gcc", "gcc"),
    ("ld", "binutils"),
    ("objcopy", "binutils"),
    ("flex", "flex"),
    ("bison", "bison"),
    ("bc", "bc"),
    ("patch", "patch"),
    ("lz4", "lz4"),
    ("xz", "xz-utils"),
    ("tar", "tar"),
];

/// Headers that the kernel's host programs include: of objtool, and of its certificate tools.
const HEADERS: &[(&str, &str)] = &[
    ("/usr/include/gelf.h", "libelf-dev"),
    ("/usr/include/openssl/opensslv.h", "libssl-dev"),
];

/// Why there is nothing to build from.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// Packages are not installed.
    #[error("missing Debian packages; install them with: apt-get install --no-install-recommends {}", .0.join(" "))]
    Missing(Vec<&'static str>),
    /// The compiler did not tell its version.
    #[error("cannot ask {tool} for its version")]
    Version {
        /// Program name.
        tool: &'static str,
        /// The cause.
        source: io::Error,
    },
}

/// A kernel source and the tools to compile it.
#[derive(Debug)]
pub(crate) struct Source {
    /// The unpacked name is the file name without `.tar.xz`.
    pub(crate) tarball: PathBuf,
    /// First lines of the versions of compiler and linker.
    pub(crate) compiler: String,
}

impl Source {
    /// Finds the source package and every tool.
    pub(crate) fn find() -> Result<Self, SourceError> {
        let missing = missing(Path::new(TARBALL), &|tool| on_path(tool));
        if !missing.is_empty() {
            return Err(SourceError::Missing(missing));
        }
        Ok(Self {
            tarball: TARBALL.into(),
            compiler: format!("{}\n{}", version("gcc")?, version("ld")?),
        })
    }
}

fn missing(tarball: &Path, has: &dyn Fn(&str) -> bool) -> Vec<&'static str> {
    let mut missing = Vec::new();
    if !tarball.exists() {
        missing.push("linux-source-6.12");
    }
    missing.extend(
        TOOLS
            .iter()
            .filter(|(tool, _)| !has(tool))
            .map(|(_, package)| *package),
    );
    missing.extend(
        HEADERS
            .iter()
            .filter(|(header, _)| !Path::new(header).exists())
            .map(|(_, package)| *package),
    );
    missing.dedup();
    missing
}

fn on_path(tool: &str) -> bool {
    env::var_os("PATH")
        .is_some_and(|path| env::split_paths(&path).any(|dir| dir.join(tool).is_file()))
}

fn version(tool: &'static str) -> Result<String, SourceError> {
    let output = Command::new(tool)
        .arg("--version")
        .output()
        .map_err(|source| SourceError::Version { tool, source })?;
    Ok(String::from_utf8_lossy(&output.stdout)
        .lines()
        .next()
        .unwrap_or_default()
        .to_owned())
}

#[cfg(test)]
#[path = "source_test.rs"]
mod tests;
