//! Stage1 images of web servers: fetched once, unpacked into the store, and found there under their addresses.

use std::path::Path;

use super::dependencies::{Dependencies, Lineage, Resolver};
use super::download::{Download, Remote, is_trusted};
use super::error::ImportCause;
use super::import::Progress;
use super::names::{OfWeb, Remembered};
use super::signature::{Check, Expected, Signatures};
use super::trees::UnpackedImage;
use super::{ImportError, Store, name_in};
use crate::import::Importer;
use crate::limits::MAX_IMAGE_BYTES;
use crate::web::Web;

/// An address can be that of an app's image too, which is another thing.
fn name_of(url: &str) -> String {
    format!("stage1 {url}")
}

impl Store {
    /// The stage1 image that was brought from this address, if it is in the store and signed as it has to be today.
    #[must_use]
    pub fn unpacked_of_url(&self, url: &str, signatures: Signatures<'_>) -> Option<UnpackedImage> {
        let named = self.remembered(&name_of(url))?;
        let signer = named.web?.signer;
        is_trusted(&name_in(&named.manifest), signer.as_deref(), signatures)
            .then(|| self.tree(&named.id).ok()?)?
    }

    /// Brings a stage1 image from this address, with its signature if it must have one, and unpacks it.
    ///
    /// # Errors
    /// When the server does not give it, when it is not signed as it has to be, and as [`Store::unpack`].
    pub fn unpack_url(
        &self,
        url: &str,
        web: &mut Web,
        signatures: Signatures<'_>,
        importer: &Importer,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<UnpackedImage, ImportError> {
        self.bring_stage1(url, web, signatures, importer, progress)
            .map_err(|source| ImportError {
                reference: url.to_owned(),
                source: Box::new(source),
            })
    }

    fn bring_stage1(
        &self,
        url: &str,
        web: &mut Web,
        signatures: Signatures<'_>,
        importer: &Importer,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<UnpackedImage, ImportCause> {
        let resolver = Resolver {
            store: self,
            importer,
            signatures,
            dependencies: Dependencies::OfStore,
            lineage: &Lineage::default(),
        };
        let remote = Remote::of_url(url);
        let mut download = Download {
            resolver: &resolver,
            remote: &remote,
            web,
        };
        let signature = download.signature()?;
        let file = download.file()?;
        download.web.bring(url, MAX_IMAGE_BYTES, None, &file)?;
        let path = Path::new(url);
        let check = Check::of_fetched(signatures, path, signature, Expected::Aci);
        check.begin()?;
        let unpacked = self.unpack_archive(path, file, &check, importer, progress)?;
        let named = Remembered {
            id: unpacked.id.clone(),
            manifest: unpacked.manifest.clone(),
            web: Some(OfWeb {
                tag: None,
                fresh_until: 0,
                signer: check.signer(),
            }),
        };
        let image = self.keep_tree(unpacked)?;
        self.remember_name(&name_of(url), &named)?;
        Ok(image)
    }
}
