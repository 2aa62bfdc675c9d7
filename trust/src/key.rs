//! OpenPGP keys.

use std::io::Cursor;
use std::time::SystemTime;

use pgp::composed::{ArmorOptions, Deserializable, SignedPublicKey, SignedPublicSubKey};
use pgp::packet::{self, SignatureType, SubpacketData};
use pgp::types::{Duration, Fingerprint, KeyDetails, Tag, Timestamp, VerifyingKey};

use crate::signature::issued_by;

/// Keys of one file: more than anybody hands out as one.
const MAX_KEYS_OF_FILE: usize = 16;

/// Something that is no key to be trusted.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// It is no OpenPGP key, armored or not.
    #[error("it is no OpenPGP key")]
    Format(#[source] Box<pgp::errors::Error>),
    /// Nothing is in it.
    #[error("there is no key in it")]
    Empty,
    /// See the bound.
    #[error("there are more than {MAX_KEYS_OF_FILE} keys in it")]
    TooMany,
    /// A key of a version that has no fingerprint to go by.
    #[error("its version is neither 4 nor 6")]
    Version,
}

/// A public key with its parts.
#[derive(Debug, Clone)]
pub struct PublicKey {
    key: SignedPublicKey,
}

impl PublicKey {
    /// Reads the keys of a file, armored (as `gpg --armor --export` writes them) or not.
    ///
    /// # Errors
    /// When there is none, or too many, or something else.
    pub fn read(bytes: &[u8]) -> Result<Vec<Self>, KeyError> {
        let format = |error| KeyError::Format(Box::new(error));
        let (keys, _) =
            SignedPublicKey::from_reader_many_buf(Cursor::new(bytes)).map_err(format)?;
        let mut read = Vec::new();
        for key in keys {
            let key = key.map_err(format)?;
            if read.len() == MAX_KEYS_OF_FILE {
                return Err(KeyError::TooMany);
            }
            if !matches!(key.fingerprint(), Fingerprint::V4(_) | Fingerprint::V6(_)) {
                return Err(KeyError::Version);
            }
            read.push(Self { key });
        }
        match read.is_empty() {
            true => Err(KeyError::Empty),
            false => Ok(read),
        }
    }

    /// Its fingerprint, in small hexadecimal digits: the name of its file.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        self.key.fingerprint().to_string()
    }

    /// The fingerprints of its subkeys.
    #[must_use]
    pub fn subkey_fingerprints(&self) -> Vec<String> {
        let subkeys = self.key.public_subkeys.iter();
        subkeys
            .map(|subkey| subkey.key.fingerprint().to_string())
            .collect()
    }

    /// Whose it says that it is: names with addresses, without what would move a terminal's cursor.
    #[must_use]
    pub fn identities(&self) -> Vec<String> {
        let users = self.key.details.users.iter();
        let texts = users.map(|user| String::from_utf8_lossy(user.id.id()).into_owned());
        texts
            .map(|text| text.replace(char::is_control, "?"))
            .collect()
    }

    /// The part of this key that issued the signature, if it may sign now; `None`: no part did.
    pub(crate) fn issuer(
        &self,
        signature: &packet::Signature,
        now: SystemTime,
    ) -> Option<Result<&dyn Verifies, &'static str>> {
        let primary = &self.key.primary_key;
        if issued_by(signature, primary) {
            return Some(
                self.primary_may_sign(now)
                    .map(|()| primary as &dyn Verifies),
            );
        }
        let mut subkeys = self.key.public_subkeys.iter();
        let subkey = subkeys.find(|subkey| issued_by(signature, &subkey.key))?;
        let may = self.subkey_may_sign(subkey, now);
        Some(may.map(|()| &subkey.key as &dyn Verifies))
    }

    /// As `gpg --armor --export` would write it.
    pub(crate) fn armored(&self) -> Result<Vec<u8>, KeyError> {
        let armored = self.key.to_armored_bytes(ArmorOptions::default());
        armored.map_err(|error| KeyError::Format(Box::new(error)))
    }

    fn primary_may_sign(&self, now: SystemTime) -> Result<(), &'static str> {
        let newest = self.is_alive(now)?;
        match may_sign(newest) {
            true => Ok(()),
            false => Err("the key is not for signing"),
        }
    }

    /// Neither revoked nor expired; its newest signature of itself says so.
    fn is_alive(&self, now: SystemTime) -> Result<&packet::Signature, &'static str> {
        let primary = &self.key.primary_key;
        let details = &self.key.details;
        let mut revocations = details.revocation_signatures.iter();
        if revocations.any(|revocation| revocation.verify_key(primary).is_ok()) {
            return Err("the key is revoked");
        }
        let direct = details.direct_signatures.iter();
        let direct = direct.filter(|own| own.verify_key(primary).is_ok());
        let of_users = details.users.iter().flat_map(|user| {
            let certifies = |own: &&packet::Signature| {
                own.typ() != Some(SignatureType::CertRevocation)
                    && issued_by(own, primary)
                    && own
                        .verify_certification(primary, Tag::UserId, &user.id)
                        .is_ok()
            };
            user.signatures.iter().filter(certifies)
        });
        let newest =
            newest(direct.chain(of_users), now).ok_or("the key does not vouch for itself")?;
        match has_expired(primary.created_at(), newest.key_expiration_time(), now) {
            true => Err("the key has expired"),
            false => Ok(newest),
        }
    }

    fn subkey_may_sign(
        &self,
        subkey: &SignedPublicSubKey,
        now: SystemTime,
    ) -> Result<(), &'static str> {
        self.is_alive(now)?;
        let primary = &self.key.primary_key;
        let bound = subkey.signatures.iter();
        let bound =
            bound.filter(|binding| binding.verify_subkey_binding(primary, &subkey.key).is_ok());
        let (revocations, bindings): (Vec<_>, Vec<_>) =
            bound.partition(|binding| binding.typ() == Some(SignatureType::SubkeyRevocation));
        if !revocations.is_empty() {
            return Err("the subkey is revoked");
        }
        let newest =
            newest(bindings.into_iter(), now).ok_or("the key does not vouch for its subkey")?;
        if has_expired(subkey.key.created_at(), newest.key_expiration_time(), now) {
            return Err("the subkey has expired");
        }
        if !may_sign(newest) {
            return Err("the subkey is not for signing");
        }
        let back = newest.embedded_signature();
        match back.is_some_and(|back| {
            back.verify_primary_key_binding(&subkey.key, primary)
                .is_ok()
        }) {
            true => Ok(()),
            false => Err("the subkey does not vouch for its key"),
        }
    }
}

/// What can verify a signature.
pub(crate) trait Verifies {
    fn verify(&self, signature: &packet::Signature, data: &mut dyn std::io::Read) -> bool;
}

impl<K: VerifyingKey> Verifies for K {
    fn verify(&self, signature: &packet::Signature, data: &mut dyn std::io::Read) -> bool {
        signature.verify(self, data).is_ok()
    }
}

/// The one that counts: made last, but not in the future, and not expired.
fn newest<'a>(
    signatures: impl Iterator<Item = &'a packet::Signature>,
    now: SystemTime,
) -> Option<&'a packet::Signature> {
    let made = |signature: &packet::Signature| signature.created().map(SystemTime::from);
    signatures
        .filter(|signature| {
            made(signature).is_some_and(|made| made <= now) && !is_stale(signature, now)
        })
        .max_by_key(|signature| made(signature))
}

/// Whether a signature's own time is over.
pub(crate) fn is_stale(signature: &packet::Signature, now: SystemTime) -> bool {
    let created = signature.created().unwrap_or_default();
    has_expired(created, signature.signature_expiration_time(), now)
}

/// No time, and a time of 0, never end.
fn has_expired(created: Timestamp, lifetime: Option<Duration>, now: SystemTime) -> bool {
    let lifetime = lifetime
        .map(std::time::Duration::from)
        .filter(|lifetime| !lifetime.is_zero());
    lifetime.is_some_and(|lifetime| SystemTime::from(created) + lifetime <= now)
}

/// Old keys do not say what they are for.
fn may_sign(vouched: &packet::Signature) -> bool {
    let config = vouched.config();
    let mut subpackets = config
        .into_iter()
        .flat_map(|config| config.hashed_subpackets());
    let flags = subpackets.find_map(|subpacket| match &subpacket.data {
        SubpacketData::KeyFlags(flags) => Some(flags),
        _ => None,
    });
    flags.is_none_or(packet::KeyFlags::sign)
}
