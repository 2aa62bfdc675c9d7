//! What is in the store, and under which names.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{IMAGE_FILE, MANIFEST_FILE, Store, StoreError, StoredImage};
use crate::digest::ImageId;
use crate::discovery::AciName;
use crate::source::Source;

/// What an id begins with.
const ID_PREFIX: &str = "sha512-";
/// Fewer digits name nothing (rkt).
const DIGITS_MIN: usize = 2;
/// How many images an ambiguous name is explained with.
const SHOWN_MATCHES: usize = 5;
/// Blocks of a file are counted in these, whatever the file system's are.
const STAT_BLOCK_BYTES: u64 = 512;

/// An image, and what the store knows about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageEntry {
    /// The image.
    pub image: StoredImage,
    /// When it came into the store.
    pub imported: SystemTime,
    /// When a pod took it last, or one that had it was deleted. Pods over stage1 images that take no block images leave no trace here.
    pub last_used: SystemTime,
    /// Bytes that it has on the disk.
    pub disk_bytes: u64,
}

/// No one image has this name.
#[derive(Debug, thiserror::Error)]
pub enum FindImageError {
    /// It looks like an id and is none.
    #[error("{0:?} is not the id of an image, sha512- and two hexadecimal digits or more")]
    NotAnId(String),
    /// There is no such image.
    #[error("no image in the store has the id or name {0:?}")]
    NoImage(String),
    /// There are several.
    #[error("{name:?} is ambiguous: {count} images have it: {shown}")]
    Ambiguous {
        /// The text.
        name: String,
        /// How many there are.
        count: usize,
        /// Some of them.
        shown: String,
    },
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl StoredImage {
    /// Its name with its version, where it has one: `example.com/web:1.2`.
    #[must_use]
    pub fn full_name(&self) -> String {
        let manifest: Option<serde_json::Value> = serde_json::from_slice(&self.manifest).ok();
        let labels = manifest
            .as_ref()
            .and_then(|manifest| manifest["labels"].as_array());
        let mut labels = labels.into_iter().flatten();
        let version = labels.find(|label| label["name"] == "version");
        match version.and_then(|label| label["value"].as_str()) {
            Some(version) => format!("{}:{version}", self.name),
            None => self.name.clone(),
        }
    }
}

impl Store {
    /// All images, in order of their ids.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn list(&self) -> Result<Vec<ImageEntry>, StoreError> {
        let mut entries = Vec::new();
        for id in self.ids()? {
            // What is removed meanwhile is not there.
            entries.extend(self.entry(&id)?);
        }
        Ok(entries)
    }

    /// The one image that `name` means: an id or the beginning of one, the name in a manifest with or without its version, or the name of
    /// a registry that it was fetched under.
    ///
    /// # Errors
    /// When no image has it, when several have, and when the store cannot be read.
    pub fn find(&self, name: &str) -> Result<ImageEntry, FindImageError> {
        let entry = self.entry(&self.find_id(name)?)?;
        entry.ok_or_else(|| FindImageError::NoImage(name.to_owned()))
    }

    /// The same of an image that need not be whole: one of which files were lost still has its id, and the names of registries.
    ///
    /// # Errors
    /// As [`Store::find`].
    pub fn find_id(&self, name: &str) -> Result<ImageId, FindImageError> {
        let mut ids = match name.strip_prefix(ID_PREFIX) {
            Some(digits) => self.of_prefix(name, digits)?,
            None => self.of_name(name)?,
        };
        match ids.as_slice() {
            [_] => Ok(ids.remove(0)),
            [] => Err(FindImageError::NoImage(name.to_owned())),
            several => Err(FindImageError::Ambiguous {
                name: name.to_owned(),
                count: several.len(),
                shown: shown(several),
            }),
        }
    }

    fn of_prefix(&self, text: &str, digits: &str) -> Result<Vec<ImageId>, FindImageError> {
        let is_hex = |digit: u8| matches!(digit, b'0'..=b'9' | b'a'..=b'f');
        if digits.len() < DIGITS_MIN || !digits.bytes().all(is_hex) {
            return Err(FindImageError::NotAnId(text.to_owned()));
        }
        let mut ids = self.ids()?;
        // One that is put together from several goes by its own archive's, too.
        ids.retain(|id| {
            let archive = self.parts(id).archive;
            id.as_str().starts_with(text) || archive.as_str().starts_with(text)
        });
        Ok(ids)
    }

    fn of_name(&self, name: &str) -> Result<Vec<ImageId>, StoreError> {
        let reference = match Source::parse(name) {
            Ok(Source::Registry(reference)) => Some(reference.to_string()),
            Ok(Source::Web(url)) => Some(url),
            Ok(Source::Name(name)) => name.parse().ok().map(|name: AciName| name.to_string()),
            _ => None,
        };
        let fetched = self.names()?.into_iter();
        let fetched = fetched.filter(|named| Some(&named.name) == reference.as_ref());
        let mut of_registry: Vec<ImageId> = fetched.map(|named| named.id).collect();
        of_registry.retain(|id| self.image(id).is_dir());
        // What was fetched under this name is meant, whatever manifests say that others wrote.
        if !of_registry.is_empty() {
            return Ok(of_registry);
        }
        let mut images = self.list()?;
        images.retain(|entry| entry.image.name == name || entry.image.full_name() == name);
        Ok(images.into_iter().map(|entry| entry.image.id).collect())
    }

    /// The image of this id, if it is in the store.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn entry(&self, id: &ImageId) -> Result<Option<ImageEntry>, StoreError> {
        let Some(image) = self.get(id)? else {
            return Ok(None);
        };
        let directory = self.image(id);
        let read = || -> io::Result<ImageEntry> {
            let imported = fs::metadata(directory.join(MANIFEST_FILE))?.modified()?;
            let erofs = fs::metadata(directory.join(IMAGE_FILE))?;
            let mut disk_bytes = 0;
            for file in fs::read_dir(&directory)? {
                disk_bytes += file?.metadata()?.blocks() * STAT_BLOCK_BYTES;
            }
            Ok(ImageEntry {
                image,
                imported,
                // Each link that comes or goes changes it.
                last_used: changed(&erofs),
                disk_bytes,
            })
        };
        match read() {
            Ok(entry) => Ok(Some(entry)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(StoreError::io("read", &directory)(error)),
        }
    }

    fn ids(&self) -> Result<Vec<ImageId>, StoreError> {
        let path = self.images();
        let entries = match fs::read_dir(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(StoreError::io("read", &path))?,
        };
        let mut ids = Vec::new();
        for entry in entries {
            let name = entry.map_err(StoreError::io("read", &path))?.file_name();
            ids.extend(name.to_str().and_then(|name| name.parse::<ImageId>().ok()));
        }
        ids.sort();
        Ok(ids)
    }
}

fn changed(metadata: &fs::Metadata) -> SystemTime {
    let seconds = Duration::from_secs(u64::try_from(metadata.ctime()).unwrap_or(0));
    let nanoseconds = Duration::from_nanos(u64::try_from(metadata.ctime_nsec()).unwrap_or(0));
    UNIX_EPOCH + seconds + nanoseconds
}

fn shown(ids: &[ImageId]) -> String {
    let short = |id: &ImageId| id.as_str()[..ID_PREFIX.len() + 12].to_owned();
    let first: Vec<String> = ids.iter().take(SHOWN_MATCHES).map(short).collect();
    let more = if ids.len() > SHOWN_MATCHES {
        ", …"
    } else {
        ""
    };
    format!("{}{more}", first.join(", "))
}
