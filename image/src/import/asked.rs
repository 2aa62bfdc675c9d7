//! The importer's end: everything that it cannot have by itself is asked for over the socket.

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, Write};

use bulkhead_jail::InheritError;
use bulkhead_protocol::bounded::{BoundError, List, Text};
use bulkhead_protocol::import::{self as protocol, FromImporter, SOCKET, ToImporter};

use super::confine::{ConfineError, confine};
use super::{Imported, Owner, Request, run};
use crate::channel::{Channel, ChannelError};
use crate::digest::{BadDigest, ImageId};
use crate::source::{Member, SourceError};
use crate::store::{ImportCause, Progress};
use crate::told::{Told, chain};

/// An importer that cannot do its work at all. What is wrong with an image is told to who asked.
#[derive(Debug, thiserror::Error)]
pub enum ImporterError {
    /// It was given no socket.
    #[error(transparent)]
    Socket(#[from] InheritError),
    /// It cannot give its rights away.
    #[error(transparent)]
    Confine(#[from] ConfineError),
    /// Nobody asks, or in a strange way.
    #[error("what was asked")]
    Channel(#[from] ChannelError),
}

/// Imports one image for the process at the other end of the socket that this one was started with, in what is left of it after
/// confinement. To be called first thing in `main`.
///
/// # Errors
/// When nothing can be asked for or answered. A bad image is no error here.
pub fn import_for_another() -> Result<(), ImporterError> {
    let socket = bulkhead_jail::inherited(SOCKET)?;
    confine()?;
    let channel = Channel::new(socket);
    let (message, descriptors) = channel.receive()?;
    let ToImporter::Import(request) = message else {
        return Err(ChannelError::OutOfTurn(format!("{message:?}")).into());
    };
    let mut files = descriptors.into_iter().map(File::from);
    let asked = Asked {
        manifest: RefCell::new(files.next().ok_or(ChannelError::Cut)?),
        channel,
    };
    let last = match run(received(request, files.next()), &asked) {
        // Who asked knows it best.
        Ok(Imported::Known) => return Ok(()),
        Ok(Imported::Written(summary)) => FromImporter::Done(summary),
        Err(error) => FromImporter::Failed(chain(&error)),
    };
    asked.channel.send(&last, &[])?;
    Ok(())
}

fn received(request: protocol::Request, archive: Option<File>) -> Request {
    Request {
        form: request.form,
        tag: request.tag.map(|tag| tag.as_str().to_owned()),
        path: request.path.as_str().to_owned(),
        name: request.name.as_str().to_owned(),
        archive,
    }
}

struct Asked {
    channel: Channel,
    manifest: RefCell<File>,
}

impl Asked {
    /// Asks for `N` descriptors.
    fn ask<const N: usize>(&self, question: &FromImporter) -> Result<[File; N], SourceError> {
        let told = |error: ChannelError| SourceError::from(Told::of(&error));
        self.channel.send(question, &[]).map_err(told)?;
        let (answer, descriptors) = self.channel.receive().map_err(told)?;
        match answer {
            ToImporter::Given => {
                let files: Vec<File> = descriptors.into_iter().map(File::from).collect();
                files.try_into().map_err(|_| told(ChannelError::Cut))
            }
            ToImporter::Refused(why) => Err(Told::from(why).into()),
            other => Err(told(ChannelError::OutOfTurn(format!("{other:?}")))),
        }
    }
}

impl Owner for Asked {
    fn open(&self, member: &Member) -> Result<File, SourceError> {
        let member = member.to_protocol().ok_or_else(|| SourceError::Missing {
            path: "the layout".to_owned(),
            member: member.name(),
        })?;
        let [file] = self.ask(&FromImporter::Open(member))?;
        Ok(file)
    }

    fn expect(&self, members: &[Member]) {
        let members: Vec<_> = members.iter().filter_map(Member::to_protocol).collect();
        if let Ok(members) = List::try_from(members) {
            // Who does not hear it brings them one by one.
            let _ = self.channel.send(&FromImporter::Expect(members), &[]);
        }
    }

    fn files(&self) -> Result<[File; 2], ImportCause> {
        Ok(self.ask(&FromImporter::Files)?)
    }

    fn scratch(&self) -> Result<File, ImportCause> {
        let [file] = self.ask(&FromImporter::Scratch)?;
        Ok(file)
    }

    fn found_aci(&self) -> Result<(), ImportCause> {
        let sent = self.channel.send(&FromImporter::Aci, &[]);
        Ok(sent.map_err(|error| SourceError::from(Told::of(&error)))?)
    }

    fn identified(&self, id: &ImageId, manifest: &[u8]) -> Result<Option<ImageId>, ImportCause> {
        let told = |error: ChannelError| SourceError::from(Told::of(&error));
        let written = self.manifest.borrow_mut().write_all(manifest);
        written.map_err(|error: io::Error| told(error.into()))?;
        let id = Text::try_from(id.as_str()).map_err(told_bound)?;
        self.channel
            .send(&FromImporter::Identified(id), &[])
            .map_err(told)?;
        match self.channel.receive().map_err(told)? {
            (ToImporter::Known, _) => Ok(None),
            (ToImporter::Convert(id), _) => {
                let id: ImageId = id
                    .parse()
                    .map_err(|e: BadDigest| SourceError::from(Told::of(&e)))?;
                Ok(Some(id))
            }
            (ToImporter::Refused(why), _) => Err(SourceError::from(Told::from(why)).into()),
            (other, _) => Err(told(ChannelError::OutOfTurn(format!("{other:?}"))).into()),
        }
    }

    fn dependency(&self, number: usize) -> Result<File, ImportCause> {
        let number = u32::try_from(number).unwrap_or(u32::MAX);
        let [file] = self.ask(&FromImporter::Dependency(number))?;
        Ok(file)
    }

    fn tell(&self, progress: Progress) {
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let message = match progress {
            Progress::Unpacking => FromImporter::Unpacking,
            Progress::Layer {
                number: layer,
                count,
            } => FromImporter::Layer {
                number: number(layer),
                count: number(count),
            },
            // The keeper's own.
            Progress::Waiting
            | Progress::Storing { .. }
            | Progress::Unverified
            | Progress::Signed { .. }
            | Progress::Dependency(_)
            | Progress::Warning(_) => return,
        };
        // Who does not hear it hears nothing else either, and that is an error then.
        let _ = self.channel.send(&message, &[]);
    }
}

fn told_bound(error: BoundError) -> SourceError {
    Told::of(&error).into()
}
