//! Keys and signatures as cosign makes them, by openssl.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

/// A key of ECDSA on P-256, gone with its owner.
#[derive(Debug)]
pub struct SigningKey(TempDir);

impl SigningKey {
    /// A new one.
    ///
    /// # Errors
    /// When openssl fails, with its words.
    pub fn new() -> Result<Self> {
        let key = Self(TempDir::new().context("make a directory for a key")?);
        let curve = "ec_paramgen_curve:prime256v1";
        let make = ["genpkey", "-algorithm", "EC", "-pkeyopt", curve];
        key.openssl(&[&make[..], &["-out", "key"]].concat())?;
        key.openssl(&["pkey", "-in", "key", "-pubout", "-out", "public"])?;
        Ok(key)
    }

    /// The file of its public part, in PEM.
    #[must_use]
    pub fn public(&self) -> PathBuf {
        self.0.path().join("public")
    }

    /// The file of its private part.
    #[must_use]
    pub fn private(&self) -> PathBuf {
        self.0.path().join("key")
    }

    /// Its signature of a text, in base64.
    ///
    /// # Errors
    /// As [`SigningKey::new`].
    pub fn sign(&self, payload: &str) -> Result<String> {
        let path = |name| self.0.path().join(name);
        fs::write(path("payload"), payload).context("write what is to be signed")?;
        let sign = ["dgst", "-sha256", "-sign", "key", "-out", "signature"];
        self.openssl(&[&sign[..], &["payload"]].concat())?;
        self.openssl(&["base64", "-A", "-in", "signature", "-out", "text"])?;
        fs::read_to_string(path("text")).context("read the signature")
    }

    fn openssl(&self, words: &[&str]) -> Result<()> {
        let mut command = Command::new("openssl");
        let output = command.current_dir(self.0.path()).args(words).output();
        let output = output.context("run openssl")?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            bail!("openssl {}: {said}", words.join(" "));
        }
        Ok(())
    }
}
