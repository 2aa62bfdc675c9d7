//! Who has signed an archive, as far as somebody has to have signed it.

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use bulkhead_trust::{
    BadPrefix, MAX_SIGNATURE_BYTES, Prefix, Signature, SignatureError, TrustStore, VerifyError,
};

use super::error::ImportCause;
use super::import::Progress;
use crate::dependency::Dependency;
use crate::digest::ImageId;
use crate::registry::FetchError;
use crate::source::{SourceError, open_regular, section_of};

/// What lies beside an image: the signature of `app.aci` is `app.aci.asc`.
const ENDING: &str = ".asc";

/// Whether an ACI must be signed. Images of other forms have no signatures.
#[derive(Debug, Clone, Copy)]
pub enum Signatures<'a> {
    /// No: who asks has made it, or trusts the place that it comes from.
    Unneeded,
    /// It should be, and the user does not want to know.
    Ignored,
    /// By somebody who is trusted for images of its name.
    Required {
        /// Who that is.
        trusted: &'a TrustStore,
        /// Where the signature is, if not beside the image.
        signature: Option<&'a Path>,
    },
}

impl Signatures<'_> {
    /// Where the user says that the signature is.
    fn named(&self) -> Option<&Path> {
        match self {
            Self::Required { signature, .. } => *signature,
            Self::Unneeded | Self::Ignored => None,
        }
    }

    /// The same of another image, whose signature is where it always is.
    pub(super) fn beside(self) -> Self {
        match self {
            Self::Required { trusted, .. } => Self::Required {
                trusted,
                signature: None,
            },
            other => other,
        }
    }

    /// Of something that can have no signature.
    pub(super) fn check_unnamed(&self) -> Result<(), UnsignedError> {
        match self.named() {
            None => Ok(()),
            Some(_) => Err(UnsignedError::NotAci),
        }
    }
}

/// An image that is not signed as it has to be.
#[derive(Debug, thiserror::Error)]
pub enum UnsignedError {
    /// There is no signature.
    #[error(
        "it is not signed: there is no {}; --insecure-options=image takes it all the same",
        path.display()
    )]
    Missing {
        /// Where it should be.
        path: PathBuf,
    },
    /// The signature cannot be opened or read.
    #[error("its signature")]
    Open(#[from] SourceError),
    /// It cannot be read.
    #[error("read its signature {}", path.display())]
    Read {
        /// Where it is.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A web server does not give it.
    #[error("its signature {url}; --insecure-options=image takes it without")]
    Fetch {
        /// Where it should be.
        url: String,
        /// Why not.
        source: FetchError,
    },
    /// What was read is none.
    #[error("its signature {}", path.display())]
    Format {
        /// Where it is.
        path: PathBuf,
        /// What is wrong with it.
        source: SignatureError,
    },
    /// Its name is not one that anybody can be trusted for.
    #[error("its name")]
    Name(#[from] BadPrefix),
    /// Nobody who is trusted has made it.
    #[error("its signature {}", path.display())]
    Verify {
        /// Where it is.
        path: PathBuf,
        /// Why nobody has.
        source: Box<VerifyError>,
    },
    /// The file was written to meanwhile.
    #[error("{} was changed while its signature was checked", path.display())]
    Changed {
        /// The image.
        path: PathBuf,
    },
    /// What a web server has given is none.
    #[error("it is no ACI")]
    NoAci,
    /// A server has given another image than it was asked for.
    #[error("it is the image {name:?}, and {expected:?} was asked for")]
    OtherName {
        /// In its manifest.
        name: String,
        /// That was asked for.
        expected: String,
    },
    /// A server has given another version of it than the image that depends on it names.
    #[error("it is not the image that was asked for: {0}")]
    OtherImage(String),
    /// Something else than an ACI.
    #[error("a signature was named, and only an ACI can have one")]
    NotAci,
}

/// The check of one archive.
pub(super) struct Check<'a> {
    signatures: Signatures<'a>,
    archive: &'a Path,
    signature: RefCell<Option<Signature>>,
    is_aci: Cell<bool>,
    signer: RefCell<Option<String>>,
    expected: Expected<'a>,
}

/// What an archive must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expected<'a> {
    /// Any image.
    Anything,
    /// An ACI.
    Aci,
    /// The ACI of this name.
    Named(&'a str),
    /// What an image depends on.
    Dependency(&'a Dependency),
}

impl<'a> Check<'a> {
    pub(super) fn new(signatures: Signatures<'a>, archive: &'a Path) -> Self {
        Self {
            signatures,
            archive,
            signature: RefCell::default(),
            is_aci: Cell::default(),
            signer: RefCell::default(),
            expected: Expected::Anything,
        }
    }

    /// Of what has come from elsewhere with its signature, if it has to have one.
    pub(super) fn of_fetched(
        signatures: Signatures<'a>,
        archive: &'a Path,
        signature: Option<Signature>,
        expected: Expected<'a>,
    ) -> Self {
        Self {
            signature: RefCell::new(signature),
            expected,
            ..Self::new(signatures, archive)
        }
    }

    /// Whether only what somebody has signed is taken.
    pub(super) fn must_be_signed(&self) -> bool {
        matches!(self.signatures, Signatures::Required { .. })
    }

    /// The key that has signed it, once that is known.
    pub(super) fn signer(&self) -> Option<String> {
        self.signer.borrow().clone()
    }

    /// The archive is an ACI: it has a signature, if it must have one.
    pub(super) fn begin(&self) -> Result<(), UnsignedError> {
        self.is_aci.set(true);
        let is_missing = self.signature.borrow().is_none();
        if let (Signatures::Required { .. }, true) = (self.signatures, is_missing) {
            *self.signature.borrow_mut() = Some(read_signature(&self.path())?);
        }
        Ok(())
    }

    /// Whether it has begun.
    pub(super) fn is_of_aci(&self) -> bool {
        self.is_aci.get()
    }

    /// Which image it is, is known: it may have to be a certain one.
    pub(super) fn fits(&self, archive: &ImageId, manifest: &[u8]) -> Result<(), UnsignedError> {
        match self.expected {
            Expected::Dependency(dependency) if !dependency.is_met_by(archive, manifest) => {
                let expected = match &dependency.id {
                    Some(id) => format!(
                        "{} with the id {id}, and its id is {archive}",
                        dependency.name
                    ),
                    None => format!(
                        "{}, and its manifest has another name or other labels",
                        dependency.name
                    ),
                };
                Err(UnsignedError::OtherImage(expected))
            }
            _ => Ok(()),
        }
    }

    /// The image's name is known: all of the archive is read, and its signer told. What is no ACI is taken as it is.
    pub(super) fn end(&self, name: &str, archive: &File) -> Result<Option<Progress>, ImportCause> {
        match self.expected {
            Expected::Aci | Expected::Named(_) | Expected::Dependency(_) if !self.is_of_aci() => {
                return Err(UnsignedError::NoAci.into());
            }
            Expected::Named(expected) if expected != name => {
                return Err(UnsignedError::OtherName {
                    name: name.to_owned(),
                    expected: expected.to_owned(),
                }
                .into());
            }
            _ => {}
        }
        if !self.is_of_aci() {
            self.signatures.check_unnamed()?;
            return Ok(None);
        }
        match self.signatures {
            Signatures::Unneeded => Ok(None),
            Signatures::Ignored => Ok(Some(Progress::Unverified)),
            Signatures::Required { trusted, .. } => self.verify(trusted, name, archive).map(Some),
        }
    }

    /// What was signed is what was read, if nobody has written to the file meanwhile.
    pub(super) fn stands(&self, is_unchanged: bool) -> Result<(), UnsignedError> {
        match self.signatures {
            Signatures::Required { .. } if self.is_of_aci() && !is_unchanged => {
                Err(UnsignedError::Changed {
                    path: self.archive.to_owned(),
                })
            }
            _ => Ok(()),
        }
    }

    fn verify(
        &self,
        trusted: &TrustStore,
        name: &str,
        archive: &File,
    ) -> Result<Progress, ImportCause> {
        let signature = self.signature.take().expect("it was read at the beginning");
        let name: Prefix = name.parse().map_err(UnsignedError::from)?;
        let unreadable = |source| SourceError::Io {
            what: "read",
            path: self.archive.display().to_string(),
            source,
        };
        let whole = archive
            .try_clone()
            .and_then(section_of)
            .map_err(unreadable)?;
        let signer = trusted.verify(&name, || whole.clone(), &signature);
        let signer = signer.map_err(|error| UnsignedError::Verify {
            path: self.path(),
            source: Box::new(error),
        })?;
        *self.signer.borrow_mut() = Some(signer.fingerprint());
        Ok(Progress::Signed {
            by: signer.identities(),
            fingerprint: signer.fingerprint(),
        })
    }

    fn path(&self) -> PathBuf {
        self.signatures.named().map_or_else(
            || {
                let mut path = self.archive.as_os_str().to_owned();
                path.push(ENDING);
                path.into()
            },
            Path::to_owned,
        )
    }
}

/// The signature in a file.
pub(super) fn read_signature(path: &Path) -> Result<Signature, UnsignedError> {
    let file = match open_regular(path) {
        Err(SourceError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            return Err(UnsignedError::Missing {
                path: path.to_owned(),
            });
        }
        file => file?,
    };
    let mut bytes = Vec::new();
    let read = file.take(MAX_SIGNATURE_BYTES + 1).read_to_end(&mut bytes);
    read.map_err(|source| UnsignedError::Read {
        path: path.to_owned(),
        source,
    })?;
    Signature::read(&bytes).map_err(|source| UnsignedError::Format {
        path: path.to_owned(),
        source,
    })
}
