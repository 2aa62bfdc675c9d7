//! From a reference to an image in the store: what the store does for an import, which reads no image itself.

use std::cell::RefCell;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use bulkhead_protocol::import::{Form, Summary};

use super::error::ImportCause;
use super::hints::{Identity, Recalled};
use super::signature::{Check, Signatures};
use super::turn::Turn;
use super::workspace::Workspace;
use super::{ImportError, Store, StoreError, StoredImage, name_in};
use crate::digest::ImageId;
use crate::import::{self, Imported, Importer, Owner, ProcessError, Request};
use crate::registry::{Download, Registries, RegistryReference};
use crate::source::{Member, Reference, SourceError, open_member, open_regular};

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
    /// Something was left out that the image can do without.
    Warning(String),
}

pub(super) fn import(
    store: &Store,
    reference: &str,
    signatures: Signatures<'_>,
    importer: &Importer,
    progress: &mut dyn FnMut(Progress),
) -> Result<StoredImage, ImportError> {
    let parsed = Reference::parse(reference).map_err(ImportCause::from);
    let mut import = Import {
        store,
        importer,
        progress,
    };
    let imported = parsed.and_then(|reference| import.run(&reference, signatures));
    imported.map_err(|source| ImportError {
        reference: reference.to_owned(),
        source: Box::new(source),
    })
}

/// Of a registry.
pub(super) fn fetch(
    store: &Store,
    reference: &RegistryReference,
    registries: &Registries,
    importer: &Importer,
    progress: &mut dyn FnMut(Progress),
) -> Result<StoredImage, ImportError> {
    let mut import = Import {
        store,
        importer,
        progress,
    };
    let fetched = import.fetch(reference, registries);
    fetched.map_err(|source| ImportError {
        reference: reference.to_string(),
        source: Box::new(source),
    })
}

/// An ACI that has come, into its store.
pub(super) fn import_fetched(
    store: &Store,
    name: &str,
    archive: File,
    check: &Check<'_>,
    importer: &Importer,
    progress: &mut dyn FnMut(Progress),
) -> Result<StoredImage, ImportCause> {
    let mut import = Import {
        store,
        importer,
        progress,
    };
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
    store: &'a Store,
    importer: &'a Importer,
    progress: &'a mut dyn FnMut(Progress),
}

impl Import<'_> {
    fn run(
        &mut self,
        reference: &Reference,
        signatures: Signatures<'_>,
    ) -> Result<StoredImage, ImportCause> {
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
        let before = identity(&file)?;
        if let Some(recalled) = self.store.recall(&before) {
            return self.recalled(recalled, &file, check);
        }
        let _turn = Turn::take(self.store, &before.key(), || {
            (self.progress)(Progress::Waiting);
        })?;
        if let Some(recalled) = self.store.recall(&before) {
            return self.recalled(recalled, &file, check);
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
            self.store
                .remember(before, &image.id, check.is_of_aci(), manifest);
        }
        Ok(image)
    }

    /// What is in the store is signed today, or not, by whom it is to be signed today.
    fn recalled(
        &mut self,
        recalled: Recalled,
        file: &File,
        check: &Check<'_>,
    ) -> Result<StoredImage, ImportCause> {
        if recalled.is_aci {
            check.begin()?;
        }
        if let Some(progress) = check.end(&recalled.image.name, file)? {
            (self.progress)(progress);
        }
        Ok(recalled.image)
    }

    fn fetch(
        &mut self,
        reference: &RegistryReference,
        registries: &Registries,
    ) -> Result<StoredImage, ImportCause> {
        let download = Download::begin(reference, registries, &self.store.blobs())?;
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
                self.store.name(&reference.to_string(), &image, None)?;
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
        let keeper = Keeper {
            store: self.store,
            members,
            progress: RefCell::new(&mut *self.progress),
            state: RefCell::default(),
        };
        let imported = match self.importer {
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

/// Where the members of an image are.
#[derive(Clone, Copy)]
enum Members<'a> {
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
struct Keeper<'a> {
    store: &'a Store,
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
    manifest: Vec<u8>,
    known: Option<StoredImage>,
    _turn: Option<Turn>,
}

impl Keeper<'_> {
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

    fn finish(self, imported: Imported) -> Result<StoredImage, ImportCause> {
        let state = self.state.into_inner();
        let identified = state.identified.expect("every import says what it is");
        let Identified { id, manifest, .. } = &identified;
        let summary = match imported {
            Imported::Known => return Ok(identified.known.expect("it was said to be known")),
            Imported::Written(summary) => summary,
        };
        let mut say = self.progress.into_inner();
        warn_of_dropped(&mut say, &summary);
        say(Progress::Storing {
            bytes: summary.verity.length(),
            inodes: summary.inodes,
        });
        let workspace = state.workspace.expect("the importer asked for files");
        let image = state.image.expect("the importer asked for files");
        check_length(&image, &summary)?;
        workspace.commit(self.store, id, &image, manifest, &summary.verity)?;
        let image = self.store.with_manifest(id, manifest.clone())?;
        Ok(image
            .expect("an image that was committed is there; only a garbage collection removes it"))
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

    fn is_known(&self, id: &ImageId, manifest: &[u8]) -> Result<bool, ImportCause> {
        if let Members::InArchive { archive, check } = self.members
            && let Some(progress) = check.end(&name_in(manifest), archive)?
        {
            self.say(progress);
        }
        let look = || self.store.with_manifest(id, manifest.to_vec());
        let mut known = look()?;
        let mut turn = None;
        if known.is_none() {
            turn = Some(Turn::take(self.store, id.as_str(), || {
                self.say(Progress::Waiting);
            })?);
            known = look()?;
        }
        let is_known = known.is_some();
        self.state.borrow_mut().identified = Some(Identified {
            id: id.clone(),
            manifest: manifest.to_vec(),
            known,
            _turn: turn,
        });
        Ok(is_known)
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
