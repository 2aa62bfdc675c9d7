//! From a reference to an image in the store: what the store does for an import, which reads no image itself.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use bulkhead_protocol::import::Form;

use super::dependencies::Resolver;
use super::error::ImportCause;
use super::hints::{Identity, Recalled};
use super::keeper::{Keeper, Members};
use super::parts::Parts;
use super::signature::Check;
use super::turn::Turn;
use super::{ImportError, StoredImage};
use crate::import::{self, Importer, Request};
use crate::registry::{Download, Registries, RegistryReference};
use crate::source::{Reference, SourceError, open_regular};

/// What an import is doing; for the user's eyes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// A compressed archive is being unpacked, to look for the image in it.
    Unpacking,
    /// Another process imports the same image; this one waits for it.
    Waiting,
    /// Layer `number` of `count` is being converted (from 1). An ACI is one layer.
    Layer {
        /// Which.
        number: usize,
        /// Of how many.
        count: usize,
    },
    /// The image is being made durable.
    Storing {
        /// Its size in bytes.
        bytes: u64,
        /// Files, directories, links and devices in it.
        inodes: u64,
    },
    /// Who has signed the image.
    Signed {
        /// Whose the key is, as it says.
        by: Vec<String>,
        /// The key's.
        fingerprint: String,
    },
    /// Nobody looked who has signed the image.
    Unverified,
    /// An image that it depends on is looked for; what follows is said of that one.
    Dependency(String),
    /// Something was left out that the image can do without.
    Warning(String),
}

pub(super) fn import(
    resolver: &Resolver<'_>,
    reference: &str,
    progress: &mut dyn FnMut(Progress),
) -> Result<StoredImage, ImportError> {
    let parsed = Reference::parse(reference).map_err(ImportCause::from);
    let mut import = Import { resolver, progress };
    let imported = parsed.and_then(|reference| import.run(&reference));
    imported.map_err(|source| ImportError {
        reference: reference.to_owned(),
        source: Box::new(source),
    })
}

/// Of a registry.
pub(super) fn fetch(
    resolver: &Resolver<'_>,
    reference: &RegistryReference,
    registries: &Registries,
    progress: &mut dyn FnMut(Progress),
) -> Result<StoredImage, ImportError> {
    let mut import = Import { resolver, progress };
    let fetched = import.fetch(reference, registries);
    fetched.map_err(|source| ImportError {
        reference: reference.to_string(),
        source: Box::new(source),
    })
}

/// An ACI that has come, into its store.
pub(super) fn import_fetched(
    resolver: &Resolver<'_>,
    name: &str,
    archive: File,
    check: &Check<'_>,
    progress: &mut dyn FnMut(Progress),
) -> Result<StoredImage, ImportCause> {
    let mut import = Import { resolver, progress };
    let again = archive.try_clone().map_err(|source| SourceError::Io {
        what: "share",
        path: name.to_owned(),
        source,
    })?;
    let request = Request {
        form: Form::Any,
        tag: None,
        path: name.to_owned(),
        name: name.to_owned(),
        archive: Some(archive),
    };
    let members = Members::InArchive {
        archive: &again,
        check,
    };
    import.convert(request, members)
}

struct Import<'a> {
    resolver: &'a Resolver<'a>,
    progress: &'a mut dyn FnMut(Progress),
}

impl Import<'_> {
    fn run(&mut self, reference: &Reference) -> Result<StoredImage, ImportCause> {
        let signatures = self.resolver.signatures;
        let name = name_of(&reference.path);
        let directory = fs::metadata(&reference.path).is_ok_and(|m| m.is_dir());
        if directory && matches!(reference.form, Form::Any | Form::OciLayout) {
            signatures.check_unnamed()?;
            return self.import_layout(reference, &name);
        }
        let check = Check::new(signatures, &reference.path);
        self.import_file(reference, &name, &check)
    }

    fn import_layout(
        &mut self,
        reference: &Reference,
        name: &str,
    ) -> Result<StoredImage, ImportCause> {
        let path = &reference.path;
        if !path.join("index.json").exists() {
            let path = path.display().to_string();
            return Err(SourceError::NotLayout { path }.into());
        }
        let request = request(reference, name, None);
        self.convert(request, Members::Layout(path))
    }

    fn import_file(
        &mut self,
        reference: &Reference,
        name: &str,
        check: &Check<'_>,
    ) -> Result<StoredImage, ImportCause> {
        let started = SystemTime::now();
        let file = open_regular(&reference.path)?;
        let unreadable = |source| SourceError::Io {
            what: "read",
            path: reference.path.display().to_string(),
            source,
        };
        let identity = |file: &File| -> Result<Identity, SourceError> {
            let metadata = file.metadata().map_err(unreadable)?;
            Ok(Identity::of(&metadata, reference, name))
        };
        let store = self.resolver.store;
        let before = identity(&file)?;
        if let Some(image) = self.recall(&before, &file, check)? {
            return Ok(image);
        }
        let _turn = Turn::take(store, &before.key(), || {
            (self.progress)(Progress::Waiting);
        })?;
        if let Some(image) = self.recall(&before, &file, check)? {
            return Ok(image);
        }
        let again = file.try_clone().map_err(unreadable)?;
        let request = request(reference, name, Some(file));
        let members = Members::InArchive {
            archive: &again,
            check,
        };
        let image = self.convert(request, members)?;
        let is_unchanged = identity(&again)? == before;
        check.stands(is_unchanged)?;
        if before.is_settled(started) && is_unchanged {
            let manifest = Some(&*image.manifest);
            store.remember(before, &image.id, check.is_of_aci(), manifest);
        }
        Ok(image)
    }

    /// The image that the file was at an earlier import. It is signed today, or not, by whom it is to be signed today, and depends on what
    /// it would depend on today.
    fn recall(
        &mut self,
        identity: &Identity,
        file: &File,
        check: &Check<'_>,
    ) -> Result<Option<StoredImage>, ImportCause> {
        let store = self.resolver.store;
        let Some(Recalled { image, is_aci }) = store.recall(identity) else {
            return Ok(None);
        };
        if is_aci {
            check.begin()?;
        }
        if let Some(progress) = check.end(&image.name, file)? {
            (self.progress)(progress);
        }
        let parts = store.parts(&image.id);
        let dependencies = match is_aci {
            true => self
                .resolver
                .resolve(&parts.archive, &image.manifest, self.progress)?,
            false => Vec::new(),
        };
        if Parts::new(&parts.archive, &dependencies).id() != image.id {
            return Ok(None);
        }
        if let Some(signer) = check.signer() {
            store.remember_signer(&image, &signer, &dependencies)?;
        }
        Ok(Some(image))
    }

    fn fetch(
        &mut self,
        reference: &RegistryReference,
        registries: &Registries,
    ) -> Result<StoredImage, ImportCause> {
        let download = Download::begin(reference, registries, &self.resolver.store.blobs())?;
        let name = reference.to_string();
        let request = Request {
            form: Form::OciLayout,
            tag: None,
            path: name.clone(),
            name,
            archive: None,
        };
        let converted = self.convert(request, Members::Registry(&download));
        // What did not come is why the rest makes no sense.
        match (download.end(), converted) {
            (Some(failure), Err(_)) => Err(failure.into()),
            (_, converted) => {
                let image = converted?;
                let store = self.resolver.store;
                store.name(&reference.to_string(), &image, None)?;
                Ok(image)
            }
        }
    }

    /// Has the image made, unless it is there.
    fn convert(
        &mut self,
        request: Request,
        members: Members<'_>,
    ) -> Result<StoredImage, ImportCause> {
        let keeper = Keeper::new(self.resolver, members, &mut *self.progress);
        let imported = match self.resolver.importer {
            Importer::Process(program) => import::import(program, request, &keeper)?,
            Importer::Here => import::run(request, &keeper)?,
        };
        keeper.finish(imported)
    }
}

fn request(reference: &Reference, name: &str, archive: Option<File>) -> Request {
    Request {
        form: reference.form,
        tag: reference.tag.clone(),
        path: reference.path.display().to_string(),
        name: name.to_owned(),
        archive,
    }
}

/// What an image without a name is called: its file's name without the usual endings.
fn name_of(path: &Path) -> String {
    let absolute = fs::canonicalize(path);
    let path: PathBuf = absolute.unwrap_or_else(|_| path.to_owned());
    let mut name = path
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    for ending in [".gz", ".tgz", ".xz", ".bz2", ".zst", ".tar", ".oci", ".aci"] {
        if let Some(stem) = name.strip_suffix(ending) {
            name = stem.to_owned();
        }
    }
    name
}
