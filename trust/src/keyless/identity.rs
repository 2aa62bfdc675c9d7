//! Who has asked for a certificate, and who said that it was they: Fulcio's `docs/oid-info.md`.

use x509_cert::TbsCertificate;
use x509_cert::der::asn1::{ObjectIdentifier, Utf8StringRef};
use x509_cert::der::{self, Decode as _};
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{ExtendedKeyUsage, KeyUsage, SubjectAltName};

/// `id-kp-codeSigning`, RFC 5280, 4.2.1.12.
const CODE_SIGNING: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.3");

/// The issuer, a `UTF8String`.
const ISSUER: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.57264.1.8");

/// The issuer in certificates of before 2023, its bytes alone.
const OLD_ISSUER: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.57264.1.1");

/// Somebody who may sign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Who says who somebody is: an address of OpenID Connect, as it is.
    pub issuer: String,
    /// Who that is.
    pub subject: Subject,
}

/// An e-mail address or a URI, as a certificate has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// This one.
    Is(String),
    /// Any that begins so.
    BeginsWith(String),
}

/// A certificate of somebody else.
#[derive(Debug, thiserror::Error)]
pub enum WrongIdentity {
    /// It is not as it should be.
    #[error("its certificate cannot be read")]
    Der(#[from] der::Error),
    /// It is for something else.
    #[error("its certificate is not for signing of code")]
    Usage,
    /// It does not say who said it.
    #[error("its certificate names no issuer of the identity")]
    NoIssuer,
    /// None of those who may sign.
    #[error("it is of none of the trusted identities, but of {subjects:?} by {issuer:?}")]
    Stranger {
        /// Who it is.
        subjects: Vec<String>,
        /// Who says so.
        issuer: String,
    },
}

impl Identity {
    fn fits(&self, issuer: &str, subject: &str) -> bool {
        let fits = match &self.subject {
            Subject::Is(whole) => subject == whole,
            Subject::BeginsWith(beginning) => subject.starts_with(beginning),
        };
        fits && self.issuer == issuer
    }
}

/// Whether a certificate that an authority has made is for signing, and is one of these people's.
pub(super) fn check(
    certificate: &TbsCertificate,
    identities: &[Identity],
) -> Result<(), WrongIdentity> {
    let usage = certificate.get::<KeyUsage>()?;
    let signs = usage.is_some_and(|(_, usage)| usage.digital_signature());
    let purposes = certificate.get::<ExtendedKeyUsage>()?;
    let of_code = purposes.is_some_and(|(_, purposes)| purposes.0.contains(&CODE_SIGNING));
    if !(signs && of_code) {
        return Err(WrongIdentity::Usage);
    }
    let issuer = issuer(certificate)?;
    let subjects = subjects(certificate)?;
    let fits = |subject: &String| identities.iter().any(|one| one.fits(&issuer, subject));
    match subjects.iter().any(fits) {
        true => Ok(()),
        false => Err(WrongIdentity::Stranger { subjects, issuer }),
    }
}

fn issuer(certificate: &TbsCertificate) -> Result<String, WrongIdentity> {
    let find = |id| extension(certificate, id);
    if let Some(value) = find(ISSUER) {
        return Ok(Utf8StringRef::from_der(value)?.to_string());
    }
    let value = find(OLD_ISSUER).and_then(|value| std::str::from_utf8(value).ok());
    value.map(str::to_owned).ok_or(WrongIdentity::NoIssuer)
}

/// What a certificate has under this name.
pub(super) fn extension(certificate: &TbsCertificate, id: ObjectIdentifier) -> Option<&[u8]> {
    let mut all = certificate.extensions.iter().flatten();
    let found = all.find(|extension| extension.extn_id == id)?;
    Some(found.extn_value.as_bytes())
}

fn subjects(certificate: &TbsCertificate) -> Result<Vec<String>, WrongIdentity> {
    let names = certificate.get::<SubjectAltName>()?;
    let names = names.map(|(_, SubjectAltName(names))| names);
    let names = names.into_iter().flatten();
    let texts = names.filter_map(|name| match name {
        GeneralName::Rfc822Name(text) | GeneralName::UniformResourceIdentifier(text) => {
            Some(text.to_string())
        }
        _ => None,
    });
    Ok(texts.collect())
}
