//! What an image is put together from, and who has signed that.
//!
//! ```text
//! cas/images/sha512-…/parts     the id of the ACI's own archive, then of the images below it in the manifest's order, a line each
//! cas/images/sha512-…/signers   the name of each ACI that it is made of, and the fingerprint of who has signed it, a line each
//! ```
//!
//! An image of one archive has no `parts`: its id is its archive's. That of any other is the SHA-512 of this file, so that other versions of what is in it
//! make another image. `signers` are there when all were looked for.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use super::signature::Signatures;
use super::{Store, StoreError, StoredImage};
use crate::digest::ImageId;

/// Where they are.
pub(super) const PARTS_FILE: &str = "parts";
const SIGNERS_FILE: &str = "signers";

/// Bytes of either file: far more than names and ids of as many images as one can have below it, on all levels.
const MAX_BYTES: u64 = 1 << 20;

/// What an image is put together from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Parts {
    /// Its own archive.
    pub(super) archive: ImageId,
    /// Images of the store, later ones over earlier ones.
    pub(super) dependencies: Vec<ImageId>,
}

impl Parts {
    pub(super) fn new(archive: &ImageId, dependencies: &[StoredImage]) -> Self {
        let ids = dependencies.iter().map(|image| image.id.clone());
        Self {
            archive: archive.clone(),
            dependencies: ids.collect(),
        }
    }

    /// What the image is called in the store.
    pub(super) fn id(&self) -> ImageId {
        match self.text() {
            None => self.archive.clone(),
            Some(text) => ImageId::of(text.as_bytes()),
        }
    }

    /// The file, unless the archive is all that there is.
    pub(super) fn text(&self) -> Option<String> {
        if self.dependencies.is_empty() {
            return None;
        }
        let mut text = String::new();
        for id in std::iter::once(&self.archive).chain(&self.dependencies) {
            writeln!(text, "{id}").expect("a string takes all");
        }
        Some(text)
    }
}

impl Store {
    /// What an image of the store is put together from.
    pub(super) fn parts(&self, id: &ImageId) -> Parts {
        self.parts_in_file(id).unwrap_or_else(|| Parts {
            archive: id.clone(),
            dependencies: Vec::new(),
        })
    }

    fn parts_in_file(&self, id: &ImageId) -> Option<Parts> {
        let text = read(&self.image(id).join(PARTS_FILE)).ok()?;
        let mut ids = text.lines().map(str::parse);
        let parts = Parts {
            archive: ids.next()?.ok()?,
            dependencies: ids.collect::<Result<_, _>>().ok()?,
        };
        // A damaged one says nothing.
        (parts.id() == *id).then_some(parts)
    }

    /// Remembers who has signed the archive of an image, with those who have signed what is below it; nobody, where that is not known.
    pub(super) fn remember_signer(
        &self,
        image: &StoredImage,
        fingerprint: &str,
        dependencies: &[StoredImage],
    ) -> Result<(), StoreError> {
        let mut lines = BTreeSet::from([format!("{} {fingerprint}", image.name)]);
        for dependency in dependencies {
            let Some(text) = self.signers(&dependency.id) else {
                return Ok(());
            };
            lines.extend(text.lines().map(str::to_owned));
        }
        let lines: Vec<String> = lines.into_iter().collect();
        let text = lines.join("\n") + "\n";
        if self.signers(&image.id).is_some_and(|known| known == text) {
            return Ok(());
        }
        let path = self.image(&image.id).join(SIGNERS_FILE);
        let fresh = path.with_extension(std::process::id().to_string());
        match fs::write(&fresh, text).and_then(|()| fs::rename(&fresh, &path)) {
            // Somebody has removed the image.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            written => written.map_err(StoreError::io("write", &path)),
        }
    }

    /// Whether all that an image is made of was signed, by somebody who is trusted for it today, or need not be.
    pub(super) fn is_signed(&self, id: &ImageId, signatures: Signatures<'_>) -> bool {
        let Signatures::Required { trusted, .. } = signatures else {
            return true;
        };
        let is_trusted = |line: &str| {
            let (name, fingerprint) = line.split_once(' ')?;
            // Keys that cannot be read are an error when one is needed.
            trusted.trusts(&name.parse().ok()?, fingerprint).ok()
        };
        self.signers(id).is_some_and(|text| {
            !text.is_empty() && text.lines().all(|line| is_trusted(line) == Some(true))
        })
    }

    fn signers(&self, id: &ImageId) -> Option<String> {
        read(&self.image(id).join(SIGNERS_FILE)).ok()
    }
}

fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let read = File::open(path)?
        .take(MAX_BYTES + 1)
        .read_to_string(&mut text)?;
    match read as u64 > MAX_BYTES {
        true => Err(io::Error::other("it is too long")),
        false => Ok(text),
    }
}
