//! Signatures as cosign makes them, by keys of openssl.

use std::fs;

use bulkhead_tests::cosign::SigningKey;
use bulkhead_trust::{CosignError, CosignKey, CosignSignature, CosignSigners};

const DIGEST: &str = "sha256:3b0c";

/// A key, and its signature of a payload.
fn signed(payload: &str) -> (CosignKey, String) {
    let key = SigningKey::new().unwrap();
    let public = fs::read_to_string(key.public()).unwrap();
    (
        CosignKey::parse(&public).unwrap(),
        key.sign(payload).unwrap(),
    )
}

fn check_cosign(
    payload: &[u8],
    signature: &str,
    digest: &str,
    keys: &[CosignKey],
) -> Result<(), CosignError> {
    let signature = CosignSignature {
        signature,
        certificate: None,
        chain: None,
        bundle: None,
    };
    let signers = CosignSigners::Keys(keys.to_vec());
    bulkhead_trust::check_cosign(payload, &signature, digest, &signers)
}

fn payload(digest: &str, kind: &str) -> String {
    format!(
        r#"{{"critical":{{"identity":{{"docker-reference":"quay.io/a/b"}},
            "image":{{"docker-manifest-digest":"{digest}"}},"type":"{kind}"}},"optional":null}}"#
    )
}

const KIND: &str = "cosign container image signature";

#[test]
fn a_signature_of_a_trusted_key_counts_for_its_image_alone() {
    let text = payload(DIGEST, KIND);
    let (key, signature) = signed(&text);
    let (other, _) = signed(&text);
    let check =
        |keys: &[CosignKey], digest| check_cosign(text.as_bytes(), &signature, digest, keys);
    check(&[other.clone(), key.clone()], DIGEST).unwrap();
    let error = |result: Result<(), CosignError>| result.unwrap_err().to_string();
    assert_eq!(
        error(check(&[other], DIGEST)),
        "it is of none of the trusted keys"
    );
    assert_eq!(
        error(check(&[], DIGEST)),
        "it is of none of the trusted keys"
    );
    assert_eq!(
        error(check(&[key], "sha256:77")),
        "what was signed is another image, \"sha256:3b0c\""
    );
}

#[test]
fn another_kind_of_document_and_another_payload_do_not_count() {
    let text = payload(DIGEST, "atomic container signature");
    let (key, signature) = signed(&text);
    let check = |text: &str| {
        check_cosign(
            text.as_bytes(),
            &signature,
            DIGEST,
            std::slice::from_ref(&key),
        )
    };
    assert_eq!(
        check(&text).unwrap_err().to_string(),
        "what was signed is no image"
    );
    let changed = text.replace("quay.io", "docker");
    assert_eq!(
        check(&changed).unwrap_err().to_string(),
        "it is of none of the trusted keys"
    );
}

#[test]
fn what_is_no_signature_and_no_key_is_said() {
    let text = payload(DIGEST, KIND);
    let (key, _) = signed(&text);
    let check = |signature: &str| {
        let checked = check_cosign(
            text.as_bytes(),
            signature,
            DIGEST,
            std::slice::from_ref(&key),
        );
        checked.unwrap_err().to_string()
    };
    assert_eq!(check("not base64"), "the signature is no base64");
    assert_eq!(check("AAAA"), "the signature is none of ECDSA");
    let error =
        CosignKey::parse("-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----").unwrap_err();
    assert_eq!(error.to_string(), "it is no public key of P-256 in PEM");
}
