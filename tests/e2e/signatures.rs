//! ACIs run when somebody who is trusted has signed them. Which signatures count is tested natively: trust/tests, cli/tests/it/signatures.rs.

use std::ffi::OsStr;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use bulkhead_tests::images::busybox_aci;
use tempfile::TempDir;

use crate::bulkhead::{Call, own_data, pod};

/// An image and a key of GnuPG's, in one directory.
struct Signer {
    directory: TempDir,
}

impl Signer {
    fn new() -> Self {
        let signer = Self {
            directory: own_data(),
        };
        fs::copy(busybox_aci(), signer.image()).unwrap();
        signer.gpg(["--quick-gen-key", "Jane", "ed25519", "sign", "never"]);
        let key = signer.path("key.asc");
        signer.gpg([
            "--armor".as_ref(),
            "--output".as_ref(),
            key.as_os_str(),
            "--export".as_ref(),
        ]);
        signer
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn image(&self) -> PathBuf {
        self.path("image.aci")
    }

    fn sign(&self) {
        let image = self.image();
        self.gpg([
            "--armor".as_ref(),
            "--detach-sign".as_ref(),
            image.as_os_str(),
        ]);
    }

    fn gpg<const N: usize>(&self, arguments: [impl AsRef<OsStr>; N]) {
        let mut gpg = Command::new("gpg");
        gpg.arg("--homedir").arg(self.directory.path());
        gpg.args(["--batch", "--pinentry-mode=loopback", "--passphrase", ""]);
        let ended = gpg.args(arguments).status().expect("run gpg");
        assert!(ended.success(), "{ended}");
    }

    /// A pod of the image, if it is signed; those whom to trust are this directory's.
    fn run(&self) -> Call {
        let local = format!("--local-config={}", self.path("local").display());
        pod(&self.image())
            .data(self.directory.path())
            .strict()
            .pod_flag(local)
            .shell("echo who has signed me")
    }
}

#[test]
fn an_image_runs_when_its_signer_is_trusted_and_not_before() {
    let signer = Signer::new();
    let signature = signer.path("image.aci.asc").display().to_string();
    let missing = format!("it is not signed: there is no {signature}");
    signer.run().run().exits(254).says(&missing);
    signer.sign();
    signer
        .run()
        .run()
        .exits(254)
        .says("and trusted for it is nobody");
    let local = format!("--local-config={}", signer.path("local").display());
    let key = signer.path("key.asc").display().to_string();
    let trust = ["trust", "--root", &local, &key];
    Call::of(&trust)
        .input("yes\n")
        .run()
        .exits(0)
        .says("Added root key at");
    let run = signer.run().run().exits(0).shows("who has signed me\n");
    run.says("signature verified: Jane");
}
