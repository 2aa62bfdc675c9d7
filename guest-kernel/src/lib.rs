//! Configuration and build of the guest kernel.
//!
//! The configuration is a set of fragments in `config/`, one per reason. Everything that no fragment
//! names is off (`make allnoconfig`), and the build fails when the kernel's own rules turned a wish into
//! something else. The result is cached by the hash of everything that went into it, outside the
//! checkout: a second checkout with the same fragments compiles nothing.
//!
//! Absent on purpose: modules, and any reading of the running host's kernel configuration.

pub mod absent_syscalls;
mod cache;
mod compact;
mod compile;
mod fragment;
mod inputs;
mod patch;
mod source;
mod verify;

use std::fmt;
use std::path::{Path, PathBuf};

pub use cache::{CacheError, cache_dir};
pub use compact::CompactError;
pub use compile::CompileError;
pub use fragment::{Fragment, FragmentError, Request, Setting};
pub use inputs::InputError;
pub use source::{KERNEL_PACKAGES, SourceError};
pub use verify::{Missed, options_set, verify};

/// Where the fragments lie: in the checkout that this crate was compiled from.
const FRAGMENT_DIR: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/config");

/// Where the patches lie.
const PATCH_DIR: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/patches");

/// The C source of the program that tells which system calls a kernel answers.
pub const PROBE_SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/probe/syscalls.c");

/// A built guest kernel in the cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kernel {
    /// The stripped, uncompressed ELF file: with PVH note, for direct boot.
    pub vmlinux: PathBuf,
    /// The same kernel, compressed with LZ4 behind the boot protocol's header.
    pub bzimage: PathBuf,
    /// The configuration that it was built with.
    pub config: PathBuf,
    /// Options that are `=y` in `config`.
    pub options_set: usize,
    /// Bytes of `vmlinux`.
    pub vmlinux_size: u64,
    /// Bytes of `bzimage`.
    pub bzimage_size: u64,
    /// SHA-256 over all inputs, in hexadecimal: the name of the cache entry.
    pub hash: String,
    /// Whether it was there already.
    pub cached: bool,
}

impl fmt::Display for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "guest kernel {}{}",
            &self.hash[..16],
            if self.cached { " (cached)" } else { "" }
        )?;
        writeln!(f, "  options set  {}", self.options_set)?;
        writeln!(
            f,
            "  vmlinux      {} bytes  {}",
            self.vmlinux_size,
            self.vmlinux.display()
        )?;
        write!(
            f,
            "  bzImage      {} bytes  {}",
            self.bzimage_size,
            self.bzimage.display()
        )
    }
}

/// Why there is no guest kernel.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The fragments do not make sense.
    #[error("the guest kernel's configuration is not usable")]
    Fragment(#[from] FragmentError),
    /// The patches could not be read.
    #[error("cannot read the patches in {PATCH_DIR}")]
    Patch(#[source] std::io::Error),
    /// Source package or tools are missing.
    #[error("the guest kernel cannot be built on this machine")]
    Source(#[from] SourceError),
    /// The inputs could not be hashed.
    #[error("the inputs of the guest kernel's build cannot be hashed")]
    Input(#[from] InputError),
    /// The cache directory could not be used.
    #[error("the kernel cache cannot be used")]
    Cache(#[from] CacheError),
    /// Configuring or compiling failed.
    #[error("building the guest kernel failed")]
    Compile(#[from] CompileError),
}

/// Returns the guest kernel for this checkout's fragments, building it when the cache has none.
///
/// `progress` gets a line per step. Two callers at once build once: the second waits for the first.
///
/// # Errors
/// What is missing on the machine (with the `apt-get` line), options that the kernel refused, or the end
/// of the compiler's output.
pub fn build(cache_dir: &Path, progress: &mut dyn FnMut(&str)) -> Result<Kernel, BuildError> {
    let fragments = Fragment::read_dir(Path::new(FRAGMENT_DIR))?;
    let requests = fragment::merge(&fragments)?;
    let inputs = inputs::Inputs {
        patches: patch::Patch::read_dir(Path::new(PATCH_DIR)).map_err(BuildError::Patch)?,
        source: source::Source::find()?,
        fragments,
    };
    let cache = cache::Cache::open(cache_dir)?;
    let hash = inputs.hash(&cache.tarball_digest(&inputs.source.tarball, progress)?);
    if let Some(kernel) = cache.lookup(&hash)? {
        return Ok(kernel);
    }
    let _lock = cache.lock(progress)?;
    if let Some(kernel) = cache.lookup(&hash)? {
        return Ok(kernel);
    }
    let entry = cache.stage(&hash)?;
    compile::compile(&inputs, &requests, &entry, progress)?;
    Ok(cache.publish(entry)?)
}
