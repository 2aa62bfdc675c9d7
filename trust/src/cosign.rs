//! Signatures of images of registries, as cosign makes them with a key: `specs/SIGNATURE_SPEC.md` of cosign, and Red Hat's "simple
//! signing", whose payload it is.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use p256::ecdsa::signature::Verifier as _;
use p256::ecdsa::{Signature, VerifyingKey};
use p256::pkcs8::DecodePublicKey as _;
use serde::Deserialize;

/// Longest payload: a digest and a few names.
pub const MAX_PAYLOAD_BYTES: u64 = 64 << 10;

/// What all payloads of cosign say that they are.
const KIND: &str = "cosign container image signature";

/// A key that signs images: ECDSA on P-256, as `cosign generate-key-pair` makes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CosignKey(VerifyingKey);

/// No such key.
#[derive(Debug, thiserror::Error)]
#[error("it is no public key of P-256 in PEM")]
pub struct BadCosignKey(#[source] p256::pkcs8::spki::Error);

impl CosignKey {
    /// Reads what `cosign.pub` has: `-----BEGIN PUBLIC KEY-----`.
    ///
    /// # Errors
    /// When it is no key of this kind.
    pub fn parse(pem: &str) -> Result<Self, BadCosignKey> {
        let key = VerifyingKey::from_public_key_pem(pem.trim());
        key.map(Self).map_err(BadCosignKey)
    }
}

/// A signature that does not count.
#[derive(Debug, thiserror::Error)]
pub enum CosignError {
    /// Its text.
    #[error("the signature is no base64")]
    Base64(#[from] base64::DecodeError),
    /// Its numbers.
    #[error("the signature is none of ECDSA")]
    Form,
    /// Nobody of the trusted ones has made it.
    #[error("it is of none of the trusted keys")]
    Stranger,
    /// What was signed makes no sense.
    #[error("what was signed is no JSON as cosign writes it")]
    Payload(#[from] serde_json::Error),
    /// What was signed is of another kind.
    #[error("what was signed is no image")]
    Kind,
    /// What was signed is another image.
    #[error("what was signed is another image, {0:?}")]
    Image(String),
}

#[derive(Deserialize)]
struct Payload {
    critical: Critical,
}

#[derive(Deserialize)]
struct Critical {
    image: Image,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Deserialize)]
struct Image {
    #[serde(rename = "docker-manifest-digest")]
    digest: String,
}

/// Whether one of the keys has signed this payload, and the payload says that the image with this digest (`sha256:…`) is meant.
/// Under which name it was signed does not matter: who has the key vouches for the image.
///
/// # Errors
/// When it does not count.
pub fn check_cosign(
    payload: &[u8],
    signature: &str,
    digest: &str,
    keys: &[CosignKey],
) -> Result<(), CosignError> {
    let signature = STANDARD.decode(signature.trim())?;
    let signature = Signature::from_der(&signature).map_err(|_| CosignError::Form)?;
    // Before a byte of the payload is read.
    let signs = |key: &CosignKey| key.0.verify(payload, &signature).is_ok();
    if !keys.iter().any(signs) {
        return Err(CosignError::Stranger);
    }
    let Payload { critical } = serde_json::from_slice(payload)?;
    if critical.kind != KIND {
        return Err(CosignError::Kind);
    }
    match critical.image.digest == digest {
        true => Ok(()),
        false => Err(CosignError::Image(critical.image.digest)),
    }
}
