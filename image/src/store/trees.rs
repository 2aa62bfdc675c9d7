//! Stage1 images in the store: archives that were unpacked once, as trees of files that pods link to.
//!
//! ```text
//! cas/tree/sha512-…/manifest   its ACI manifest; its time is when it was unpacked
//! cas/tree/sha512-…/rootfs     its files; the directory above has the time of the last start from it
//! cas/tree/lock                shared: trees are in use; exclusive: some are removed
//! ```
//!
//! The name is the image's id, the digest of the archive's content, computed from the very bytes that were unpacked. A tree appears and goes
//! by one rename. Pods have links of their own to its files: they outlive it.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File, TryLockError};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::error::ImportCause;
use super::hints::Identity;
use super::identify::identify;
use super::import::Progress;
use super::signature::{Check, Signatures};
use super::turn::Turn;
use super::workspace::Workspace;
use super::{ImportError, MANIFEST_FILE, Store, StoreError, name_in, open_lock};
use crate::aci;
use crate::digest::ImageId;
use crate::import::Importer;
use crate::source::{SourceError, open_regular, section_of};

const LOCK_FILE: &str = "lock";

/// An unpacked stage1 image, which stays for as long as this value lives.
#[derive(Debug)]
pub struct UnpackedImage {
    id: ImageId,
    directory: PathBuf,
    _lock: File,
}

impl UnpackedImage {
    /// Its content's name.
    #[must_use]
    pub fn id(&self) -> &ImageId {
        &self.id
    }

    /// Where its `manifest` and `rootfs` are.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }
}

/// What was unpacked and has no name in the store yet.
pub(super) struct Unpacked {
    workspace: Workspace,
    pub(super) id: ImageId,
    pub(super) manifest: Vec<u8>,
}

/// A stage1 image that is in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredTree {
    /// Its content's name.
    pub id: ImageId,
    /// Its ACI manifest, JSON.
    pub manifest: Vec<u8>,
    /// When it came into the store.
    pub unpacked: SystemTime,
}

impl Store {
    /// Unpacks a stage1 image's archive, an ACI in any compression, or finds it unpacked. A file that has not changed since is not read again.
    ///
    /// # Errors
    /// When it cannot be read, is no image, has something in it that no stage1 image has, or cannot be written.
    pub fn unpack(
        &self,
        file: &Path,
        signatures: Signatures<'_>,
        importer: &Importer,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<UnpackedImage, ImportError> {
        self.unpack_file(file, signatures, importer, progress)
            .map_err(|source| ImportError {
                reference: file.display().to_string(),
                source: Box::new(source),
            })
    }

    fn unpack_file(
        &self,
        path: &Path,
        signatures: Signatures<'_>,
        importer: &Importer,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<UnpackedImage, ImportCause> {
        let started = SystemTime::now();
        let file = open_regular(path)?;
        let unreadable = |source| SourceError::Io {
            what: "read",
            path: path.display().to_string(),
            source,
        };
        let identity = |file: &File| file.metadata().map(|data| Identity::of_stage1(&data));
        let before = identity(&file).map_err(unreadable)?;
        let check = Check::new(signatures, path);
        check.begin()?;
        if let Some(image) = self.recall_checked(&before, &file, &check, progress)? {
            return Ok(image);
        }
        let _turn = Turn::take(self, &before.key(), || progress(Progress::Waiting))?;
        if let Some(image) = self.recall_checked(&before, &file, &check, progress)? {
            return Ok(image);
        }
        let again = file.try_clone().map_err(unreadable)?;
        let unpacked = self.unpack_archive(path, file, &check, importer, progress)?;
        let is_unchanged = identity(&again).map_err(unreadable)? == before;
        check.stands(is_unchanged)?;
        let (id, image) = (unpacked.id.clone(), self.keep_tree(unpacked)?);
        if before.is_settled(started) && is_unchanged {
            self.remember(before, &id, true, None);
        }
        Ok(image)
    }

    /// Finds who has signed an archive, if somebody must have, and unpacks it: nothing of a stranger's is read here but by an importer.
    pub(super) fn unpack_archive(
        &self,
        path: &Path,
        file: File,
        check: &Check<'_>,
        importer: &Importer,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Unpacked, ImportCause> {
        let unreadable = |source| SourceError::Io {
            what: "read",
            path: path.display().to_string(),
            source,
        };
        progress(Progress::Unpacking);
        let again = || file.try_clone().map_err(unreadable);
        let said = match check.must_be_signed() {
            true => {
                let said = identify(self, importer, &path.display().to_string(), again()?)?;
                check.end(&name_in(&said.1), &file)?.map(&mut *progress);
                Some(said)
            }
            false => None,
        };
        let workspace = Workspace::create(self)?;
        let archive = section_of(again()?).map_err(unreadable)?;
        let (id, manifest) = aci::unpack(archive, workspace.path())?;
        match said {
            Some((signed, _)) => check.stands(signed == id)?,
            None => drop(check.end(&name_in(&manifest), &file)?.map(&mut *progress)),
        }
        Ok(Unpacked {
            workspace,
            id,
            manifest,
        })
    }

    /// Gives what was unpacked its name in the store.
    pub(super) fn keep_tree(&self, unpacked: Unpacked) -> Result<UnpackedImage, StoreError> {
        let Unpacked {
            workspace,
            id,
            manifest,
        } = unpacked;
        self.make_trees_directory()?;
        let lock = self.use_trees()?;
        if !self.tree_path(&id).is_dir() {
            workspace.commit_tree(self, &id, &manifest)?;
        }
        self.in_use(id, lock)
    }

    /// One that was unpacked before, if it is signed as it has to be today.
    fn recall_checked(
        &self,
        identity: &Identity,
        file: &File,
        check: &Check<'_>,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Option<UnpackedImage>, ImportCause> {
        let Some(image) = self.recall_tree(identity)? else {
            return Ok(None);
        };
        let path = image.directory.join(MANIFEST_FILE);
        let manifest = fs::read(&path).map_err(StoreError::io("read", &path))?;
        check.end(&name_in(&manifest), file)?.map(progress);
        Ok(Some(image))
    }

    fn recall_tree(&self, identity: &Identity) -> Result<Option<UnpackedImage>, StoreError> {
        match self.recall_id(identity) {
            Some(id) => self.tree(&id),
            None => Ok(None),
        }
    }

    /// The unpacked image of this id, if there is one.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn tree(&self, id: &ImageId) -> Result<Option<UnpackedImage>, StoreError> {
        if !self.tree_path(id).is_dir() {
            return Ok(None);
        }
        let lock = self.use_trees()?;
        // Only from here on nobody removes it.
        match self.tree_path(id).is_dir() {
            true => self.in_use(id.clone(), lock).map(Some),
            false => Ok(None),
        }
    }

    fn in_use(&self, id: ImageId, lock: File) -> Result<UnpackedImage, StoreError> {
        let directory = self.tree_path(&id);
        let now = File::open(&directory).and_then(|opened| opened.set_modified(SystemTime::now()));
        match now {
            // Of a user who may read the store and no more nobody knows when it was used last.
            Err(error) if error.kind() != io::ErrorKind::PermissionDenied => {
                return Err(StoreError::io("set the time of", &directory)(error));
            }
            _ => {}
        }
        Ok(UnpackedImage {
            id,
            directory,
            _lock: lock,
        })
    }

    /// All stage1 images in the store, the newest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn trees(&self) -> Result<Vec<StoredTree>, StoreError> {
        let mut trees = Vec::new();
        for id in self.tree_ids()? {
            let path = self.tree_path(&id).join(MANIFEST_FILE);
            let read =
                || -> io::Result<_> { Ok((fs::read(&path)?, fs::metadata(&path)?.modified()?)) };
            match read() {
                Ok((manifest, unpacked)) => trees.push(StoredTree {
                    id,
                    manifest,
                    unpacked,
                }),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(StoreError::io("read", &path)(error)),
            }
        }
        trees.sort_by_key(|tree| Reverse(tree.unpacked));
        Ok(trees)
    }

    fn tree_ids(&self) -> Result<Vec<ImageId>, StoreError> {
        let path = self.trees_path();
        let entries = match fs::read_dir(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(StoreError::io("read", &path))?,
        };
        let mut ids = Vec::new();
        for entry in entries {
            let name = entry.map_err(StoreError::io("read", &path))?.file_name();
            // The lock is no tree.
            ids.extend(name.to_str().and_then(|name| name.parse::<ImageId>().ok()));
        }
        Ok(ids)
    }

    /// Removes the trees that are not among these and were not used for so long, and gives their ids. None while pods are being made.
    ///
    /// # Errors
    /// When the store cannot be read, or a tree cannot be removed.
    pub fn remove_trees(
        &self,
        needed: &BTreeSet<String>,
        unused_for: Duration,
    ) -> Result<Vec<ImageId>, StoreError> {
        let mut removed = Vec::new();
        let ids = self.tree_ids()?;
        if ids.is_empty() {
            return Ok(removed);
        }
        let (lock, path) = self.open_trees_lock()?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(removed),
            Err(TryLockError::Error(error)) => return Err(StoreError::io("lock", &path)(error)),
        }
        for id in ids {
            let tree = self.tree_path(&id);
            let used = fs::metadata(&tree).and_then(|data| data.modified());
            let used = used.map_err(StoreError::io("read", &tree))?;
            let age = SystemTime::now().duration_since(used);
            if needed.contains(id.as_str()) || age.is_ok_and(|age| age < unused_for) {
                continue;
            }
            self.discard(&tree, &id)?;
            removed.push(id);
        }
        Ok(removed)
    }

    fn use_trees(&self) -> Result<File, StoreError> {
        let (lock, path) = self.open_trees_lock()?;
        lock.lock_shared().map_err(StoreError::io("lock", &path))?;
        Ok(lock)
    }

    fn open_trees_lock(&self) -> Result<(File, PathBuf), StoreError> {
        let path = self.trees_path().join(LOCK_FILE);
        Ok((open_lock(&path)?, path))
    }

    /// Nobody else looks at, or runs, what was unpacked from somebody's archive.
    fn make_trees_directory(&self) -> Result<(), StoreError> {
        let path = self.trees_path();
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&path)
            .map_err(StoreError::io("create", &path))
    }

    pub(super) fn trees_path(&self) -> PathBuf {
        self.cas.join("tree")
    }

    pub(super) fn tree_path(&self, id: &ImageId) -> PathBuf {
        self.trees_path().join(id.as_str())
    }
}
