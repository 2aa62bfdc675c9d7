//! Keys and signatures of GnuPG, in directories as an administrator would have them.

#![allow(clippy::unwrap_used)] // A test fails by panicking.

mod cosign;
mod directories;
mod gpg;
mod keyless;
mod signatures;

use std::fs;
use std::path::{Path, PathBuf};

use bulkhead_trust::{PublicKey, Signature, TrustStore, VerifyError};
use tempfile::TempDir;

const NAME: &str = "example.com/app/web";
const DATA: &[u8] = b"what is in an image";

/// Directories of keys, and a file to sign.
struct Bench {
    directory: TempDir,
}

impl Bench {
    fn new() -> Self {
        let directory = TempDir::new().unwrap();
        fs::write(directory.path().join("image"), DATA).unwrap();
        Self { directory }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Writes a file of a key: `SYSTEM-OR-LOCAL/trustedkeys/WHERE/FINGERPRINT`.
    fn put(&self, directory: &str, fingerprint: &str, content: &[u8]) {
        let directory = self.path(&directory.replacen('/', "/trustedkeys/", 1));
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join(fingerprint), content).unwrap();
    }

    fn store(&self) -> TrustStore {
        TrustStore::new(&self.path("system"), &self.path("local"))
    }

    fn verify(&self, signature: &Path) -> Result<PublicKey, VerifyError> {
        self.verify_as(NAME, DATA, signature)
    }

    fn verify_as(
        &self,
        name: &str,
        data: &[u8],
        signature: &Path,
    ) -> Result<PublicKey, VerifyError> {
        let signature = Signature::read(&fs::read(signature).unwrap()).unwrap();
        let name = name.parse().unwrap();
        self.store().verify(&name, || data, &signature)
    }
}

#[track_caller]
fn refuses<T: std::fmt::Debug>(result: &Result<T, impl std::error::Error>, why: &str) {
    let error = result.as_ref().expect_err("it was taken");
    let causes = std::iter::successors(Some(error as &dyn std::error::Error), |error| {
        error.source()
    });
    let text: Vec<String> = causes.map(ToString::to_string).collect();
    assert!(text.join(": ").contains(why), "{text:?}");
}
