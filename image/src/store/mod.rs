//! The image store: a directory of images by their content.
//!
//! ```text
//! cas/images/sha512-…/rootfs.erofs   the file tree, read-only, and the tree of its hashes, see `verity`
//! cas/images/sha512-…/manifest       the ACI manifest
//! cas/images/sha512-…/verity         the root of the hashes: what a guest checks all that it reads against
//! cas/images/sha512-…/digests        what these were when they came, see `digests`
//! cas/images/sha512-…/{parts,signers}  what it is put together from, and who has signed that, see `parts`
//! cas/names/…                        what images of registries are called, see `names`
//! cas/blobs/sha256-…                 blobs of registries on their way, see `registry::blobs`
//! cas/hints/…                        "this file is that image", see `hints`
//! cas/tree/sha512-…/{manifest,rootfs}  a stage1 image, unpacked, see `trees`
//! cas/tmp/…                          imports that are going on, each under locks of its own
//! cas/lock                           held while `tmp` is swept or gets a new entry
//! ```
//!
//! An image appears by one `rename` of its finished and synced directory, so it is there as a whole
//! or not at all. Whatever a killed import leaves lies in `tmp`, and the next import removes it.
//! Several processes may import at the same time. For the same image they take turns, so that it is
//! converted once; should two convert it all the same, from two files, the first rename wins.

mod contents;
mod dependencies;
mod digests;
mod download;
mod error;
mod export;
mod hints;
mod hold;
mod identify;
mod import;
mod keeper;
mod names;
mod parts;
mod remove;
mod signature;
mod stage1;
mod trees;
mod turn;
mod workspace;

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use bulkhead_protocol::verity::{MAX_TEXT, Verity};

pub use contents::{FindImageError, ImageEntry};
pub use dependencies::{Dependencies, DependencyError};
pub use digests::VerifyError;
pub use download::Remote;
pub use error::{ImportCause, ImportError, StoreError};
pub use export::ImageExportError;
pub use hold::Held;
pub use import::Progress;
pub use names::NamedImage;
pub use signature::{Signatures, UnsignedError};
pub use trees::{StoredTree, UnpackedImage};

use crate::digest::ImageId;
use crate::import::Importer;
use crate::registry::{Registries, RegistryReference};
use dependencies::{Lineage, Resolver};

const IMAGE_FILE: &str = "rootfs.erofs";
const MANIFEST_FILE: &str = "manifest";
const VERITY_FILE: &str = "verity";

/// An open image store.
#[derive(Debug)]
pub struct Store {
    cas: PathBuf,
}

/// An image in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredImage {
    /// Its content's name.
    pub id: ImageId,
    /// The name in its manifest.
    pub name: String,
    /// Its ACI manifest, JSON. Of an OCI or docker image it is made from the image's configuration,
    /// and from the reference that was imported: so it may differ from import to import in name and
    /// annotations.
    pub manifest: Vec<u8>,
    /// The EROFS image with the tree of its hashes, read-only; a pod may hard-link it.
    pub erofs_path: PathBuf,
    /// The file with the root of the hashes ([`Verity`]); likewise.
    pub verity_path: PathBuf,
    /// The image's size in bytes, a multiple of 4096.
    pub size: u64,
}

impl Store {
    /// Opens the store below `dir` (`dir/cas`), and makes it if it is not there.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        let store = Self {
            cas: dir.join("cas"),
        };
        for directory in [store.images(), store.hints(), store.tmp(), store.blobs()] {
            fs::create_dir_all(&directory).map_err(StoreError::io("create", &directory))?;
        }
        Ok(store)
    }

    /// Opens the store below `dir` if there is one, and makes nothing.
    #[must_use]
    pub fn open_existing(dir: &Path) -> Option<Self> {
        let cas = dir.join("cas");
        cas.is_dir().then_some(Self { cas })
    }

    /// Brings a local image into the store, or finds it there.
    ///
    /// `reference` is the path of an ACI (plain, gzip, bzip2, xz or zstd), of an OCI layout
    /// directory, of an OCI archive or of a `docker save` archive, or one of the last three as
    /// skopeo writes it (`oci:DIR[:TAG]`, `oci-archive:FILE[:TAG]`, `docker-archive:FILE[:NAME]`). What is in it, the
    /// importer reads.
    pub fn import(
        &self,
        reference: &str,
        signatures: Signatures<'_>,
        importer: &Importer,
        dependencies: Dependencies<'_>,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<StoredImage, ImportError> {
        let resolver = Resolver {
            store: self,
            importer,
            signatures,
            dependencies,
            lineage: &Lineage::default(),
        };
        import::import(&resolver, reference, progress)
    }

    /// Brings an image of a registry into the store, or finds out that it is there; and gives it its name.
    pub fn fetch(
        &self,
        reference: &RegistryReference,
        registries: &Registries,
        importer: &Importer,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<StoredImage, ImportError> {
        let resolver = Resolver {
            store: self,
            importer,
            signatures: Signatures::Unneeded,
            // Images of registries have none.
            dependencies: Dependencies::OfStore,
            lineage: &Lineage::default(),
        };
        import::fetch(&resolver, reference, registries, progress)
    }

    /// The image of this id, if it is in the store.
    pub fn get(&self, id: &ImageId) -> Result<Option<StoredImage>, StoreError> {
        let manifest = self.image(id).join(MANIFEST_FILE);
        match fs::read(&manifest) {
            Ok(bytes) => self.with_manifest(id, bytes),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(StoreError::io("read", &manifest)(e)),
        }
    }

    /// The image of this id with another manifest than the stored one.
    fn with_manifest(
        &self,
        id: &ImageId,
        manifest: Vec<u8>,
    ) -> Result<Option<StoredImage>, StoreError> {
        let erofs_path = self.image(id).join(IMAGE_FILE);
        let verity_path = self.image(id).join(VERITY_FILE);
        // One that lost a file, or of which nobody could check what he reads, is no image: the next import makes it anew.
        if !says_what_is_right(&verity_path)? {
            return Ok(None);
        }
        let manifest_path = self.image(id).join(MANIFEST_FILE);
        let files = fs::metadata(&manifest_path).and_then(|_| fs::metadata(&erofs_path));
        let size = match files {
            Ok(metadata) => metadata.len(),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(StoreError::io("read", &erofs_path)(e)),
        };
        Ok(Some(self.stored(id, manifest, size)))
    }

    /// An image that has come, which somebody may have removed again.
    fn stored(&self, id: &ImageId, manifest: Vec<u8>, size: u64) -> StoredImage {
        let entry = self.image(id);
        StoredImage {
            id: id.clone(),
            name: name_in(&manifest),
            manifest,
            erofs_path: entry.join(IMAGE_FILE),
            verity_path: entry.join(VERITY_FILE),
            size,
        }
    }

    fn images(&self) -> PathBuf {
        self.cas.join("images")
    }

    fn image(&self, id: &ImageId) -> PathBuf {
        self.images().join(id.as_str())
    }

    fn blobs(&self) -> PathBuf {
        self.cas.join("blobs")
    }

    fn hints(&self) -> PathBuf {
        self.cas.join("hints")
    }

    fn tmp(&self) -> PathBuf {
        self.cas.join("tmp")
    }

    fn lock(&self) -> PathBuf {
        self.cas.join("lock")
    }
}

/// A file that is there for its lock alone. It stays when it is let go of.
fn open_lock(path: &Path) -> Result<File, StoreError> {
    let opened = OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(false)
        .mode(0o600)
        .open(path);
    opened.map_err(StoreError::io("open", path))
}

/// Whether the file is there and has the root of an image's hashes. Older stores have none.
fn says_what_is_right(path: &Path) -> Result<bool, StoreError> {
    let read = || -> io::Result<String> {
        let mut text = String::new();
        File::open(path)?.take(MAX_TEXT).read_to_string(&mut text)?;
        Ok(text)
    };
    match read() {
        Ok(text) => Ok(text.parse::<Verity>().is_ok()),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::InvalidData) => {
            Ok(false)
        }
        Err(error) => Err(StoreError::io("read", path)(error)),
    }
}

/// The `name` of a manifest that was checked when it came into the store.
fn name_in(manifest: &[u8]) -> String {
    let manifest: Option<serde_json::Value> = serde_json::from_slice(manifest).ok();
    let name = manifest
        .as_ref()
        .and_then(|manifest| manifest["name"].as_str());
    name.unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests;
