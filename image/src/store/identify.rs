//! What an archive says that it is, as an importer reads it: for what is unpacked with all rights, once it is known who has signed it.

use std::cell::{Cell, RefCell};
use std::fs::File;

use super::import::Progress;
use super::signature::UnsignedError;
use super::workspace::Workspace;
use super::{ImportCause, Store};
use crate::digest::ImageId;
use crate::import::{self, Importer, Owner, Request};
use crate::source::{Member, SourceError};

/// Id and manifest of an ACI; `path` is for messages.
pub(super) fn identify(
    store: &Store,
    importer: &Importer,
    path: &str,
    archive: File,
) -> Result<(ImageId, Vec<u8>), ImportCause> {
    let asker = Asker {
        workspace: Workspace::create(store)?,
        is_aci: Cell::default(),
        said: RefCell::default(),
    };
    let request = Request {
        form: bulkhead_protocol::import::Form::Any,
        tag: None,
        path: path.to_owned(),
        name: path.to_owned(),
        archive: Some(archive),
    };
    match importer {
        Importer::Process(program) => import::import(program, request, &asker)?,
        Importer::Here => import::run(request, &asker)?,
    };
    match (asker.is_aci.get(), asker.said.into_inner()) {
        (true, Some(said)) => Ok(said),
        _ => Err(UnsignedError::NoAci.into()),
    }
}

/// Wants to know, and no image.
struct Asker {
    /// What is written here goes with it.
    workspace: Workspace,
    is_aci: Cell<bool>,
    said: RefCell<Option<(ImageId, Vec<u8>)>>,
}

fn missing(member: String) -> SourceError {
    SourceError::Missing {
        path: "the archive".to_owned(),
        member,
    }
}

impl Owner for Asker {
    fn open(&self, member: &Member) -> Result<File, SourceError> {
        Err(missing(member.name()))
    }

    fn expect(&self, _: &[Member]) {}

    fn files(&self) -> Result<[File; 2], ImportCause> {
        Ok(self.workspace.image_files()?)
    }

    fn scratch(&self) -> Result<File, ImportCause> {
        Ok(self.workspace.archive()?)
    }

    fn found_aci(&self) -> Result<(), ImportCause> {
        self.is_aci.set(true);
        Ok(())
    }

    fn identified(&self, id: &ImageId, manifest: &[u8]) -> Result<Option<ImageId>, ImportCause> {
        *self.said.borrow_mut() = Some((id.clone(), manifest.to_vec()));
        Ok(None)
    }

    fn dependency(&self, number: usize) -> Result<File, ImportCause> {
        Err(missing(format!("dependency {number}")).into())
    }

    fn tell(&self, _: Progress) {}
}
