//! Who makes certificates, and chains that lead to them.

use std::time::Duration;

use p256::ecdsa::signature::Verifier as _;
use rustls_pki_types::pem::{self, PemObject as _};
use rustls_pki_types::{
    AlgorithmIdentifier, CertificateDer, InvalidSignature, SignatureVerificationAlgorithm,
    TrustAnchor, UnixTime, alg_id,
};
use webpki::{EndEntityCert, Error, KeyUsage, anchor_from_trusted_cert};
use x509_cert::Certificate;
use x509_cert::der::Decode as _;
use x509_cert::ext::pkix::BasicConstraints;

/// Certificates of authorities in a file.
const MAX_AUTHORITIES: usize = 64;

/// `id-kp-codeSigning`, RFC 5280, 4.2.1.12, without tag and length.
const CODE_SIGNING: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 3];

/// Certificates of those who make others' certificates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authorities(Vec<Authority>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Authority {
    anchor: TrustAnchor<'static>,
    /// Seconds since 1970.
    from: u64,
    /// Seconds since 1970, the last one.
    until: u64,
}

/// No such certificates.
#[derive(Debug, thiserror::Error)]
pub enum BadAuthorities {
    /// No text of certificates.
    #[error("they are no certificates in PEM")]
    Pem(#[from] pem::Error),
    /// A text without any.
    #[error("there is no certificate in PEM")]
    None,
    /// More than anybody has.
    #[error("there are more than {MAX_AUTHORITIES} certificates")]
    TooMany,
    /// One is none.
    #[error("certificate {0} cannot be read")]
    Der(usize, #[source] x509_cert::der::Error),
    /// One cannot be used.
    #[error("certificate {0} is none that others can be checked with")]
    Anchor(usize, #[source] Error),
    /// One is somebody's own.
    #[error("certificate {0} is of no authority")]
    NoAuthority(usize),
}

/// A certificate that no authority vouches for.
#[derive(Debug, thiserror::Error)]
pub enum UntrustedCertificate {
    /// Of somebody else.
    #[error("no authority that is given, and was good then, vouches for its certificate")]
    Stranger,
    /// Too early or too late.
    #[error("its certificate or chain was not good when the log saw it, {0} seconds after 1970")]
    Time(u64),
    /// Anything else.
    #[error("its certificate or chain does not count")]
    Other(#[from] Error),
}

impl Authorities {
    /// Reads certificates, each of which is trusted: roots, or what roots have made. Their keys are of ECDSA on P-256 or P-384.
    ///
    /// # Errors
    /// When there is none, or one is of no authority.
    pub fn parse(pem: &str) -> Result<Self, BadAuthorities> {
        let certificates: Vec<_> = CertificateDer::pem_slice_iter(pem.as_bytes())
            .take(MAX_AUTHORITIES + 1)
            .collect::<Result<_, _>>()?;
        if certificates.is_empty() {
            return Err(BadAuthorities::None);
        }
        if certificates.len() > MAX_AUTHORITIES {
            return Err(BadAuthorities::TooMany);
        }
        let all = (1..).zip(&certificates);
        let all = all.map(|(number, der)| Authority::read(number, der));
        Ok(Self(all.collect::<Result<_, _>>()?))
    }

    /// Whether a chain leads from the certificate to one of them, all of it good at a time, in seconds since 1970. Gives the public key
    /// of who made the certificate, in DER.
    pub(super) fn check(
        &self,
        leaf: &EndEntityCert<'_>,
        chain: &[CertificateDer<'_>],
        seconds: u64,
    ) -> Result<Vec<u8>, UntrustedCertificate> {
        let good = self.0.iter().filter(|one| one.is_good(seconds));
        let anchors: Vec<_> = good.map(|one| one.anchor.clone()).collect();
        let time = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        // That the certificate itself names it is seen where it is read: authorities need not.
        let usage = KeyUsage::required_if_present(CODE_SIGNING);
        let path = leaf.verify_for_usage(&[&P256, &P384], &anchors, chain, time, usage, None, None);
        match path {
            Ok(path) => Ok(path.issuer_spki().to_vec()),
            Err(Error::UnknownIssuer | Error::InvalidSignatureForPublicKey) => {
                Err(UntrustedCertificate::Stranger)
            }
            Err(Error::CertExpired { .. } | Error::CertNotValidYet { .. }) => {
                Err(UntrustedCertificate::Time(seconds))
            }
            Err(error) => Err(error.into()),
        }
    }
}

impl Authority {
    fn read(number: usize, der: &CertificateDer<'_>) -> Result<Self, BadAuthorities> {
        let malformed = |source| BadAuthorities::Der(number, source);
        let content = Certificate::from_der(der)
            .map_err(malformed)?
            .tbs_certificate;
        let constraints = content.get::<BasicConstraints>().map_err(malformed)?;
        if !constraints.is_some_and(|(_, constraints)| constraints.ca) {
            return Err(BadAuthorities::NoAuthority(number));
        }
        let anchor = anchor_from_trusted_cert(der);
        let anchor = anchor.map_err(|source| BadAuthorities::Anchor(number, source))?;
        Ok(Self {
            anchor: anchor.to_owned(),
            from: content.validity.not_before.to_unix_duration().as_secs(),
            until: content.validity.not_after.to_unix_duration().as_secs(),
        })
    }

    fn is_good(&self, seconds: u64) -> bool {
        (self.from..=self.until).contains(&seconds)
    }
}

/// ECDSA on P-256 with SHA-256: what certificates are for, and small authorities make them with.
#[derive(Debug)]
pub(super) struct P256;

/// ECDSA on P-384 with SHA-384, which Fulcio makes certificates with.
#[derive(Debug)]
struct P384;

impl SignatureVerificationAlgorithm for P256 {
    fn verify_signature(
        &self,
        key: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), InvalidSignature> {
        use p256::ecdsa::{Signature, VerifyingKey};
        let key = VerifyingKey::from_sec1_bytes(key).map_err(|_| InvalidSignature)?;
        let signature = Signature::from_der(signature).map_err(|_| InvalidSignature)?;
        key.verify(message, &signature)
            .map_err(|_| InvalidSignature)
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::ECDSA_P256
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::ECDSA_SHA256
    }
}

impl SignatureVerificationAlgorithm for P384 {
    fn verify_signature(
        &self,
        key: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), InvalidSignature> {
        use p384::ecdsa::{Signature, VerifyingKey};
        let key = VerifyingKey::from_sec1_bytes(key).map_err(|_| InvalidSignature)?;
        let signature = Signature::from_der(signature).map_err(|_| InvalidSignature)?;
        key.verify(message, &signature)
            .map_err(|_| InvalidSignature)
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::ECDSA_P384
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::ECDSA_SHA384
    }
}
