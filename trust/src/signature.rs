//! Detached signatures.

use std::io::{self, Cursor, Read};
use std::time::SystemTime;

use pgp::composed::{Deserializable, DetachedSignature};
use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::{self, SignatureType};
use pgp::types::KeyDetails;

use crate::key::{PublicKey, Verifies, is_stale};

/// Longest signature: one of the longest RSA key has 3 KiB with its armor.
pub const MAX_SIGNATURE_BYTES: u64 = 64 << 10;

/// Signatures of one file. Each that a trusted key issued costs a reading of what it signs.
const MAX_SIGNATURES: usize = 8;

/// Something that is no signature to go by.
#[derive(Debug, thiserror::Error)]
pub enum SignatureError {
    /// It is no OpenPGP signature, armored or not.
    #[error("it is no detached OpenPGP signature")]
    Format(#[source] Box<pgp::errors::Error>),
    /// Nothing is in it.
    #[error("there is no signature in it")]
    Empty,
    /// See the bounds.
    #[error(
        "it is longer than {MAX_SIGNATURE_BYTES} bytes, or has more than {MAX_SIGNATURES} signatures"
    )]
    TooLong,
}

/// The signatures of one file.
#[derive(Debug, Clone)]
pub struct Signature(Vec<packet::Signature>);

/// Why nobody who is trusted signed.
#[derive(Debug)]
pub(crate) enum Unsigned {
    /// No trusted key issued any of the signatures.
    NobodyKnown,
    /// A trusted key issued one, which is not good.
    Bad {
        fingerprint: String,
        problem: &'static str,
    },
    /// What is signed cannot be read.
    Io(io::Error),
}

impl Signature {
    /// Reads a file's signatures, armored (as `gpg --armor --detach-sign` writes them) or not.
    ///
    /// # Errors
    /// When there is none, or too many, or something else.
    pub fn read(bytes: &[u8]) -> Result<Self, SignatureError> {
        if bytes.len() as u64 > MAX_SIGNATURE_BYTES {
            return Err(SignatureError::TooLong);
        }
        let format = |error| SignatureError::Format(Box::new(error));
        let read = DetachedSignature::from_reader_many_buf(Cursor::new(bytes))
            .map_err(format)?
            .0;
        let mut signatures = Vec::new();
        for signature in read.take(MAX_SIGNATURES + 1) {
            signatures.push(signature.map_err(format)?.signature);
        }
        match signatures.len() {
            0 => Err(SignatureError::Empty),
            n if n > MAX_SIGNATURES => Err(SignatureError::TooLong),
            _ => Ok(Self(signatures)),
        }
    }

    /// Who issued them, as they say: ids of keys.
    #[must_use]
    pub fn issuers(&self) -> Vec<String> {
        let ids = self.0.iter().flat_map(packet::Signature::issuer_key_id);
        ids.map(ToString::to_string).collect()
    }

    /// The first of these keys that has signed all of what `data` gives to read, from its start each time.
    pub(crate) fn signer<'k, R: Read>(
        &self,
        keys: impl Iterator<Item = &'k PublicKey> + Clone,
        mut data: impl FnMut() -> R,
        now: SystemTime,
    ) -> Result<&'k PublicKey, Unsigned> {
        let mut failure = Unsigned::NobodyKnown;
        for signature in &self.0 {
            for key in keys.clone() {
                let Some(issuer) = key.issuer(signature, now) else {
                    continue;
                };
                let issuer = issuer.and_then(|issuer| acceptable(signature, now).map(|()| issuer));
                let problem = match issuer {
                    Ok(issuer) if is_of(signature, issuer, data()).map_err(Unsigned::Io)? => {
                        return Ok(key);
                    }
                    Ok(_) => "the signature is of other data, or damaged",
                    Err(problem) => problem,
                };
                failure = Unsigned::Bad {
                    fingerprint: key.fingerprint(),
                    problem,
                };
            }
        }
        Err(failure)
    }
}

/// Whether this part of a key has signed all of the data.
fn is_of(
    signature: &packet::Signature,
    issuer: &dyn Verifies,
    data: impl Read,
) -> io::Result<bool> {
    let mut watched = Watched {
        data,
        failure: None,
    };
    let good = issuer.verify(signature, &mut watched);
    watched.failure.map_or(Ok(good), Err)
}

/// Whether a signature can be good, whatever it signs.
fn acceptable(signature: &packet::Signature, now: SystemTime) -> Result<(), &'static str> {
    use HashAlgorithm::{Md5, Ripemd160, Sha1};
    if signature.typ() != Some(SignatureType::Binary) {
        return Err("the signature is not one of a file");
    }
    if matches!(signature.hash_alg(), None | Some(Md5 | Sha1 | Ripemd160)) {
        return Err("the signature's digest is of a kind that can be forged");
    }
    match signature.created().map(SystemTime::from) {
        None => Err("the signature does not say when it was made"),
        Some(made) if made > now => Err("the signature was made in the future"),
        Some(_) if is_stale(signature, now) => Err("the signature has expired"),
        Some(_) => Ok(()),
    }
}

/// Whether a signature says that this key issued it. One that names nobody is nobody's.
pub(crate) fn issued_by(signature: &packet::Signature, key: &impl KeyDetails) -> bool {
    let (id, fingerprint) = (key.legacy_key_id(), key.fingerprint());
    signature.issuer_key_id().contains(&&id)
        || signature.issuer_fingerprint().contains(&&fingerprint)
}

/// Tells an error of reading from a signature that is not good.
struct Watched<R> {
    data: R,
    failure: Option<io::Error>,
}

impl<R: Read> Read for Watched<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.data.read(buffer).inspect_err(|error| {
            self.failure = Some(io::Error::new(error.kind(), error.to_string()));
        })
    }
}
