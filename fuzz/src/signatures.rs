//! Signatures of images, and keys.
//!
//! `signatures/` has a key of GnuPG, whose private part is gone, its signature of the six letters `signed`, another key as cosign has them, an
//! authority that makes certificates, and a certificate of another authority, which a log has seen.

use std::sync::OnceLock;

use bulkhead_trust::{
    Authorities, CosignKey, CosignSignature, CosignSigners, Identity, Keyless, Prefix, PublicKey,
    Signature, Subject, TrustStore, check_cosign, read_certificate,
};
use tempfile::TempDir;

const KEY: &[u8] = include_bytes!("signatures/key.asc");
const SIGNATURE: &[u8] = include_bytes!("signatures/signature.asc");
const COSIGN_KEY: &str = include_str!("signatures/cosign.pub");
const AUTHORITY: &str = include_str!("signatures/authority.pem");
const CERTIFICATE: &[u8] = include_bytes!("signatures/certificate.der");

/// When authority and certificate were good, in seconds since 1970.
const GOOD: u64 = 1_717_243_200;

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
    cosign(&String::from_utf8_lossy(bytes));
    let (authorities, key) = authority();
    let found = read_certificate(bytes, GOOD, &authorities, &key);
    assert_eq!(found, [false; 2], "nobody has made or seen it");
}

/// A signature, a log's entry and a payload, a line each; the payload may have more. The certificate is always the same,
/// and the chain is all of it.
fn cosign(text: &str) {
    let mut parts = text.splitn(3, '\n');
    let mut part = || parts.next().unwrap_or_default();
    let signature = CosignSignature {
        signature: part(),
        certificate: Some(AUTHORITY),
        chain: Some(text),
        bundle: Some(part()),
    };
    let payload = part();
    let (authorities, log) = authority();
    let identity = Identity {
        issuer: "https://token.example.com".to_owned(),
        subject: Subject::BeginsWith("https://host.example.com/".to_owned()),
    };
    let keyless = Keyless {
        authorities,
        log: log.clone(),
        timestamps: None,
        identities: vec![identity],
    };
    for signers in [
        CosignSigners::Keys(vec![log]),
        CosignSigners::Keyless(Box::new(keyless)),
    ] {
        let checked = check_cosign(payload.as_bytes(), &signature, "sha256:0", &signers);
        assert!(checked.is_err(), "nobody has signed it");
    }
}

fn authority() -> (Authorities, CosignKey) {
    let authorities = Authorities::parse(AUTHORITY).expect("an authority");
    (authorities, CosignKey::parse(COSIGN_KEY).expect("a key"))
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
    let payload = r#"{"critical":{"image":{"docker-manifest-digest":"sha256:0"},"type":"x"}}"#;
    let log = "5e8444783512bab2f7a585e6b75abe3ca8f725137aea9fb0c30445094c8d92f0";
    let entry = format!(
        r#"{{"SignedEntryTimestamp":"MEUC","Payload":{{"body":"e30=","integratedTime":1,"logID":"{log}","logIndex":1}}}}"#
    );
    let cosign = format!("MEUCIQD=\n{entry}\n{payload}");
    vec![
        KEY.to_vec(),
        SIGNATURE.to_vec(),
        cosign.into_bytes(),
        CERTIFICATE.to_vec(),
    ]
}
