//! Whose signatures of images are taken.
//!
//! * [`TrustStore`]: keys in directories, those of the system under those of the administrator, each for all images or for those whose
//!   names begin alike; layout and rules are rkt's;
//! * [`PublicKey`]: an OpenPGP key, and which parts of it may sign now;
//! * [`Signature`]: a detached signature, and who made it;
//! * [`check_cosign`]: the other kind, of images of registries, by plain keys or by certificates of some minutes.
//!
//! The packets are read and the arithmetic is done by the `pgp` crate, in this process. What is read of strangers is one signature of at most
//! [`MAX_SIGNATURE_BYTES`], before anything of the image; keys are those that an administrator has put there. Certificates are strangers'
//! too: `rustls-webpki` looks for who has made them, and `x509-cert` reads those of whom that was found.

mod cosign;
mod key;
mod keyless;
mod prefix;
mod signature;
mod store;

pub use cosign::{
    BadCosignKey, CosignError, CosignKey, CosignSignature, CosignSigners, MAX_PAYLOAD_BYTES,
    check_cosign,
};
pub use key::{KeyError, PublicKey};
#[cfg(feature = "fuzzing")]
pub use keyless::read_certificate;
pub use keyless::{
    Authorities, BadAuthorities, BadEntry, BadTimestamp, Identity, Keyless, KeylessError, Subject,
    UntrustedCertificate, WrongIdentity,
};
pub use prefix::{BadPrefix, Prefix};
pub use signature::{MAX_SIGNATURE_BYTES, Signature, SignatureError};
pub use store::{MAX_KEY_BYTES, MAX_KEYS, StoreError, TrustStore, VerifyError};
