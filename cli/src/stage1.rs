//! Which stage1 image runs a pod: what flags say, else the configuration, else the installed image `kvm`.
//!
//! An image is a directory, or a file (an ACI), of this host or of a web server, that is unpacked into the store once. A file must be signed, as those of apps must, unless it lies where
//! images are installed.

mod options;

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use bulkhead_image::{ImageId, ImportError, Importer, Signatures, StoreError, UnpackedImage, Web};
use bulkhead_pod::manifest::ImageManifest;
use bulkhead_pod::stage1_image::{Stage1Image, Stage1ImageError};
use thiserror::Error;

use self::options::Source;
pub(crate) use self::options::Stage1Options;
use crate::arguments::GlobalOptions;
use crate::configuration::Stage1Name;
use crate::programs::importer;
use crate::registries::web_access;
use crate::run::images::{Narration, narrate, open_store, signatures};

/// The image when nobody says which.
const DEFAULT: &str = "kvm";

/// Where packages install stage1 images.
const SYSTEM_DIRECTORY: &str = "/usr/lib/bulkhead/stage1";
/// The same from the directory of the program, for installations elsewhere.
const RELATIVE_DIRECTORY: &str = "../lib/bulkhead/stage1";

/// What ids begin with.
const HASH_PREFIX: &str = "sha512-";
/// Digits of an id without which it fits too many (rkt).
const DIGITS_MIN: usize = 2;

/// No usable stage1 image.
#[derive(Debug, Error)]
pub(crate) enum Stage1Error {
    #[error("no stage1 image \"{name}\" in {}", list(searched))]
    NotFound {
        name: String,
        searched: Vec<PathBuf>,
    },
    #[error("stage1 image \"{name}\"")]
    Image {
        name: String,
        source: Stage1ImageError,
    },
    #[error("stage1 image \"{name}\"")]
    Unpack { name: String, source: ImportError },
    #[error("look for stage1 images in the store")]
    Store(#[from] StoreError),
    #[error(
        "no stage1 image {0} in the store or installed; --stage1-path brings one into the store"
    )]
    NoName(String),
    #[error("no stage1 image in the store has the id {0}, or one that begins so")]
    NoHash(String),
    #[error("{prefix} is ambiguous: {count} stage1 images in the store have an id that begins so")]
    AmbiguousHash { prefix: String, count: usize },
    #[error("\"{0}\" is not the id of an image, sha512- and at least two hexadecimal digits")]
    NotAHash(String),
    #[error("\"{0}\" is not the name of a file in the directory of installed stage1 images")]
    NotAFileName(String),
    #[error("stage1 image {url}: {problem}")]
    Url { url: String, problem: &'static str },
}

fn list(paths: &[PathBuf]) -> String {
    paths
        .iter()
        .map(|path| path.display().to_string())
        .collect::<Vec<_>>()
        .join(" or ")
}

/// The image of which a pod is made.
#[derive(Debug)]
pub(crate) struct ChosenStage1 {
    pub(crate) image: Stage1Image,
    /// Keeps it in the store until the pod has it; none of an image that lies elsewhere.
    unpacked: Option<UnpackedImage>,
}

impl ChosenStage1 {
    /// Its id, if it is an image of the store.
    pub(crate) fn id(&self) -> Option<&ImageId> {
        self.unpacked.as_ref().map(UnpackedImage::id)
    }
}

/// Finds the image, and sees that it is whole.
pub(crate) fn choose(
    global: &GlobalOptions,
    options: &Stage1Options,
    narration: Narration,
) -> Result<ChosenStage1> {
    let search = Search {
        global,
        installed: installed(global),
        narration,
    };
    let chosen = match options.source() {
        Some(source) => search.of_flag(source)?,
        None => search.configured()?,
    };
    let checked = chosen.image.check();
    checked.map_err(|source| Stage1Error::Image {
        name: chosen.image.directory().display().to_string(),
        source,
    })?;
    Ok(chosen)
}

/// The installed image of this name, as `doctor` looks at it.
pub(crate) fn open_installed(
    global: &GlobalOptions,
    name: &str,
) -> Result<Stage1Image, Stage1Error> {
    let directory = find(name, &installed(global))?;
    let image = open(&directory, name)?;
    Ok(image.image)
}

struct Search<'a> {
    global: &'a GlobalOptions,
    installed: Vec<PathBuf>,
    narration: Narration,
}

impl Search<'_> {
    fn of_flag(&self, source: Source<'_>) -> Result<ChosenStage1> {
        match source {
            Source::Installed(name) => Ok(open(&find(name, &self.installed)?, name)?),
            Source::Path(path) => self.unpack(path),
            Source::Url(url) => self.of_url(url),
            Source::Name(text) => {
                let (name, version) = match text.split_once(':') {
                    Some((name, version)) => (name, Some(version)),
                    None => (text, None),
                };
                let found = self.by_name(name, version)?;
                Ok(found.ok_or_else(|| Stage1Error::NoName(text.to_owned()))?)
            }
            Source::Hash(text) => self.by_hash(text),
            Source::FromDirectory(name) => {
                let is_name = !matches!(name, "" | "." | "..") && !name.contains('/');
                if !is_name {
                    return Err(Stage1Error::NotAFileName(name.to_owned()).into());
                }
                self.of_path(&find_file(name, &self.installed)?)
            }
        }
    }

    /// As rkt: what the store has under the configured name needs no location.
    fn configured(&self) -> Result<ChosenStage1> {
        let configuration = &self.global.configuration.stage1;
        if let Some(Stage1Name { name, version }) = &configuration.name
            && let Some(found) = self.by_name(name, Some(version))?
        {
            return Ok(found);
        }
        match (&configuration.location, &configuration.name) {
            (Some(location), _) if location.starts_with('/') => self.of_path(Path::new(location)),
            (Some(url), _) => self.of_url(url),
            (None, Some(name)) => Err(Stage1Error::NoName(name.to_string()).into()),
            (None, None) => Ok(open(&find(DEFAULT, &self.installed)?, DEFAULT)?),
        }
    }

    fn of_path(&self, path: &Path) -> Result<ChosenStage1> {
        match path.is_dir() {
            true => Ok(open(path, &path.display().to_string())?),
            false => self.unpack(path),
        }
    }

    fn of_url(&self, url: &str) -> Result<ChosenStage1> {
        let problem = match url.split_once("://") {
            Some(("file", path)) if path.starts_with('/') => return self.of_path(Path::new(path)),
            Some(("file", _)) => "a file of another host cannot be read",
            Some(("http" | "https", _)) => return self.fetch(url),
            Some(("docker", _)) => "a stage1 image is an ACI, and registries have none",
            Some(_) => "its scheme is none of file, http and https",
            None => "it has no scheme; --stage1-path takes the name of a file",
        };
        let url = url.to_owned();
        Err(Stage1Error::Url { url, problem }.into())
    }

    fn unpack(&self, path: &Path) -> Result<ChosenStage1> {
        let name = path.display().to_string();
        let store = open_store(&self.global.dir)?;
        let mut say = |progress| narrate(self.narration, "stage1 image", &name, &progress);
        let trusted = self.global.trust_store();
        let signatures = match self.is_installed(path) {
            true => Signatures::Unneeded,
            false => signatures(self.global, &trusted, None),
        };
        let unpacked = store.unpack(path, signatures, &Importer::Process(importer()), &mut say);
        let unpacked = unpacked.map_err(|source| Stage1Error::Unpack {
            name: name.clone(),
            source,
        })?;
        Ok(in_store(unpacked, &name)?)
    }

    /// One that came from there before is not asked for again.
    fn fetch(&self, url: &str) -> Result<ChosenStage1> {
        let store = open_store(&self.global.dir)?;
        let trusted = self.global.trust_store();
        let signatures = signatures(self.global, &trusted, None);
        if let Some(unpacked) = store.unpacked_of_url(url, signatures) {
            return Ok(in_store(unpacked, url)?);
        }
        let mut say = |progress| narrate(self.narration, "stage1 image", url, &progress);
        let mut web = Web::start(&web_access(self.global)?).context("start the fetcher")?;
        let unpacked = store.unpack_url(
            url,
            &mut web,
            signatures,
            &Importer::Process(importer()),
            &mut say,
        );
        let unpacked = unpacked.map_err(|source| Stage1Error::Unpack {
            name: url.to_owned(),
            source,
        })?;
        Ok(in_store(unpacked, url)?)
    }

    /// Whether the file lies itself, and not a link to it, where only who installs can put it.
    fn is_installed(&self, path: &Path) -> bool {
        let Ok(file) = path.canonicalize() else {
            return false;
        };
        let directories = self
            .installed
            .iter()
            .filter_map(|path| path.canonicalize().ok());
        directories
            .into_iter()
            .any(|directory| file.parent() == Some(&directory))
    }

    /// The newest image of the store that has this name and version, else an installed one.
    fn by_name(&self, name: &str, version: Option<&str>) -> Result<Option<ChosenStage1>> {
        let fits = |manifest: &ImageManifest| {
            let same = version.is_none() || manifest.label("version") == version;
            manifest.name.as_str() == name && same
        };
        let store = open_store(&self.global.dir)?;
        for tree in store.trees().map_err(Stage1Error::from)? {
            // One that is damaged is not the one that is sought.
            if ImageManifest::parse(&tree.manifest).is_ok_and(|manifest| fits(&manifest))
                && let Some(unpacked) = store.tree(&tree.id).map_err(Stage1Error::from)?
            {
                return Ok(Some(in_store(unpacked, name)?));
            }
        }
        let entries = self
            .installed
            .iter()
            .filter_map(|path| path.read_dir().ok());
        let mut directories: Vec<PathBuf> = entries
            .flatten()
            .flatten()
            .map(|entry| entry.path())
            .collect();
        directories.sort();
        let mut images = directories
            .iter()
            .filter_map(|path| Stage1Image::open(path).ok());
        let image = images.find(|image| fits(image.manifest()));
        Ok(image.map(|image| ChosenStage1 {
            image,
            unpacked: None,
        }))
    }

    fn by_hash(&self, text: &str) -> Result<ChosenStage1> {
        let digits = text.strip_prefix(HASH_PREFIX).unwrap_or_default();
        let is_hex = |digit: u8| matches!(digit, b'0'..=b'9' | b'a'..=b'f');
        if digits.len() < DIGITS_MIN || !digits.bytes().all(is_hex) {
            return Err(Stage1Error::NotAHash(text.to_owned()).into());
        }
        let store = open_store(&self.global.dir)?;
        let trees = store.trees().map_err(Stage1Error::from)?;
        let ids: Vec<ImageId> = trees
            .into_iter()
            .map(|tree| tree.id)
            .filter(|id| id.as_str().starts_with(text))
            .collect();
        let none = || Stage1Error::NoHash(text.to_owned());
        let id = match ids.as_slice() {
            [] => return Err(none().into()),
            [id] => id,
            several => {
                let (prefix, count) = (text.to_owned(), several.len());
                return Err(Stage1Error::AmbiguousHash { prefix, count }.into());
            }
        };
        let unpacked = store.tree(id).map_err(Stage1Error::from)?;
        Ok(in_store(unpacked.ok_or_else(none)?, text)?)
    }
}

fn open(directory: &Path, name: &str) -> Result<ChosenStage1, Stage1Error> {
    // A relative path would not survive the change to the pod's directory.
    let directory = std::path::absolute(directory).unwrap_or_else(|_| directory.to_owned());
    let image = Stage1Image::open(&directory).map_err(|source| Stage1Error::Image {
        name: name.to_owned(),
        source,
    })?;
    Ok(ChosenStage1 {
        image,
        unpacked: None,
    })
}

fn in_store(unpacked: UnpackedImage, name: &str) -> Result<ChosenStage1, Stage1Error> {
    let opened = open(unpacked.directory(), name)?;
    Ok(ChosenStage1 {
        unpacked: Some(unpacked),
        ..opened
    })
}

fn find(name: &str, installed: &[PathBuf]) -> Result<PathBuf, Stage1Error> {
    if name.contains('/') {
        return Ok(PathBuf::from(name));
    }
    if name.is_empty() || name.starts_with('.') {
        return Err(not_found(name, installed));
    }
    let mut candidates = installed.iter().map(|directory| directory.join(name));
    let found = candidates.find(|path| path.is_dir());
    found.ok_or_else(|| not_found(name, installed))
}

/// A file, or the directory of an image that is not packed.
fn find_file(name: &str, installed: &[PathBuf]) -> Result<PathBuf, Stage1Error> {
    let mut candidates = installed.iter().map(|directory| directory.join(name));
    let found = candidates.find(|path| path.exists());
    found.ok_or_else(|| not_found(name, installed))
}

fn not_found(name: &str, installed: &[PathBuf]) -> Stage1Error {
    Stage1Error::NotFound {
        name: name.to_owned(),
        searched: installed.to_vec(),
    }
}

/// Directories of installed images, the nearest first; the configuration can name one in place of all.
pub(crate) fn installed(global: &GlobalOptions) -> Vec<PathBuf> {
    if let Some(directory) = &global.configuration.paths.stage1_images {
        return vec![directory.clone()];
    }
    let program = env::current_exe().ok();
    let beside = program
        .as_deref()
        .and_then(Path::parent)
        .map(|bin| bin.join(RELATIVE_DIRECTORY));
    let beside = beside.and_then(|path| path.canonicalize().ok());
    beside
        .into_iter()
        .chain([PathBuf::from(SYSTEM_DIRECTORY)])
        .collect()
}

#[cfg(test)]
#[path = "stage1_test.rs"]
mod tests;
