//! What a log of certificates says of one, inside it: that it has seen it before it was made (RFC 6962, 3.2 and 3.3).

use sha2::{Digest as _, Sha256};
use x509_cert::TbsCertificate;
use x509_cert::der::asn1::{ObjectIdentifier, OctetStringRef};
use x509_cert::der::{self, Decode as _, Encode as _};

use super::identity::extension;
use crate::cosign::CosignKey;

const TIMESTAMPS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.11129.2.4.2");

/// Timestamps that are looked at: one is enough, and Fulcio's certificates have one.
const MAX_TIMESTAMPS: usize = 8;

/// ECDSA with SHA-256, as TLS 1.2 numbers it.
const ECDSA_SHA256: [u8; 2] = [4, 3];

/// A certificate that the log of certificates has not seen.
#[derive(Debug, thiserror::Error)]
pub enum BadTimestamp {
    /// None at all, or some that cannot be read.
    #[error("its certificate has no timestamps of a log of certificates")]
    None,
    /// It is not as it should be.
    #[error("its certificate's timestamps cannot be read")]
    Der(#[from] der::Error),
    /// Another log's, or of another certificate.
    #[error("the key of the log of certificates has signed no timestamp of its certificate")]
    Stranger,
}

/// Whether the log with this key has seen this certificate, before its maker, with the key `issuer` (in DER), made it.
pub(super) fn check(
    certificate: &TbsCertificate,
    issuer: &[u8],
    key: &CosignKey,
) -> Result<(), BadTimestamp> {
    let list = extension(certificate, TIMESTAMPS).ok_or(BadTimestamp::None)?;
    let list = OctetStringRef::from_der(list)?.as_bytes();
    let list = prefixed(&mut &*list).ok_or(BadTimestamp::None)?;
    let before = before(certificate)?;
    let log = key.id();
    let mut left = list;
    let timestamps = std::iter::from_fn(|| prefixed(&mut left)).take(MAX_TIMESTAMPS);
    let mut timestamps = timestamps.filter_map(Timestamp::read);
    let signed = |timestamp: Timestamp<'_>| {
        timestamp.log == log
            && key.has_signed(&timestamp.signed(issuer, &before), timestamp.signature)
    };
    match timestamps.any(signed) {
        true => Ok(()),
        false => Err(BadTimestamp::Stranger),
    }
}

/// The certificate as the log has seen it: without what the log has said.
fn before(certificate: &TbsCertificate) -> Result<Vec<u8>, der::Error> {
    let mut before = certificate.clone();
    let extensions = before.extensions.iter_mut();
    extensions.for_each(|all| all.retain(|one| one.extn_id != TIMESTAMPS));
    before.to_der()
}

struct Timestamp<'a> {
    log: [u8; 32],
    time: [u8; 8],
    extensions: &'a [u8],
    signature: &'a [u8],
}

impl<'a> Timestamp<'a> {
    /// Of version 1, by ECDSA.
    fn read(mut bytes: &'a [u8]) -> Option<Self> {
        let [0] = *take(&mut bytes)? else { return None };
        let (log, time) = (*take(&mut bytes)?, *take(&mut bytes)?);
        let extensions = prefixed(&mut bytes)?;
        let ECDSA_SHA256 = *take(&mut bytes)? else {
            return None;
        };
        let signature = prefixed(&mut bytes)?;
        Some(Self {
            log,
            time,
            extensions,
            signature,
        })
    }

    /// What the log has signed of a certificate before it was made.
    fn signed(&self, issuer: &[u8], certificate: &[u8]) -> Vec<u8> {
        let version_and_type = [0, 0];
        let of_certificate = [0, 1];
        let length = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes();
        [
            &version_and_type[..],
            &self.time,
            &of_certificate,
            &Sha256::digest(issuer),
            &length(certificate)[1..],
            certificate,
            &length(self.extensions)[2..],
            self.extensions,
        ]
        .concat()
    }
}

fn take<'a, const N: usize>(bytes: &mut &'a [u8]) -> Option<&'a [u8; N]> {
    let (taken, left) = bytes.split_first_chunk()?;
    *bytes = left;
    Some(taken)
}

/// Bytes behind their length, of two bytes.
fn prefixed<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::from(u16::from_be_bytes(*take(bytes)?));
    let (taken, left) = bytes.split_at_checked(length)?;
    *bytes = left;
    Some(taken)
}
