//! ACIs of web servers.
//!
//! What has come is kept under its address: while the server says that it is good, and afterwards as long as the server has no other version of it. One that was
//! taken unsigned, or that somebody signed who is not trusted any more, is as good as none.

use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bulkhead_trust::{MAX_SIGNATURE_BYTES, Signature};
use rustix::fs::{Mode, OFlags, open};

use super::dependencies::{Dependencies, Lineage, Resolver};
use super::error::ImportCause;
use super::import::{Progress, import_fetched};
use super::names::OfWeb;
use super::parts::Parts;
use super::signature::{Check, Expected, Signatures, UnsignedError, read_signature};
use super::{ImportError, Store, StoreError, StoredImage};
use crate::dependency::Dependency;
use crate::import::Importer;
use crate::limits::MAX_IMAGE_BYTES;
use crate::web::{Answer, Web};

/// Where an image is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remote {
    /// What it is called in the store: its address, or the name that led to it.
    pub name: String,
    /// The address of the ACI.
    pub aci: String,
    /// The address of its signature.
    pub signature: String,
    /// The name in its manifest, if that is known.
    pub image: Option<String>,
    /// What it has to be, if another image depends on it.
    pub(crate) dependency: Option<Dependency>,
}

impl Remote {
    /// An ACI whose address is its name; its signature is beside it.
    #[must_use]
    pub fn of_url(url: &str) -> Self {
        // Not behind what the address asks.
        let end = url.find(['?', '#']).unwrap_or(url.len());
        let (path, query) = url.split_at(end);
        Self {
            name: url.to_owned(),
            aci: url.to_owned(),
            signature: format!("{path}.asc{query}"),
            image: None,
            dependency: None,
        }
    }
}

impl Store {
    /// The image that was brought under this name, if it is in the store and signed as it has to be today.
    #[must_use]
    pub fn downloaded(&self, name: &str, signatures: Signatures<'_>) -> Option<StoredImage> {
        let (image, web) = self.named_with(name)?;
        self.is_acceptable(&image, &web?, signatures)
            .then_some(image)
    }

    /// Brings an ACI into the store, or finds that it is there as the server has it.
    ///
    /// # Errors
    /// When the server does not give it, when it is not signed as it has to be, and when it cannot be imported.
    pub fn download(
        &self,
        remote: &Remote,
        web: &mut Web,
        signatures: Signatures<'_>,
        importer: &Importer,
        dependencies: Dependencies<'_>,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<StoredImage, ImportError> {
        let resolver = Resolver {
            store: self,
            importer,
            signatures,
            dependencies,
            lineage: &Lineage::default(),
        };
        resolver.download(remote, web, progress)
    }

    /// Whether an image was signed, by somebody who is trusted for it today, and all that it is put together from.
    fn is_acceptable(&self, image: &StoredImage, web: &OfWeb, signatures: Signatures<'_>) -> bool {
        let is_whole = self.parts(&image.id).dependencies.is_empty();
        is_trusted(&image.name, web.signer.as_deref(), signatures)
            && (is_whole || self.is_signed(&image.id, signatures))
    }
}

/// Whether who has signed an image of this name is trusted for it today, or need not be.
pub(super) fn is_trusted(name: &str, signer: Option<&str>, signatures: Signatures<'_>) -> bool {
    let Signatures::Required { trusted, .. } = signatures else {
        return true;
    };
    // Keys that cannot be read are an error when one is needed.
    let signed = name.parse().ok().zip(signer);
    signed.is_some_and(|(name, signer)| trusted.trusts(&name, signer).unwrap_or(false))
}

impl Resolver<'_> {
    /// The same, for one that may be needed for another.
    pub(super) fn download(
        &self,
        remote: &Remote,
        web: &mut Web,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<StoredImage, ImportError> {
        let mut download = Download {
            resolver: self,
            remote,
            web,
        };
        download.run(progress).map_err(|source| ImportError {
            reference: remote.name.clone(),
            source: Box::new(source),
        })
    }
}

pub(super) struct Download<'a> {
    pub(super) resolver: &'a Resolver<'a>,
    pub(super) remote: &'a Remote,
    pub(super) web: &'a mut Web,
}

impl Download<'_> {
    fn run(&mut self, progress: &mut dyn FnMut(Progress)) -> Result<StoredImage, ImportCause> {
        let store = self.resolver.store;
        let known = self.known(progress)?;
        if let Some((image, web)) = &known
            && now() < web.fresh_until
        {
            return Ok(image.clone());
        }
        let signature = self.signature()?;
        let file = self.file()?;
        let tag = known.as_ref().and_then(|(_, web)| web.tag.as_deref());
        let limit = self
            .size()
            .map_or(MAX_IMAGE_BYTES, |size| size.min(MAX_IMAGE_BYTES));
        let answer = self.web.bring(&self.remote.aci, limit, tag, &file)?;
        let (tag, fresh_for) = match (answer, known) {
            (Answer::Unchanged { fresh_for }, Some((image, web))) => {
                let fresh_until = until(fresh_for);
                let web = Some(OfWeb { fresh_until, ..web });
                store.name(&self.remote.name, &image, web)?;
                return Ok(image);
            }
            (Answer::Got { tag, fresh_for }, _) => (tag, fresh_for),
            (Answer::Unchanged { .. }, None) => (None, Duration::ZERO),
        };
        self.check_size(&file)?;
        let expected = match (&self.remote.dependency, &self.remote.image) {
            (Some(dependency), _) => Expected::Dependency(dependency),
            (None, Some(name)) => Expected::Named(name),
            (None, None) => Expected::Aci,
        };
        let path = Path::new(&self.remote.aci);
        let check = Check::of_fetched(self.resolver.signatures, path, signature, expected);
        let image = import_fetched(self.resolver, &self.remote.aci, file, &check, progress)?;
        let web = OfWeb {
            tag,
            fresh_until: until(fresh_for),
            signer: check.signer(),
        };
        store.name(&self.remote.name, &image, Some(web))?;
        Ok(image)
    }

    /// What came before under this name, if it would still do: it is signed, what is asked for, and put together from what it would be put together from today.
    fn known(
        &self,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Option<(StoredImage, OfWeb)>, ImportCause> {
        let Resolver {
            store, signatures, ..
        } = *self.resolver;
        let Some((image, Some(web))) = store.named_with(&self.remote.name) else {
            return Ok(None);
        };
        let archive = store.parts(&image.id).archive;
        let dependency = self.remote.dependency.as_ref();
        let is_meant = dependency.is_none_or(|it| it.is_met_by(&archive, &image.manifest));
        if !is_meant || !store.is_acceptable(&image, &web, signatures) {
            return Ok(None);
        }
        let dependencies = self.resolver.resolve(&archive, &image.manifest, progress)?;
        let is_same = Parts::new(&archive, &dependencies).id() == image.id;
        Ok(is_same.then_some((image, web)))
    }

    /// Bytes that the archive has to have.
    fn size(&self) -> Option<u64> {
        self.remote.dependency.as_ref()?.size
    }

    fn check_size(&self, file: &File) -> Result<(), ImportCause> {
        let Some(expected) = self.size() else {
            return Ok(());
        };
        let path = Path::new(&self.remote.aci);
        let found = file.metadata().map_err(StoreError::io("look at", path))?;
        match found.len() == expected {
            true => Ok(()),
            false => Err(UnsignedError::OtherImage(format!(
                "{} of {expected} bytes, and it has {}",
                self.remote.name,
                found.len()
            ))
            .into()),
        }
    }

    /// Before the image, which may be large.
    pub(super) fn signature(&mut self) -> Result<Option<Signature>, ImportCause> {
        let named = match self.resolver.signatures {
            Signatures::Unneeded | Signatures::Ignored => return Ok(None),
            Signatures::Required { signature, .. } => signature,
        };
        if let Some(path) = named {
            return Ok(Some(read_signature(path)?));
        }
        let url = &self.remote.signature;
        let bytes = self.web.read(url, MAX_SIGNATURE_BYTES);
        let bytes = bytes.map_err(|source| UnsignedError::Fetch {
            url: url.clone(),
            source,
        })?;
        let signature = Signature::read(&bytes).map_err(|source| UnsignedError::Format {
            path: url.into(),
            source,
        })?;
        Ok(Some(signature))
    }

    /// A file without a name, where blobs are.
    pub(super) fn file(&self) -> Result<File, StoreError> {
        let directory = self.resolver.store.blobs();
        let failed = StoreError::io("create", &directory);
        fs::create_dir_all(&directory).map_err(StoreError::io("create", &directory))?;
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        let file = open(&directory, flags, Mode::RUSR | Mode::WUSR);
        Ok(File::from(file.map_err(|errno| failed(errno.into()))?))
    }
}

fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| now.as_secs())
}

fn until(fresh_for: Duration) -> u64 {
    now().saturating_add(fresh_for.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_beside_the_file_and_not_behind_the_query() {
        let signature = |url: &str| Remote::of_url(url).signature;
        assert_eq!(signature("https://a/b.aci"), "https://a/b.aci.asc");
        assert_eq!(signature("https://a/b.aci?v=1"), "https://a/b.aci.asc?v=1");
    }
}
