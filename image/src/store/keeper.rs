//! The store's part in one import: names, locks, and what may become of what an importer says.

use std::cell::RefCell;
use std::fs::File;
use std::path::Path;

use bulkhead_protocol::import::Summary;

use super::dependencies::Resolver;
use super::error::ImportCause;
use super::import::Progress;
use super::parts::Parts;
use super::signature::Check;
use super::turn::Turn;
use super::workspace::{Made, Workspace};
use super::{Store, StoreError, StoredImage, name_in};
use crate::digest::ImageId;
use crate::import::{Imported, Owner, ProcessError};
use crate::registry::Download;
use crate::source::{Member, SourceError, open_member};

/// Where the members of an image are.
#[derive(Clone, Copy)]
pub(super) enum Members<'a> {
    /// In the archive that the importer has too.
    InArchive {
        archive: &'a File,
        check: &'a Check<'a>,
    },
    /// In a directory.
    Layout(&'a Path),
    /// In a registry.
    Registry(&'a Download<'a>),
}

/// The store's part in one import.
pub(super) struct Keeper<'a> {
    store: &'a Store,
    resolver: &'a Resolver<'a>,
    members: Members<'a>,
    progress: RefCell<&'a mut dyn FnMut(Progress)>,
    state: RefCell<State>,
}

#[derive(Default)]
struct State {
    workspace: Option<Workspace>,
    /// The image's file, as the importer has it.
    image: Option<File>,
    /// What the image was said to be, and the right to convert it.
    identified: Option<Identified>,
}

struct Identified {
    id: ImageId,
    parts: Parts,
    dependencies: Vec<StoredImage>,
    manifest: Vec<u8>,
    known: Option<StoredImage>,
    _turn: Option<Turn>,
}

impl<'a> Keeper<'a> {
    pub(super) fn new(
        resolver: &'a Resolver<'a>,
        members: Members<'a>,
        progress: &'a mut dyn FnMut(Progress),
    ) -> Self {
        Self {
            store: resolver.store,
            resolver,
            members,
            progress: RefCell::new(progress),
            state: RefCell::default(),
        }
    }

    fn say(&self, progress: Progress) {
        (self.progress.borrow_mut())(progress);
    }

    fn in_workspace<T>(
        &self,
        make: impl FnOnce(&Workspace) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut state = self.state.borrow_mut();
        let workspace = match state.workspace.take() {
            Some(workspace) => workspace,
            None => Workspace::create(self.store)?,
        };
        make(state.workspace.insert(workspace))
    }

    /// Puts into the store what the importer has made.
    pub(super) fn finish(self, imported: Imported) -> Result<StoredImage, ImportCause> {
        let state = self.state.into_inner();
        let identified = state.identified.expect("every import says what it is");
        let Identified {
            id,
            manifest,
            parts,
            ..
        } = &identified;
        let image = match imported {
            Imported::Known => identified.known.expect("it was said to be known"),
            Imported::Written(summary) => {
                let mut say = self.progress.into_inner();
                warn_of_dropped(&mut say, &summary);
                say(Progress::Storing {
                    bytes: summary.verity.length(),
                    inodes: summary.inodes,
                });
                let workspace = state.workspace.expect("the importer asked for files");
                let image = state.image.expect("the importer asked for files");
                check_length(&image, &summary)?;
                let made = Made {
                    image: &image,
                    manifest,
                    verity: &summary.verity,
                    parts: parts.text(),
                };
                workspace.commit(self.store, id, &made)?;
                let length = summary.verity.length();
                self.store.stored(id, manifest.clone(), length)
            }
        };
        if let Members::InArchive { check, .. } = self.members
            && let Some(signer) = check.signer()
        {
            let dependencies = &identified.dependencies;
            self.store.remember_signer(&image, &signer, dependencies)?;
        }
        Ok(image)
    }

    /// What the image is made of: nothing but its archive, where that is no ACI.
    fn dependencies(
        &self,
        archive: &ImageId,
        manifest: &[u8],
    ) -> Result<Vec<StoredImage>, ImportCause> {
        match self.members {
            Members::InArchive { check, .. } if check.is_of_aci() => {
                self.resolver
                    .resolve(archive, manifest, &mut |progress| self.say(progress))
            }
            _ => Ok(Vec::new()),
        }
    }
}

impl Owner for Keeper<'_> {
    fn open(&self, member: &Member) -> Result<File, SourceError> {
        match self.members {
            Members::Layout(layout) => open_member(layout, &member.name()),
            Members::Registry(download) => download.open(member),
            Members::InArchive { .. } => Err(SourceError::Missing {
                path: "the archive".to_owned(),
                member: member.name(),
            }),
        }
    }

    fn expect(&self, members: &[Member]) {
        // Others are there.
        if let Members::Registry(download) = self.members {
            download.expect(members);
        }
    }

    fn files(&self) -> Result<[File; 2], ImportCause> {
        let [image, tails] = self.in_workspace(Workspace::image_files)?;
        let io = |source| SourceError::Io {
            what: "share",
            path: "the image's file".to_owned(),
            source,
        };
        self.state.borrow_mut().image = Some(image.try_clone().map_err(io)?);
        Ok([image, tails])
    }

    fn scratch(&self) -> Result<File, ImportCause> {
        Ok(self.in_workspace(Workspace::archive)?)
    }

    fn found_aci(&self) -> Result<(), ImportCause> {
        match self.members {
            Members::InArchive { check, .. } => Ok(check.begin()?),
            // There is none in them.
            Members::Layout(_) | Members::Registry(_) => Ok(()),
        }
    }

    fn identified(
        &self,
        archive: &ImageId,
        manifest: &[u8],
    ) -> Result<Option<ImageId>, ImportCause> {
        if let Members::InArchive {
            archive: file,
            check,
        } = self.members
        {
            check.fits(archive, manifest)?;
            if let Some(progress) = check.end(&name_in(manifest), file)? {
                self.say(progress);
            }
        }
        let dependencies = self.dependencies(archive, manifest)?;
        let parts = Parts::new(archive, &dependencies);
        let id = parts.id();
        let look = || self.store.with_manifest(&id, manifest.to_vec());
        let mut known = look()?;
        let mut turn = None;
        if known.is_none() {
            turn = Some(Turn::take(self.store, id.as_str(), || {
                self.say(Progress::Waiting);
            })?);
            known = look()?;
        }
        let wanted = known.is_none().then(|| id.clone());
        self.state.borrow_mut().identified = Some(Identified {
            id,
            parts,
            dependencies,
            manifest: manifest.to_vec(),
            known,
            _turn: turn,
        });
        Ok(wanted)
    }

    fn dependency(&self, number: usize) -> Result<File, ImportCause> {
        let state = self.state.borrow();
        let dependencies = state
            .identified
            .iter()
            .flat_map(|image| &image.dependencies);
        let image = dependencies.into_iter().nth(number);
        let image = image.ok_or_else(|| SourceError::Missing {
            path: "the store".to_owned(),
            member: format!("dependency {number}"),
        })?;
        // What is read of it is vouched for by the new image's hashes from here on.
        self.store
            .verify(&image.id)
            .map_err(|source| ImportCause::Damaged {
                id: image.id.clone(),
                source,
            })?;
        let opened = File::open(&image.erofs_path);
        Ok(opened.map_err(StoreError::io("open", &image.erofs_path))?)
    }

    fn tell(&self, progress: Progress) {
        self.say(progress);
    }
}

/// The rest of what an importer says of the hashes, guests check.
fn check_length(image: &File, summary: &Summary) -> Result<(), ProcessError> {
    let said = summary.verity.length();
    let written = image.metadata().map_err(|source| ProcessError::Io {
        what: "look at the image's file",
        source,
    })?;
    match written.len() {
        written if written == said => Ok(()),
        written => Err(ProcessError::Length { written, said }),
    }
}

fn warn_of_dropped(say: &mut dyn FnMut(Progress), summary: &Summary) {
    if summary.dropped_xattrs > 0 {
        say(Progress::Warning(format!(
            "{} extended attributes were left out: \
             only user., trusted., security. and POSIX ACLs can be stored",
            summary.dropped_xattrs
        )));
    }
}
