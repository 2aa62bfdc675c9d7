//! Keys and signatures as cosign makes them, by openssl.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

/// A key of ECDSA, gone with its owner.
#[derive(Debug)]
pub struct SigningKey(TempDir);

impl SigningKey {
    /// A new one on P-256.
    ///
    /// # Errors
    /// When openssl fails, with its words.
    pub fn new() -> Result<Self> {
        Self::on("prime256v1")
    }

    /// A new one on a curve, as openssl calls it.
    ///
    /// # Errors
    /// When openssl fails, with its words.
    pub fn on(curve: &str) -> Result<Self> {
        let key = Self(TempDir::new().context("make a directory for a key")?);
        let curve = format!("ec_paramgen_curve:{curve}");
        let make = ["genpkey", "-algorithm", "EC", "-pkeyopt", &curve];
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

    /// What logs call it: SHA-256 of its public part in DER.
    ///
    /// # Errors
    /// As [`SigningKey::new`].
    pub fn id(&self) -> Result<[u8; 32]> {
        let write = ["pkey", "-in", "key", "-pubout", "-outform", "DER"];
        self.openssl(&[&write[..], &["-out", "der"]].concat())?;
        let der = fs::read(self.0.path().join("der")).context("read a key")?;
        Ok(Sha256::digest(der).into())
    }

    /// Its signature with SHA-256, in DER.
    ///
    /// # Errors
    /// As [`SigningKey::new`].
    pub fn sign_bytes(&self, message: &[u8]) -> Result<Vec<u8>> {
        let path = |name| self.0.path().join(name);
        fs::write(path("payload"), message).context("write what is to be signed")?;
        let sign = ["dgst", "-sha256", "-sign", "key", "-out", "signature"];
        self.openssl(&[&sign[..], &["payload"]].concat())?;
        fs::read(path("signature")).context("read the signature")
    }

    /// Its signature of a text, in base64.
    ///
    /// # Errors
    /// As [`SigningKey::new`].
    pub fn sign(&self, payload: &str) -> Result<String> {
        Ok(STANDARD.encode(self.sign_bytes(payload.as_bytes())?))
    }

    fn openssl(&self, words: &[&str]) -> Result<()> {
        openssl(self.0.path(), words)
    }
}

/// In a directory.
pub(crate) fn openssl(directory: &Path, words: &[&str]) -> Result<()> {
    let mut command = Command::new("openssl");
    let output = command.current_dir(directory).args(words).output();
    let output = output.context("run openssl")?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("openssl {}: {said}", words.join(" "));
    }
    Ok(())
}
