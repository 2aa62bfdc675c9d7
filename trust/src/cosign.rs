//! Signatures of images of registries, as cosign makes them: `specs/SIGNATURE_SPEC.md` of cosign, and Red Hat's "simple signing",
//! whose payload it is.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use p256::ecdsa::signature::Verifier as _;
use p256::ecdsa::{Signature, VerifyingKey};
use p256::pkcs8::{DecodePublicKey as _, EncodePublicKey as _};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use crate::keyless::{Keyless, KeylessError};

/// Longest payload: a digest and a few names.
pub const MAX_PAYLOAD_BYTES: u64 = 64 << 10;

/// What all payloads of cosign say that they are.
const KIND: &str = "cosign container image signature";

/// A key that signs images, or entries of a log: ECDSA on P-256, as `cosign generate-key-pair` makes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CosignKey {
    key: VerifyingKey,
    id: [u8; 32],
}

/// No such key.
#[derive(Debug, thiserror::Error)]
#[error("it is no public key of P-256 in PEM")]
pub struct BadCosignKey(#[from] p256::pkcs8::spki::Error);

impl CosignKey {
    /// Reads what `cosign.pub` has: `-----BEGIN PUBLIC KEY-----`.
    ///
    /// # Errors
    /// When it is no key of this kind.
    pub fn parse(pem: &str) -> Result<Self, BadCosignKey> {
        let key = VerifyingKey::from_public_key_pem(pem.trim())?;
        let id = Sha256::digest(key.to_public_key_der()?.as_bytes()).into();
        Ok(Self { key, id })
    }

    /// What logs call it: SHA-256 of it in DER.
    pub(crate) fn id(&self) -> [u8; 32] {
        self.id
    }

    /// Whether these numbers, in DER, are its signature of a message.
    pub(crate) fn has_signed(&self, message: &[u8], signature: &[u8]) -> bool {
        Signature::from_der(signature)
            .is_ok_and(|signature| self.key.verify(message, &signature).is_ok())
    }
}

/// Who may have signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CosignSigners {
    /// One of some keys.
    Keys(Vec<CosignKey>),
    /// Somebody with a certificate of some minutes.
    Keyless(Box<Keyless>),
}

/// A signature, and what lies beside it: the texts of annotations.
#[derive(Debug, Clone, Copy)]
pub struct CosignSignature<'a> {
    /// Its numbers, in base64.
    pub signature: &'a str,
    /// Of a keyless one: whose it is.
    pub certificate: Option<&'a str>,
    /// Of a keyless one: who has made the certificate.
    pub chain: Option<&'a str>,
    /// Of a keyless one: when it was made, by a log's word.
    pub bundle: Option<&'a str>,
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
    /// A keyless one, or one that should be.
    #[error(transparent)]
    Keyless(#[from] Box<KeylessError>),
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

/// Whether one of these has signed this payload, and the payload says that the image with this digest (`sha256:…`) is meant.
/// Under which name it was signed does not matter: who has signed vouches for the image.
///
/// # Errors
/// When it does not count.
pub fn check_cosign(
    payload: &[u8],
    signature: &CosignSignature<'_>,
    digest: &str,
    signers: &CosignSigners,
) -> Result<(), CosignError> {
    let numbers = STANDARD.decode(signature.signature.trim())?;
    // Before a byte of the payload is read.
    match signers {
        CosignSigners::Keys(keys) => by_key(payload, &numbers, keys)?,
        CosignSigners::Keyless(keyless) => {
            let checked = keyless.check(payload, signature, &numbers);
            checked.map_err(Box::new)?;
        }
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

fn by_key(payload: &[u8], numbers: &[u8], keys: &[CosignKey]) -> Result<(), CosignError> {
    if Signature::from_der(numbers).is_err() {
        return Err(CosignError::Form);
    }
    match keys.iter().any(|key| key.has_signed(payload, numbers)) {
        true => Ok(()),
        false => Err(CosignError::Stranger),
    }
}
