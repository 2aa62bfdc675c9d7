//! Signatures of images, and keys.
//!
//! `signatures/` has a key of GnuPG, whose private part is gone, its signature of the six letters `signed`, and another key as cosign has them.

use std::sync::OnceLock;

use bulkhead_trust::{CosignKey, Prefix, PublicKey, Signature, TrustStore, check_cosign};
use tempfile::TempDir;

const KEY: &[u8] = include_bytes!("signatures/key.asc");
const SIGNATURE: &[u8] = include_bytes!("signatures/signature.asc");
const COSIGN_KEY: &str = include_str!("signatures/cosign.pub");

/// Keys are read, and no signature is one of what it was not made for.
pub fn signatures(bytes: &[u8]) {
    for key in PublicKey::read(bytes).unwrap_or_default() {
        std::hint::black_box((
            key.fingerprint(),
            key.identities(),
            key.subkey_fingerprints(),
        ));
    }
    if let Ok(signature) = Signature::read(bytes) {
        let name: Prefix = "example.com/app".parse().expect("a name");
        let verified = store().verify(&name, || &b"other"[..], &signature);
        assert!(verified.is_err(), "nobody has signed it");
    }
    let text = String::from_utf8_lossy(bytes);
    let (signature, payload) = text.split_once('\n').unwrap_or((&text, ""));
    let key = CosignKey::parse(COSIGN_KEY).expect("a key");
    let checked = check_cosign(payload.as_bytes(), signature, "sha256:0", &[key]);
    assert!(checked.is_err(), "nobody has signed it");
}

/// A store that trusts the key for everything.
fn store() -> &'static TrustStore {
    static STORE: OnceLock<(TempDir, TrustStore)> = OnceLock::new();
    let (_, store) = STORE.get_or_init(|| {
        let directory = tempfile::tempdir().expect("a directory");
        let store = TrustStore::new(&directory.path().join("none"), directory.path());
        let keys = PublicKey::read(KEY).expect("a key");
        store.add(None, &keys[0]).expect("a file");
        let signature = Signature::read(SIGNATURE).expect("a signature");
        let name: Prefix = "example.com/app".parse().expect("a name");
        let verified = store.verify(&name, || &b"signed"[..], &signature);
        verified.expect("what was signed");
        (directory, store)
    });
    store
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let cosign = b"MEUCIQD=\n{\"critical\":{\"image\":{\"docker-manifest-digest\":\"sha256:0\"},\"type\":\"x\"}}";
    vec![KEY.to_vec(), SIGNATURE.to_vec(), cosign.to_vec()]
}
