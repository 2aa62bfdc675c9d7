//! Keyless signatures: somebody's certificate of some minutes in the place of a key, and a log that saw both while it was good.
//!
//! The authority (Fulcio) writes into a certificate who asked for it and who said so; the log (Rekor) signs when it saw what. Both are
//! given, and nothing is asked of a network: what a signature needs lies beside it, in annotations (`specs/SIGNATURE_SPEC.md` of cosign).
//!
//! Each step reads only what the one before has vouched for: the log's key for the entry, the entry for the bytes of the certificate, the
//! authority for what is in it.

mod authorities;
mod identity;
mod log;
mod timestamps;

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::{self, PemObject as _};
use webpki::EndEntityCert;
use x509_cert::Certificate;
use x509_cert::der::Decode as _;

pub use authorities::{Authorities, BadAuthorities, UntrustedCertificate};
pub use identity::{Identity, Subject, WrongIdentity};
pub use log::BadEntry;
pub use timestamps::BadTimestamp;

use self::authorities::P256;
use crate::cosign::{CosignKey, CosignSignature};

/// Longest certificate, in PEM. Fulcio's have some 2 KiB.
const MAX_CERTIFICATE_BYTES: usize = 16 << 10;

/// Longest chain, in PEM.
const MAX_CHAIN_BYTES: usize = 64 << 10;

/// Certificates of a chain: Fulcio's have one or two.
const MAX_CHAIN: usize = 8;

/// Longest entry of the log with its signature: it has the certificate, twice in base64.
const MAX_BUNDLE_BYTES: usize = 64 << 10;

/// Whose keyless signatures are taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keyless {
    /// Who may have made the certificate.
    pub authorities: Authorities,
    /// The key of the log that must have seen the signature.
    pub log: CosignKey,
    /// The key of the log that must have seen the certificate before it was made. None: no log need have.
    pub timestamps: Option<CosignKey>,
    /// Who may have signed.
    pub identities: Vec<Identity>,
}

/// A keyless signature that does not count.
#[derive(Debug, thiserror::Error)]
pub enum KeylessError {
    /// Something is not beside it.
    #[error("it has no {0}")]
    Missing(&'static str),
    /// Something is larger than it ever is.
    #[error("its {what} has more than {most} bytes")]
    TooLong {
        /// What it is.
        what: &'static str,
        /// How long it may be.
        most: usize,
    },
    /// More certificates than there ever are.
    #[error("its chain has more than {MAX_CHAIN} certificates")]
    Chain,
    /// No text of certificates.
    #[error("its {what} is none in PEM")]
    Pem {
        /// What it is.
        what: &'static str,
        /// What is wrong.
        source: pem::Error,
    },
    /// The log has not seen it.
    #[error(transparent)]
    Entry(#[from] BadEntry),
    /// The authority has not made it.
    #[error(transparent)]
    Certificate(#[from] UntrustedCertificate),
    /// Somebody else has signed.
    #[error(transparent)]
    Identity(#[from] WrongIdentity),
    /// The log of certificates has not seen it.
    #[error(transparent)]
    Timestamp(#[from] BadTimestamp),
    /// It is of another key.
    #[error("the key of its certificate has not signed it, or is none of P-256")]
    Stranger,
}

impl Keyless {
    /// Whether one of the identities has signed these bytes. `signature` is what is beside them, `der` its numbers.
    pub(crate) fn check(
        &self,
        payload: &[u8],
        signature: &CosignSignature<'_>,
        der: &[u8],
    ) -> Result<(), KeylessError> {
        let bundle = bounded(signature.bundle, "entry of a log", MAX_BUNDLE_BYTES)?;
        let certificate = certificate(signature)?;
        let seen = log::check(bundle, &self.log, payload, der, &certificate)?;

        let chain = chain(signature)?;
        let leaf = EndEntityCert::try_from(&certificate).map_err(UntrustedCertificate::from)?;
        let issuer = self.authorities.check(&leaf, &chain, seen)?;

        let content = Certificate::from_der(&certificate).map_err(WrongIdentity::from)?;
        identity::check(&content.tbs_certificate, &self.identities)?;
        if let Some(key) = &self.timestamps {
            timestamps::check(&content.tbs_certificate, &issuer, key)?;
        }
        let signed = leaf.verify_signature(&P256, payload, der);
        signed.map_err(|_| KeylessError::Stranger)
    }
}

/// Reads of a certificate in DER all that is read of one that an authority has made, and looks for the authority and the log of
/// certificates, at a time in seconds since 1970. Gives whether they were found: the authority, the log.
#[cfg(feature = "fuzzing")]
#[must_use]
pub fn read_certificate(
    der: &[u8],
    seconds: u64,
    authorities: &Authorities,
    log: &CosignKey,
) -> [bool; 2] {
    let certificate = CertificateDer::from(der);
    let issuer = EndEntityCert::try_from(&certificate).ok().and_then(|leaf| {
        let chain = std::slice::from_ref(&certificate);
        authorities.check(&leaf, chain, seconds).ok()
    });
    let Ok(content) = Certificate::from_der(der) else {
        return [issuer.is_some(), false];
    };
    let content = content.tbs_certificate;
    let _ = std::hint::black_box(identity::check(&content, &[]));
    let by = issuer.as_deref().unwrap_or_default();
    let seen = timestamps::check(&content, by, log).is_ok();
    [issuer.is_some(), seen]
}

fn bounded<'a>(
    text: Option<&'a str>,
    what: &'static str,
    most: usize,
) -> Result<&'a str, KeylessError> {
    match text {
        None => Err(KeylessError::Missing(what)),
        Some(text) if text.len() > most => Err(KeylessError::TooLong { what, most }),
        Some(text) => Ok(text),
    }
}

fn certificate(signature: &CosignSignature<'_>) -> Result<CertificateDer<'static>, KeylessError> {
    let what = "certificate";
    let text = bounded(signature.certificate, what, MAX_CERTIFICATE_BYTES)?;
    let read = CertificateDer::from_pem_slice(text.as_bytes());
    read.map_err(|source| KeylessError::Pem { what, source })
}

/// Between the certificate and the authority. There is none where the authority itself has made it.
fn chain(signature: &CosignSignature<'_>) -> Result<Vec<CertificateDer<'static>>, KeylessError> {
    let what = "chain";
    let text = bounded(signature.chain.or(Some("")), what, MAX_CHAIN_BYTES)?;
    let read = CertificateDer::pem_slice_iter(text.as_bytes()).take(MAX_CHAIN + 1);
    let chain: Vec<_> = read
        .collect::<Result<_, _>>()
        .map_err(|source| KeylessError::Pem { what, source })?;
    match chain.len() > MAX_CHAIN {
        true => Err(KeylessError::Chain),
        false => Ok(chain),
    }
}
