//! Gives an importer the members of an image as they come.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, PipeReader, PipeWriter, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use bulkhead_protocol::bounded::Text;
use bulkhead_protocol::fetch::Blob;
use rustix::fs::{MemfdFlags, memfd_create};
use serde_json::json;
use sha2::digest::Update as _;

use super::blobs::{BlobFile, sweep};
use super::fetcher::{FetchError, Fetcher, Progress, State};
use super::{Policy, Registries, RegistryReference};
use crate::digest::{Digest, Hasher};
use crate::limits::{MAX_IMAGE_BYTES, MAX_JSON_BYTES};
use crate::source::{Member, SourceError};
use crate::told::Told;

/// Bytes that are passed on at once.
const CHUNK: usize = 128 << 10;

/// An image of a registry on its way.
pub(crate) struct Download<'a> {
    reference: &'a RegistryReference,
    fetcher: Fetcher,
    pub(super) policy: Policy,
    /// Where blobs lie.
    directory: PathBuf,
    manifests: RefCell<HashMap<Digest, Vec<u8>>>,
    blobs: RefCell<HashMap<Digest, BlobFile>>,
    bytes: RefCell<u64>,
    failure: RefCell<Option<FetchError>>,
}

impl<'a> Download<'a> {
    /// Begins with nothing asked for yet.
    pub(crate) fn begin(
        reference: &'a RegistryReference,
        registries: &Registries,
        directory: &Path,
    ) -> Result<Self, FetchError> {
        sweep(directory, SystemTime::now()).map_err(FetchError::io("look at unfinished blobs"))?;
        Ok(Self {
            reference,
            fetcher: Fetcher::start(reference, registries)?,
            policy: registries.policy.clone(),
            directory: directory.to_owned(),
            manifests: RefCell::default(),
            blobs: RefCell::default(),
            bytes: RefCell::default(),
            failure: RefCell::default(),
        })
    }

    /// A member of the image, as a file or as a pipe.
    pub(crate) fn open(&self, member: &Member) -> Result<File, SourceError> {
        let opened = match member {
            Member::Index => self.index(),
            Member::Manifest(digest) => self.manifest(digest),
            Member::Blob { digest, size } => self.blob(digest, *size),
            Member::Named(name) => {
                return Err(SourceError::Missing {
                    path: self.reference.to_string(),
                    member: name.clone(),
                });
            }
        };
        opened.map_err(|error| {
            let told = SourceError::Told(Told::of(&error));
            self.failure.borrow_mut().get_or_insert(error);
            told
        })
    }

    /// Asks for all of it, to come several at a time.
    pub(crate) fn expect(&self, members: &[Member]) {
        for member in members {
            if let Member::Blob { digest, size } = member
                && let Err(error) = self.ask(digest, *size)
            {
                self.failure.borrow_mut().get_or_insert(error);
                return;
            }
        }
    }

    /// The end: what came is in an image or worth nothing; or something did not come that may come another time, and the rest is
    /// kept to be gone on with.
    pub(crate) fn end(self) -> Option<FetchError> {
        let wrong = self.fetcher.progress.wrong();
        let told = self.fetcher.progress.failure();
        let own = self.failure.into_inner();
        let is_final = wrong.is_some() || own.as_ref().is_some_and(FetchError::is_final);
        let may_pass = !is_final && told.as_ref().is_none_or(|failed| failed.may_pass);
        let failure = match wrong.or(own) {
            Some(failure) => Some(self.fetcher.explain(failure)),
            None => told.map(|failed| FetchError::from(failed.why)),
        };
        if failure.is_none() || !may_pass {
            self.blobs
                .into_inner()
                .into_values()
                .for_each(BlobFile::remove);
        }
        failure
    }

    /// What an index of this one image would say.
    fn index(&self) -> Result<File, FetchError> {
        let wanted = self.reference.wanted();
        let bytes = self.bring_manifest(&wanted)?;
        let mut hasher = self
            .reference
            .digest()
            .map_or_else(Hasher::sha256, Digest::hasher);
        hasher.update(&bytes);
        let digest = hasher.finish();
        if let Some(expected) = self
            .reference
            .digest()
            .filter(|&expected| *expected != digest)
        {
            return Err(FetchError::Digest {
                found: digest.to_string(),
                expected: expected.to_string(),
            });
        }
        self.check_policy(&digest)?;
        let index = json!({
            "schemaVersion": 2,
            "manifests": [{
                // What it is, its content says: the importer looks.
                "mediaType": "",
                "digest": digest.to_string(),
                "size": bytes.len(),
                "annotations": {"io.containerd.image.name": self.reference.to_string()},
            }],
        });
        self.manifests.borrow_mut().insert(digest, bytes);
        memory_file(index.to_string().as_bytes())
    }

    fn manifest(&self, digest: &Digest) -> Result<File, FetchError> {
        if let Some(bytes) = self.manifests.borrow().get(digest) {
            return memory_file(bytes);
        }
        memory_file(&self.bring_manifest(&digest.to_string())?)
    }

    pub(super) fn bring_manifest(&self, wanted: &str) -> Result<Vec<u8>, FetchError> {
        let file = memory_file(&[])?;
        self.fetcher.manifest(wanted, &file)?;
        read_whole(&file, MAX_JSON_BYTES).map_err(FetchError::io("read the manifest"))
    }

    /// Asks for a blob, unless it is coming already.
    fn ask(&self, digest: &Digest, size: u64) -> Result<(), FetchError> {
        if self.blobs.borrow().contains_key(digest) {
            return Ok(());
        }
        let bytes = self.bytes.borrow().saturating_add(size);
        if bytes > MAX_IMAGE_BYTES {
            return Err(FetchError::TooLarge { bytes });
        }
        *self.bytes.borrow_mut() = bytes;
        let blob = BlobFile::open(&self.directory, digest)
            .map_err(FetchError::io("make a file for a blob"))?;
        let length = blob.file.metadata();
        let have = length
            .map_err(FetchError::io("look at a blob's file"))?
            .len();
        match have < size {
            true => {
                let asked = Blob {
                    digest: Text::try_from(digest.to_string())?,
                    size,
                    have,
                };
                self.fetcher.ask(&asked, &blob.file)?;
            }
            // One that is too long is not the right one, which its digest says.
            false => self.fetcher.progress.there(&digest.to_string(), size),
        }
        self.blobs.borrow_mut().insert(digest.clone(), blob);
        Ok(())
    }

    pub(super) fn blob(&self, digest: &Digest, size: u64) -> Result<File, FetchError> {
        self.ask(digest, size)?;
        let blobs = self.blobs.borrow();
        let file = blobs[digest].file.try_clone();
        let file = file.map_err(FetchError::io("share a blob's file"))?;
        let (reader, writer) = io::pipe().map_err(FetchError::io("make a pipe"))?;
        let passing = Passing {
            progress: Arc::clone(&self.fetcher.progress),
            digest: digest.clone(),
            size,
            file,
            writer,
        };
        // It ends with the blob, with the fetcher, or with whoever reads the pipe.
        std::thread::spawn(move || passing.run());
        Ok(into_file(reader))
    }
}

fn into_file(reader: PipeReader) -> File {
    File::from(OwnedFd::from(reader))
}

/// What was brought into a file, if it is no longer than `limit`.
pub(crate) fn read_whole(file: &File, limit: u64) -> io::Result<Vec<u8>> {
    let size = file.metadata()?.len();
    if size > limit {
        let text = format!("it is {size} bytes long, more than {limit}");
        return Err(io::Error::other(text));
    }
    let mut bytes = vec![0; usize::try_from(size).map_err(io::Error::other)?];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(bytes)
}

/// A file in memory, read from its start.
pub(crate) fn memory_file(bytes: &[u8]) -> Result<File, FetchError> {
    let make = || -> io::Result<File> {
        let file = File::from(memfd_create("member", MemfdFlags::CLOEXEC)?);
        file.write_all_at(bytes, 0)?;
        Ok(file)
    };
    make().map_err(FetchError::io("make a file in memory"))
}

/// A blob from its growing file into a pipe, whose reader gets the whole of it only if it is the right one.
struct Passing {
    progress: Arc<Progress>,
    digest: Digest,
    size: u64,
    file: File,
    writer: PipeWriter,
}

impl Passing {
    /// Ends early when the blob does not come: whoever reads misses the rest.
    fn run(mut self) {
        let asked_for = self.digest.to_string();
        let mut hasher = self.digest.hasher();
        let mut chunk = vec![0; CHUNK];
        let mut position = 0;
        while position < self.size {
            let available = match self.progress.beyond(&asked_for, position) {
                Ok(State::Coming(bytes)) => bytes.min(self.size),
                Ok(State::There) => self.size,
                Err(_) => return,
            };
            while position < available {
                let left = usize::try_from(available - position).unwrap_or(CHUNK);
                let part = left.min(CHUNK);
                let Ok(n @ 1..) = self.file.read_at(&mut chunk[..part], position) else {
                    return;
                };
                hasher.update(&chunk[..n]);
                position += n as u64;
                if position == self.size && !self.is_right(hasher.clone()) {
                    return;
                }
                if self.writer.write_all(&chunk[..n]).is_err() {
                    return;
                }
            }
        }
    }

    fn is_right(&self, hasher: Hasher) -> bool {
        let found = hasher.finish();
        let is_right = found == self.digest;
        if !is_right {
            let expected = self.digest.to_string();
            self.progress.tell_wrong(found.to_string(), expected);
        }
        is_right
    }
}
