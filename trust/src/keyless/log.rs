//! What the log (Rekor) says of a signature: an entry, and its promise that the entry is in the log, which says when it came.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::cosign::CosignKey;

/// The one kind of entry that cosign makes of signatures of images.
const KIND: (&str, &str) = ("hashedrekord", "0.0.1");

/// An entry of the log that does not count.
#[derive(Debug, thiserror::Error)]
pub enum BadEntry {
    /// No entry at all.
    #[error("its entry of a log is no JSON as cosign writes it")]
    Json(#[from] serde_json::Error),
    /// Its text.
    #[error("its entry of a log has no base64 where it should")]
    Base64(#[from] base64::DecodeError),
    /// Another log's.
    #[error("its entry is of another log")]
    Log,
    /// Nobody's.
    #[error("the log's key has not signed its entry")]
    Stranger,
    /// Of something else than a signature.
    #[error("its entry of the log is no hashedrekord of version 0.0.1")]
    Kind,
    /// Of another signature.
    #[error("its entry of the log is of another {0}")]
    Other(&'static str),
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Bundle {
    signed_entry_timestamp: String,
    payload: Promise,
}

/// What the log signs, as canonical JSON (RFC 8785): the fields stand in that order, and none has a character that would be escaped.
#[derive(Deserialize, Serialize)]
struct Promise {
    body: String,
    #[serde(rename = "integratedTime")]
    integrated_time: u64,
    #[serde(rename = "logID")]
    log_id: String,
    #[serde(rename = "logIndex")]
    log_index: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    api_version: String,
    kind: String,
    spec: serde_json::Value,
}

#[derive(Deserialize)]
struct Record {
    data: Data,
    signature: Signature,
}

#[derive(Deserialize)]
struct Data {
    hash: Hash,
}

#[derive(Deserialize)]
struct Hash {
    algorithm: String,
    value: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Signature {
    content: String,
    public_key: PublicKey,
}

#[derive(Deserialize)]
struct PublicKey {
    content: String,
}

/// Whether the log with this key has seen this signature of this payload, by this certificate; and when, in seconds since 1970.
pub(super) fn check(
    bundle: &str,
    key: &CosignKey,
    payload: &[u8],
    signature: &[u8],
    certificate: &CertificateDer<'_>,
) -> Result<u64, BadEntry> {
    let Bundle {
        signed_entry_timestamp,
        payload: promise,
    } = serde_json::from_str(bundle)?;
    if promise.log_id != hex(&key.id()) {
        return Err(BadEntry::Log);
    }
    let body = STANDARD.decode(&promise.body)?;
    let signed = serde_json::to_vec(&promise)?;
    if !key.has_signed(&signed, &STANDARD.decode(&signed_entry_timestamp)?) {
        return Err(BadEntry::Stranger);
    }

    let entry: Entry = serde_json::from_slice(&body)?;
    if (entry.kind.as_str(), entry.api_version.as_str()) != KIND {
        return Err(BadEntry::Kind);
    }
    let Record {
        data: Data { hash },
        signature: logged,
    } = serde_json::from_value(entry.spec)?;
    if hash.algorithm != "sha256" || hash.value != hex(&Sha256::digest(payload)) {
        return Err(BadEntry::Other("payload"));
    }
    if STANDARD.decode(&logged.content)? != signature {
        return Err(BadEntry::Other("signature"));
    }
    let by = STANDARD.decode(&logged.public_key.content)?;
    match CertificateDer::from_pem_slice(&by) {
        Ok(by) if by == *certificate => Ok(promise.integrated_time),
        _ => Err(BadEntry::Other("certificate")),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
