//! The keeper's end: starts an importer, and gives it what it asks for.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;
use std::path::Path;

use bulkhead_protocol::bounded::{BoundError, Text};
use bulkhead_protocol::import::{self as protocol, FromImporter, ToImporter};
use rustix::fs::{MemfdFlags, memfd_create};

use super::{Imported, Owner, Request};
use crate::channel::{Channel, ChannelError};
use crate::digest::{BadDigest, ImageId};
use crate::helper::{Helper, HelperError, how};
use crate::limits::{MAX_DEPENDENCIES, MAX_INDEX_DEPTH, MAX_JSON_BYTES, MAX_LAYERS};
use crate::source::{Member, SourceError};
use crate::store::{ImportCause, Progress};
use crate::told::{Told, chain};

/// Who the importer is when its keeper is root: neither a pod's VMM nor its relay, which are just above.
const ID: u32 = 65_531;

/// What it means when it aborts.
const OUT_OF_MEMORY: &str = "needs more memory for this image than it may have";

/// Descriptors that an importer may have open: its streams, socket, manifest, archive and files, and the member that it reads.
const OPEN_FILES: u64 = 16;

/// Members that one image can need: index, nested indexes, manifest, configuration and layers.
const MAX_OPENED: usize = 3 + MAX_INDEX_DEPTH + MAX_LAYERS;

/// An importer that does not work.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// It cannot be started.
    #[error("start the importer")]
    Start(#[from] HelperError),
    /// The kernel refuses something.
    #[error("{what}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// What it says makes no sense.
    #[error("what the importer says")]
    Channel(#[from] ChannelError),
    /// It said nothing before its end.
    #[error("the importer {0}")]
    Died(String),
    /// The image's file is not what it says.
    #[error("the importer has written {written} bytes and speaks of {said}")]
    Length {
        /// Bytes of the file.
        written: u64,
        /// Bytes that it should have.
        said: u64,
    },
    /// A name is too long to be told.
    #[error("the reference")]
    Bound(#[from] BoundError),
    /// It names no image.
    #[error("what the importer says")]
    Id(#[from] BadDigest),
}

/// Imports in a confined process.
pub(crate) fn import(
    program: &Path,
    request: Request,
    owner: &dyn Owner,
) -> Result<Imported, ImportCause> {
    let manifest = memfd_create("manifest", MemfdFlags::CLOEXEC)
        .map(File::from)
        .map_err(io("make a file for the manifest"))?;
    let helper = Helper {
        program,
        name: c"bulkhead-import",
        id: ID,
        open_files: OPEN_FILES,
        environment: Vec::new(),
    };
    let (channel, child) = helper.start().map_err(ProcessError::from)?;
    let mut keeper = Keeper {
        channel,
        owner,
        manifest,
        opened: 0,
        expected: false,
        is_aci: false,
        identified: false,
        dependencies: 0,
        gave_files: false,
        gave_scratch: false,
    };
    let served = keeper.ask(request).and_then(|()| keeper.serve());
    match served {
        Err(ImportCause::Process(ProcessError::Channel(ChannelError::End))) => {
            Err(ProcessError::Died(how(child.wait(), OUT_OF_MEMORY)).into())
        }
        // What it has left to do, nobody waits for: it is killed.
        served => served,
    }
}

struct Keeper<'a> {
    channel: Channel,
    owner: &'a dyn Owner,
    manifest: File,
    opened: usize,
    expected: bool,
    is_aci: bool,
    identified: bool,
    dependencies: usize,
    gave_files: bool,
    gave_scratch: bool,
}

impl Keeper<'_> {
    fn ask(&self, request: Request) -> Result<(), ImportCause> {
        let text = |text: &str| Text::try_from(text).map_err(ProcessError::from);
        let message = ToImporter::Import(protocol::Request {
            form: request.form,
            tag: request.tag.as_deref().map(text).transpose()?,
            path: text(&request.path)?,
            name: text(&request.name)?,
        });
        let mut descriptors = vec![self.manifest.as_fd()];
        descriptors.extend(request.archive.as_ref().map(AsFd::as_fd));
        self.send(&message, &descriptors)
    }

    fn serve(&mut self) -> Result<Imported, ImportCause> {
        loop {
            let (message, descriptors) = self.channel.receive().map_err(ProcessError::from)?;
            // It has nothing to give.
            drop(descriptors);
            match message {
                FromImporter::Open(member) if self.opened < MAX_OPENED => {
                    self.opened += 1;
                    let member = Member::try_from(&member).map_err(ProcessError::from)?;
                    let file = self.owner.open(&member).map_err(ImportCause::from);
                    self.give(file.map(|file| [file]))?;
                }
                FromImporter::Expect(members) if !self.expected => {
                    self.expected = true;
                    let members: Result<Vec<_>, _> = members.iter().map(Member::try_from).collect();
                    self.owner.expect(&members.map_err(ProcessError::from)?);
                }
                FromImporter::Files if !self.gave_files => {
                    self.gave_files = true;
                    self.give(self.owner.files())?;
                }
                FromImporter::Scratch if !self.gave_scratch => {
                    self.gave_scratch = true;
                    self.give(self.owner.scratch().map(|file| [file]))?;
                }
                FromImporter::Aci if !self.is_aci && !self.identified => {
                    self.is_aci = true;
                    self.owner.found_aci()?;
                }
                FromImporter::Identified(id) if !self.identified => {
                    self.identified = true;
                    if !self.is_wanted(&id)? {
                        return Ok(Imported::Known);
                    }
                }
                FromImporter::Dependency(number)
                    if self.identified && self.dependencies < MAX_DEPENDENCIES =>
                {
                    self.dependencies += 1;
                    let file = self
                        .owner
                        .dependency(usize::try_from(number).unwrap_or(usize::MAX));
                    self.give(file.map(|file| [file]))?;
                }
                FromImporter::Unpacking => self.owner.tell(Progress::Unpacking),
                FromImporter::Layer { number, count } => {
                    let size = |n: u32| usize::try_from(n).unwrap_or(usize::MAX);
                    self.owner.tell(Progress::Layer {
                        number: size(number),
                        count: size(count),
                    });
                }
                FromImporter::Done(summary) if self.identified && self.gave_files => {
                    return Ok(Imported::Written(summary));
                }
                FromImporter::Failed(why) => return Err(SourceError::from(Told::from(why)).into()),
                other => {
                    let error = ChannelError::OutOfTurn(format!("{other:?}"));
                    return Err(ProcessError::from(error).into());
                }
            }
        }
    }

    fn is_wanted(&mut self, id: &str) -> Result<bool, ImportCause> {
        let id: ImageId = id.parse().map_err(ProcessError::from)?;
        let manifest = self
            .read_manifest()
            .map_err(io("read the image's manifest"))?;
        let wanted = self.owner.identified(&id, &manifest);
        let answer = match &wanted {
            Ok(None) => ToImporter::Known,
            Ok(Some(id)) => {
                ToImporter::Convert(Text::try_from(id.as_str()).map_err(ProcessError::from)?)
            }
            Err(error) => ToImporter::Refused(chain(error)),
        };
        self.send(&answer, &[])?;
        Ok(wanted?.is_some())
    }

    fn read_manifest(&mut self) -> io::Result<Vec<u8>> {
        let length = self.manifest.metadata()?.len();
        let mut manifest = Vec::new();
        if length > MAX_JSON_BYTES {
            return Err(io::Error::other(format!(
                "{length} bytes, more than {MAX_JSON_BYTES}"
            )));
        }
        manifest.resize(usize::try_from(length).expect("bounded"), 0);
        self.manifest.read_exact_at(&mut manifest, 0)?;
        Ok(manifest)
    }

    /// What is refused is told to the importer, which knows what it was for, and says so in its last message.
    fn give<const N: usize>(
        &self,
        files: Result<[File; N], ImportCause>,
    ) -> Result<(), ImportCause> {
        match files {
            Ok(files) => self.send(&ToImporter::Given, &files.each_ref().map(AsFd::as_fd)),
            Err(error) => self.send(&ToImporter::Refused(chain(&error)), &[]),
        }
    }

    fn send(
        &self,
        message: &ToImporter,
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<(), ImportCause> {
        match self.channel.send(message, descriptors) {
            Ok(()) => Ok(()),
            // It has gone; why, the next attempt to hear it says.
            Err(ChannelError::End) => Ok(()),
            Err(error) => Err(ProcessError::from(error).into()),
        }
    }
}

fn io<E: Into<io::Error>>(what: &'static str) -> impl FnOnce(E) -> ProcessError {
    move |source| ProcessError::Io {
        what,
        source: source.into(),
    }
}

#[cfg(test)]
#[path = "process_test.rs"]
mod tests;
