//! From what a manifest says of an image's dependencies to images of the store.
//!
//! One that is there is taken, or else its name is looked for on web servers, as if the user had asked for it; what comes may depend on others in turn. Each is
//! an image of the store of its own, and stays there when the one that is made of it cannot be had.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use super::error::ImportCause;
use super::import::Progress;
use super::signature::Signatures;
use super::{ImageEntry, ImportError, Remote, Store, StoredImage};
use crate::dependency::Dependency;
use crate::digest::ImageId;
use crate::discovery::{AciName, DiscoveryError};
use crate::import::Importer;
use crate::limits::{MAX_DEPENDENCIES, MAX_DEPENDENCY_DEPTH};
use crate::registry::FetchError;
use crate::web::{Web, WebAccess};

/// Where the images come from that an image depends on.
#[derive(Clone, Copy)]
pub enum Dependencies<'a> {
    /// They are in the store, or the image is refused.
    OfStore,
    /// Web servers are asked, too.
    OfServers {
        /// How they are spoken to.
        access: &'a WebAccess,
        /// Also for what is in the store, which is taken where no page says anything.
        always: bool,
        /// Called before one that must be signed is looked for: whose keys are trusted may change.
        trust: &'a dyn Fn(&AciName, &mut Web),
    },
}

/// Why an image that another one depends on cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum DependencyError {
    /// It is one of those that need it.
    #[error("it depends on itself, by way of {0}")]
    Cycle(String),
    /// See the bound.
    #[error("dependencies of dependencies may be {MAX_DEPENDENCY_DEPTH} deep")]
    TooDeep,
    /// See the bound.
    #[error("it is one more than the {MAX_DEPENDENCIES} that an image may have on all levels")]
    TooMany,
    /// Nobody may be asked for it.
    #[error("it is not in the store, or signed by nobody who is trusted, and may not be fetched")]
    NotInStore,
    /// No page says where it is.
    #[error(transparent)]
    Discovery(#[from] DiscoveryError),
    /// No fetcher can be started.
    #[error("start the fetcher")]
    Fetcher(#[source] FetchError),
    /// It cannot be brought.
    #[error(transparent)]
    Import(#[from] ImportError),
}

/// The images on the way from what the user asked for to one that is needed for it.
#[derive(Debug, Clone, Default)]
pub(super) struct Lineage {
    above: Vec<Ancestor>,
    /// Shared by all that is looked for on behalf of one image.
    sought: Rc<Sought>,
}

/// What was looked for so far: once each, whoever needs it, so that all have the same.
#[derive(Debug, Default)]
struct Sought {
    count: Cell<usize>,
    found: RefCell<Vec<(Dependency, StoredImage)>>,
}

#[derive(Debug, Clone)]
struct Ancestor {
    archive: ImageId,
    manifest: Rc<[u8]>,
}

impl Lineage {
    fn below(&self, archive: &ImageId, manifest: &[u8]) -> Self {
        let mut lineage = self.clone();
        lineage.above.push(Ancestor {
            archive: archive.clone(),
            manifest: manifest.into(),
        });
        lineage
    }

    /// An image cannot be put together from itself.
    fn check(&self, dependency: &Dependency) -> Result<(), DependencyError> {
        let mut above = self.above.iter();
        if !above.any(|image| dependency.is_met_by(&image.archive, &image.manifest)) {
            return Ok(());
        }
        let above = self.above.iter();
        let names: Vec<String> = above.map(|image| super::name_in(&image.manifest)).collect();
        Err(DependencyError::Cycle(names.join(", ")))
    }

    /// What was found before.
    fn found(&self, dependency: &Dependency) -> Option<StoredImage> {
        let found = self.sought.found.borrow();
        let mut found = found.iter().filter(|(sought, _)| sought == dependency);
        found.next().map(|(_, image)| image.clone())
    }

    /// One more is looked for.
    fn count(&self) -> Result<(), DependencyError> {
        if self.above.len() > MAX_DEPENDENCY_DEPTH {
            return Err(DependencyError::TooDeep);
        }
        let count = &self.sought.count;
        count.set(count.get() + 1);
        match count.get() > MAX_DEPENDENCIES {
            true => Err(DependencyError::TooMany),
            false => Ok(()),
        }
    }
}

/// Finds the dependencies of one image.
pub(super) struct Resolver<'a> {
    pub(super) store: &'a Store,
    pub(super) importer: &'a Importer,
    /// Of the image itself; its dependencies are signed by the same rules.
    pub(super) signatures: Signatures<'a>,
    pub(super) dependencies: Dependencies<'a>,
    pub(super) lineage: &'a Lineage,
}

impl Resolver<'_> {
    /// Those of an archive with this id and manifest, in the manifest's order.
    pub(super) fn resolve(
        &self,
        archive: &ImageId,
        manifest: &[u8],
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Vec<StoredImage>, ImportCause> {
        let lineage = self.lineage.below(archive, manifest);
        let mut found = Vec::new();
        for dependency in Dependency::all_of(manifest)? {
            let image = self.find_once(&dependency, &lineage, progress);
            found.push(image.map_err(|source| ImportCause::Dependency {
                name: dependency.name.to_string(),
                source: Box::new(source),
            })?);
        }
        Ok(found)
    }

    fn find_once(
        &self,
        dependency: &Dependency,
        lineage: &Lineage,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<StoredImage, DependencyError> {
        lineage.check(dependency)?;
        if let Some(image) = lineage.found(dependency) {
            return Ok(image);
        }
        lineage.count()?;
        let image = self.find(dependency, lineage, progress)?;
        let found = (dependency.clone(), image.clone());
        lineage.sought.found.borrow_mut().push(found);
        Ok(image)
    }

    fn find(
        &self,
        dependency: &Dependency,
        lineage: &Lineage,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<StoredImage, DependencyError> {
        let known = self.known(dependency);
        let Dependencies::OfServers { always, .. } = self.dependencies else {
            return known.ok_or(DependencyError::NotInStore);
        };
        // One that its id names is what it was.
        let is_final = !always || dependency.id.is_some();
        match (known, is_final) {
            (Some(image), true) => Ok(image),
            (known, _) => match (self.fetch(dependency, lineage, progress), known) {
                (Err(DependencyError::Discovery(_)), Some(image)) => Ok(image),
                (fetched, _) => fetched,
            },
        }
    }

    /// The one of the store that came last of those that are meant, and signed as they have to be today.
    fn known(&self, dependency: &Dependency) -> Option<StoredImage> {
        let mut entries = self.store.list().ok()?;
        entries.retain(|ImageEntry { image, .. }| {
            let archive = self.store.parts(&image.id).archive;
            dependency.is_met_by(&archive, &image.manifest)
                && self.store.is_signed(&image.id, self.signatures)
        });
        let last = entries.into_iter().max_by_key(|entry| entry.imported);
        last.map(|entry| entry.image)
    }

    fn fetch(
        &self,
        dependency: &Dependency,
        lineage: &Lineage,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<StoredImage, DependencyError> {
        let Dependencies::OfServers { access, trust, .. } = self.dependencies else {
            return Err(DependencyError::NotInStore);
        };
        let name = &dependency.name;
        progress(Progress::Dependency(name.to_string()));
        let mut web = Web::start(access).map_err(DependencyError::Fetcher)?;
        let signatures = self.signatures.beside();
        if let Signatures::Required { .. } = signatures {
            trust(name, &mut web);
        }
        let remote = Remote {
            dependency: Some(dependency.clone()),
            ..name.discover(&mut web, access.plain_http)?
        };
        let below = Resolver {
            store: self.store,
            importer: self.importer,
            signatures,
            dependencies: self.dependencies,
            lineage,
        };
        Ok(below.download(&remote, &mut web, progress)?)
    }
}
