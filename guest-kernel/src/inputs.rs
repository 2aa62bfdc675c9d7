//! One hash over everything that decides what the built kernel is.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::fragment::Fragment;

/// Raised whenever [`crate::compile`] changes what comes out of the same source and fragments.
const RECIPE_VERSION: u32 = 1;

/// Read at a time when hashing a file.
const BLOCK_BYTES: usize = 64 * 1024;

/// Why an input could not be hashed.
#[derive(Debug, thiserror::Error)]
#[error("cannot read {}", path.display())]
pub struct InputError {
    path: PathBuf,
    source: io::Error,
}

/// The name of the cache entry: SHA-256, in hexadecimal, over recipe, source, compiler and fragments.
///
/// Each part goes in with its length, so that no two different sets of inputs are the same bytes.
pub(crate) fn hash(fragments: &[Fragment], tarball_digest: &str, compiler: &str) -> String {
    let mut hasher = Sha256::new();
    let mut part = |bytes: &[u8]| {
        hasher.update(
            u64::try_from(bytes.len())
                .expect("a length in memory fits u64")
                .to_le_bytes(),
        );
        hasher.update(bytes);
    };
    part(&RECIPE_VERSION.to_le_bytes());
    part(tarball_digest.as_bytes());
    part(compiler.as_bytes());
    for fragment in fragments {
        part(fragment.name.as_bytes());
        part(fragment.text.as_bytes());
    }
    hexadecimal(&hasher.finalize())
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
