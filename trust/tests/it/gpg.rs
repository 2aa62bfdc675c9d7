//! GnuPG, which makes keys and signatures that are not ours.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// A user with keys, deleted with it.
pub(crate) struct Gpg {
    home: TempDir,
}

impl Gpg {
    pub(crate) fn new() -> Self {
        let home = TempDir::new().unwrap();
        Self { home }
    }

    /// Makes a key that signs, of this kind (`ed25519`, `rsa2048`), for so long (`never`, `seconds=5`); its fingerprint.
    pub(crate) fn make_key(&self, whose: &str, kind: &str, lifetime: &str) -> String {
        self.run(&["--quick-gen-key", whose, kind, "sign", lifetime]);
        self.fingerprint(whose)
    }

    pub(crate) fn fingerprint(&self, whose: &str) -> String {
        let listed = self.run(&["--with-colons", "--list-keys", &format!("={whose}")]);
        let listed = String::from_utf8(listed).unwrap();
        let line = listed.lines().find(|line| line.starts_with("fpr:"));
        line.unwrap()
            .split(':')
            .nth(9)
            .unwrap()
            .to_ascii_lowercase()
    }

    /// The public key, armored.
    pub(crate) fn export(&self, key: &str) -> Vec<u8> {
        self.run(&["--armor", "--export", key])
    }

    /// Signs a file, with these flags too, into `FILE.asc` beside it.
    pub(crate) fn sign(&self, key: &str, file: &Path, flags: &[&str]) -> PathBuf {
        let signature = PathBuf::from(format!("{}.asc", file.display()));
        let (key, file) = (format!("{key}!"), file.display().to_string());
        let output = signature.display().to_string();
        let mut arguments = vec![
            "--yes",
            "--armor",
            "--local-user",
            &key,
            "--output",
            &output,
        ];
        arguments.extend(flags);
        arguments.extend(["--detach-sign", &file]);
        self.run(&arguments);
        signature
    }

    /// Revokes a key, with the certificate that was made with it.
    pub(crate) fn revoke(&self, fingerprint: &str) {
        let name = format!("openpgp-revocs.d/{}.rev", fingerprint.to_ascii_uppercase());
        let text = fs::read_to_string(self.home.path().join(name)).unwrap();
        // A colon keeps it from being used by mistake.
        let text = text.replace(":-----BEGIN", "-----BEGIN");
        let file = self.home.path().join("revocation");
        fs::write(&file, text).unwrap();
        self.run(&["--import", &file.display().to_string()]);
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Vec<u8> {
        let mut command = Command::new("gpg");
        command.arg("--homedir").arg(self.home.path());
        command.args([
            "--quiet",
            "--no-tty",
            "--batch",
            "--pinentry-mode=loopback",
            "--passphrase",
            "",
        ]);
        let output = command.args(arguments).output().expect("run gpg");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "gpg {arguments:?}: {stderr}");
        output.stdout
    }
}

impl Drop for Gpg {
    fn drop(&mut self) {
        let mut end = Command::new("gpgconf");
        end.arg("--homedir").arg(self.home.path());
        // It also ends when its directory is gone.
        let _ = end.args(["--kill", "all"]).status();
    }
}
