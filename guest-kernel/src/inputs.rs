//! One hash over everything that decides what the built kernel is.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::fragment::Fragment;
use crate::patch::Patch;
use crate::source::Source;

/// Raised whenever [`crate::compile`] changes what comes out of the same source, fragments and patches.
const RECIPE_VERSION: u32 = 2;

/// Read at a time when hashing a file.
const BLOCK_BYTES: usize = 64 * 1024;

/// Why an input could not be hashed.
#[derive(Debug, thiserror::Error)]
#[error("cannot read {}", path.display())]
pub struct InputError {
    path: PathBuf,
    source: io::Error,
}

/// Everything that decides what comes out.
#[derive(Debug)]
pub(crate) struct Inputs {
    pub(crate) fragments: Vec<Fragment>,
    pub(crate) patches: Vec<Patch>,
    pub(crate) source: Source,
}

impl Inputs {
    /// The name of the cache entry: SHA-256, in hexadecimal, over recipe, source, compiler, fragments and patches.
    ///
    /// Each part goes in with its length, so that no two different sets of inputs are the same bytes.
    pub(crate) fn hash(&self, tarball_digest: &str) -> String {
        let mut hasher = Sha256::new();
        let mut part = |bytes: &[u8]| {
            let length = u64::try_from(bytes.len()).expect("a length in memory fits u64");
            hasher.update(length.to_le_bytes());
            hasher.update(bytes);
        };
        part(&RECIPE_VERSION.to_le_bytes());
        part(tarball_digest.as_bytes());
        part(self.source.compiler.as_bytes());
        for fragment in &self.fragments {
            part(b"fragment");
            part(fragment.name.as_bytes());
            part(fragment.text.as_bytes());
        }
        for patch in &self.patches {
            part(b"patch");
            part(patch.name.as_bytes());
            part(&patch.text);
        }
        hexadecimal(&hasher.finalize())
    }
}

/// SHA-256 of a file, in hexadecimal.
pub(crate) fn file_digest(path: &Path) -> Result<String, InputError> {
    let at = |source| InputError {
        path: path.to_owned(),
        source,
    };
    let mut file = File::open(path).map_err(at)?;
    let mut hasher = Sha256::new();
    let mut block = vec![0; BLOCK_BYTES];
    loop {
        let count = file.read(&mut block).map_err(at)?;
        if count == 0 {
            return Ok(hexadecimal(&hasher.finalize()));
        }
        hasher.update(&block[..count]);
    }
}

fn hexadecimal(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
#[path = "inputs_test.rs"]
mod tests;
