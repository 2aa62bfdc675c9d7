//! "This file is that image": saves hashing an archive again that has not changed.
//!
//! A hint is kept by the file's identity: device, inode, size and both times. It is only that, a
//! hint: a missing or damaged one costs time, and one whose image is gone is ignored.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::remove::remove_files;
use super::{Store, StoreError, StoredImage};
use crate::digest::{ImageId, to_hex};
use crate::limits::{MAX_HINTS, MAX_JSON_BYTES};
use crate::source::Reference;

/// A file changed twice within one tick of the file system's clock looks unchanged, so a file this
/// young gets no hint: the slowest tick of a Linux kernel is 10 ms.
const TICK: Duration = Duration::from_millis(20);
/// The same for file systems that keep whole seconds (FAT: two of them).
const COARSE_TICK: Duration = Duration::from_secs(2);

/// The state of a file, and how it was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
    /// Form and tag of the reference: one archive can hold many images.
    asked: String,
    /// An OCI archive without a name in it is called by its file's name.
    name: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct Hint {
    identity: Identity,
    id: String,
    /// Whether it was an ACI, which must be signed.
    is_aci: bool,
    /// The manifest, when it depends on the reference.
    manifest: Option<String>,
}

/// What a file was at an earlier import.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Recalled {
    pub(super) image: StoredImage,
    pub(super) is_aci: bool,
}

impl Identity {
    pub(super) fn of(file: &Metadata, reference: &Reference, name: &str) -> Self {
        let asked = format!("{:?} {:?}", reference.form, reference.tag);
        Self::asked(file, asked, name)
    }

    /// Of a file that is asked for as a stage1 image.
    pub(super) fn of_stage1(file: &Metadata) -> Self {
        Self::asked(file, "stage1".to_owned(), "")
    }

    fn asked(file: &Metadata, asked: String, name: &str) -> Self {
        Self {
            device: file.dev(),
            inode: file.ino(),
            size: file.size(),
            modified: (file.mtime(), file.mtime_nsec()),
            changed: (file.ctime(), file.ctime_nsec()),
            asked,
            name: name.to_owned(),
        }
    }

    /// Whether a change after `started` shows in the file's times.
    pub(super) fn is_settled(&self, started: SystemTime) -> bool {
        let tick = match (self.modified.1, self.changed.1) {
            (0, 0) => COARSE_TICK,
            _ => TICK,
        };
        let changed = Duration::new(
            u64::try_from(self.changed.0).unwrap_or(0),
            u32::try_from(self.changed.1).unwrap_or(0),
        );
        let age = started.duration_since(SystemTime::UNIX_EPOCH + changed);
        age.is_ok_and(|age| age > tick)
    }

    /// A name for this file and way of asking.
    pub(super) fn key(&self) -> String {
        let key = format!(
            "{} {} {} {}",
            self.device, self.inode, self.asked, self.name
        );
        to_hex(&Sha256::digest(key.as_bytes()))
    }
}

impl Store {
    /// The image that this file was at an earlier import.
    pub(super) fn recall(&self, identity: &Identity) -> Option<Recalled> {
        let hint = self.recall_hint(identity)?;
        let id = hint.id.parse().ok()?;
        let image = match hint.manifest {
            Some(manifest) => self.with_manifest(&id, manifest.into_bytes()).ok()?,
            None => self.get(&id).ok()?,
        };
        Some(Recalled {
            image: image?,
            is_aci: hint.is_aci,
        })
    }

    /// The id of the stage1 image that this file was.
    pub(super) fn recall_id(&self, identity: &Identity) -> Option<ImageId> {
        self.recall_hint(identity)?.id.parse().ok()
    }

    fn recall_hint(&self, identity: &Identity) -> Option<Hint> {
        let hint = read(&self.hints().join(identity.key()))?;
        (hint.identity == *identity).then_some(hint)
    }

    /// Forgets which files were this image.
    pub(super) fn forget_hints(&self, id: &ImageId) -> Result<(), StoreError> {
        let is_of = |path: &Path| read(path).is_some_and(|hint| hint.id == id.as_str());
        remove_files(&self.hints(), is_of)
    }

    /// Remembers what a file is, and the manifest when that depends on the reference. Failing to is no error: the next import takes longer.
    pub(super) fn remember(
        &self,
        identity: Identity,
        id: &ImageId,
        is_aci: bool,
        manifest: Option<&[u8]>,
    ) {
        let name = identity.key();
        let hint = Hint {
            identity,
            id: id.to_string(),
            is_aci,
            manifest: manifest.map(|bytes| String::from_utf8_lossy(bytes).into_owned()),
        };
        let written = serde_json::to_vec(&hint).map_err(std::io::Error::other);
        let written = written.and_then(|bytes| {
            self.bound_hints()?;
            let fresh = self.fresh_hint(&name);
            fs::write(&fresh, bytes)?;
            fs::rename(&fresh, self.hints().join(&name))
        });
        if written.is_err() {
            let _ = fs::remove_file(self.fresh_hint(&name));
        }
    }

    /// A file beside the hints, so that a reader never sees half of one.
    fn fresh_hint(&self, name: &str) -> PathBuf {
        self.hints().join(format!("{name}.{}", std::process::id()))
    }

    /// Forgets all when there are too many: files come and go, and their hints stay.
    fn bound_hints(&self) -> std::io::Result<()> {
        if fs::read_dir(self.hints())?.count() < MAX_HINTS {
            return Ok(());
        }
        for entry in fs::read_dir(self.hints())? {
            fs::remove_file(entry?.path())?;
        }
        Ok(())
    }
}

/// What is damaged, or not written to its end, is not there.
fn read(path: &Path) -> Option<Hint> {
    if fs::metadata(path).ok()?.len() > 2 * MAX_JSON_BYTES {
        return None;
    }
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}
