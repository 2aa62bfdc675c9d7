//! "This name is that image": what images of registries and web servers are called.
//!
//! A name may stand for another image tomorrow, so it is no identity. The entry says which image it was when it was fetched last,
//! with the manifest that goes with the name.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::remove::remove_files;
use super::{Store, StoreError, StoredImage};
use crate::digest::{ImageId, to_hex};
use crate::limits::MAX_JSON_BYTES;
use crate::registry::RegistryReference;

#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    name: String,
    id: String,
    /// The ACI manifest of the image under this name.
    manifest: String,
    /// Seconds since 1970.
    fetched: u64,
    /// What there is to know of one of a web server.
    #[serde(default)]
    web: Option<OfWeb>,
}

/// What is remembered of an image of a web server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct OfWeb {
    /// What the server calls this version of it.
    pub(super) tag: Option<String>,
    /// Seconds since 1970 until which the server need not be asked.
    pub(super) fresh_until: u64,
    /// The fingerprint of the key that has signed it; none if nobody looked.
    pub(super) signer: Option<String>,
}

/// What a name stood for last.
pub(super) struct Remembered {
    pub(super) id: ImageId,
    /// The manifest under this name.
    pub(super) manifest: Vec<u8>,
    pub(super) web: Option<OfWeb>,
}

/// An image under a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedImage {
    /// In full: `docker.io/library/redis:7`.
    pub name: String,
    /// Which image it is.
    pub id: ImageId,
    /// When it was fetched.
    pub fetched: SystemTime,
}

impl Store {
    /// The image that a registry's name stood for when it was fetched last, if it is in the store.
    #[must_use]
    pub fn named(&self, reference: &RegistryReference) -> Option<StoredImage> {
        self.named_with(&reference.to_string())
            .map(|(image, _)| image)
    }

    /// The same of any name, with what is remembered of an image of a web server.
    pub(super) fn named_with(&self, name: &str) -> Option<(StoredImage, Option<OfWeb>)> {
        let named = self.remembered(name)?;
        let image = self.with_manifest(&named.id, named.manifest).ok()?;
        Some((image?, named.web))
    }

    /// What a name stood for, be it in the store or not.
    pub(super) fn remembered(&self, name: &str) -> Option<Remembered> {
        let entry = read(&self.name_path(name))?;
        Some(Remembered {
            id: entry.id.parse().ok()?,
            manifest: entry.manifest.into_bytes(),
            web: entry.web,
        })
    }

    /// All names, also of images that are gone.
    pub fn names(&self) -> Result<Vec<NamedImage>, StoreError> {
        let directory = self.names_path();
        let entries = match fs::read_dir(&directory) {
            Ok(entries) => entries,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(StoreError::io("read", &directory)(e)),
        };
        let entries = entries.filter_map(|entry| read(&entry.ok()?.path()));
        let named = entries.filter_map(|entry| {
            Some(NamedImage {
                id: entry.id.parse().ok()?,
                name: entry.name,
                fetched: UNIX_EPOCH.checked_add(Duration::from_secs(entry.fetched))?,
            })
        });
        Ok(named.collect())
    }

    /// Forgets all names of an image.
    pub(super) fn forget_names(&self, id: &ImageId) -> Result<(), StoreError> {
        let is_of = |path: &Path| read(path).is_some_and(|entry| entry.id == id.as_str());
        remove_files(&self.names_path(), is_of)
    }

    /// Remembers what a name stands for.
    pub(super) fn name(
        &self,
        name: &str,
        image: &StoredImage,
        web: Option<OfWeb>,
    ) -> Result<(), StoreError> {
        let (id, manifest) = (image.id.clone(), image.manifest.clone());
        self.remember_name(name, &Remembered { id, manifest, web })
    }

    /// The same of what need not be an image of an app.
    pub(super) fn remember_name(&self, name: &str, named: &Remembered) -> Result<(), StoreError> {
        let path = self.name_path(name);
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let entry = Entry {
            name: name.to_owned(),
            id: named.id.to_string(),
            manifest: String::from_utf8_lossy(&named.manifest).into_owned(),
            fetched: now.map_or(0, |now| now.as_secs()),
            web: named.web.clone(),
        };
        let bytes = serde_json::to_vec(&entry).expect("text and numbers are serializable");
        let directory = self.names_path();
        fs::create_dir_all(&directory).map_err(StoreError::io("create", &directory))?;
        let fresh = path.with_extension(format!("{}", std::process::id()));
        let written = fs::write(&fresh, bytes).and_then(|()| fs::rename(&fresh, &path));
        written.map_err(|error| {
            let _ = fs::remove_file(&fresh);
            StoreError::io("write", &path)(error)
        })
    }

    fn names_path(&self) -> PathBuf {
        self.cas.join("names")
    }

    fn name_path(&self, name: &str) -> PathBuf {
        let file = to_hex(&Sha256::digest(name.as_bytes()));
        self.names_path().join(file)
    }
}

/// What is damaged, or not written to its end, is not there.
fn read(path: &Path) -> Option<Entry> {
    if fs::metadata(path).ok()?.len() > 2 * MAX_JSON_BYTES {
        return None;
    }
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}
