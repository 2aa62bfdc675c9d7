//! Archive entries into the tree and the spool.

use crate::bytes::Escaped;
use crate::erofs::{self, ErofsError, ReadError, Spool};
use crate::limits::MAX_IMAGE_BYTES;
use crate::tar::{Entry, EntryKind, Skip, TarError, TarReader};
use crate::tree::{Duplicates, Kind, Metadata, Tree, TreeError, TreePath};

/// An archive that cannot become part of an image.
#[derive(Debug, thiserror::Error)]
pub enum ConvertError {
    /// The archive itself is bad.
    #[error(transparent)]
    Tar(#[from] TarError),
    /// One entry is refused.
    #[error("entry \"{entry}\"")]
    Entry {
        /// The entry's name.
        entry: Escaped,
        /// Why.
        source: TreeError,
    },
    /// The image cannot be written.
    #[error(transparent)]
    Erofs(#[from] ErofsError),
    /// An image that this one is put together from cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// See the bound.
    #[error(
        "entry \"{entry}\": size is {size}, \
         the image would have more than {MAX_IMAGE_BYTES} bytes of files"
    )]
    TooManyBytes {
        /// The entry that is one too many.
        entry: Escaped,
        /// Its size.
        size: u64,
    },
    /// An ACI has a manifest and a root file system.
    #[error("entry \"{entry}\": an ACI holds \"manifest\" and \"rootfs\" only")]
    NotInAci {
        /// The entry's name.
        entry: Escaped,
    },
    /// The ACI's manifest is a directory or a link.
    #[error(
        "entry \"manifest\" is not a regular file of at most {} bytes",
        crate::limits::MAX_JSON_BYTES
    )]
    AciManifest,
    /// An ACI without one of its two parts.
    #[error("the archive has no \"{0}\"")]
    AciIncomplete(&'static str),
    /// What has no place in a stage1 image.
    #[error(
        "entry \"{entry}\": a stage1 image has files, directories and links alone, and this is {what}"
    )]
    NotForStage1 {
        /// The entry's name.
        entry: Escaped,
        /// "a device" …
        what: &'static str,
    },
    /// See the bounds.
    #[error("entry \"{entry}\": the stage1 image would have more than {bound} {what}")]
    Stage1TooLarge {
        /// The entry that is one too many.
        entry: Escaped,
        /// How many there may be.
        bound: u64,
        /// Of what.
        what: &'static str,
    },
    /// An entry cannot be written to the host's file system.
    #[error("cannot {what} \"{entry}\" of the stage1 image")]
    Unpack {
        /// What was tried.
        what: &'static str,
        /// The entry's name.
        entry: Escaped,
        /// Why.
        source: std::io::Error,
    },
    /// A whiteout as a directory.
    #[error("the layer's archive has an entry inside a whiteout, \"{0}\"")]
    BelowWhiteout(Escaped),
}

/// An image that is being put together.
pub(crate) struct Conversion {
    pub(crate) tree: Tree,
    pub(crate) spool: Spool,
    /// File data so far, also of files that were replaced.
    bytes: u64,
    /// Attributes that the image cannot hold and that were left out.
    pub(crate) dropped_xattrs: u64,
}

/// The two kinds of archive, and how strict each is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Rules {
    Layer,
    Aci,
}

impl Rules {
    fn duplicates(self) -> Duplicates {
        match self {
            Self::Layer => Duplicates::Replace,
            Self::Aci => Duplicates::Refuse,
        }
    }

    /// Where a hard link leads, from the root of the image.
    pub(crate) fn link_target(self, target: &[u8]) -> Result<TreePath, TreeError> {
        match self {
            Self::Layer => TreePath::parse_in_layer(target, "linkname"),
            Self::Aci => TreePath::parse(target, "linkname")?
                .strip_first(b"rootfs")
                .ok_or(TreeError::LinkTargetOutside),
        }
    }
}

const WHITEOUT: &[u8] = b".wh.";
/// AUFS' own files begin with this; one of them has a meaning.
const WHITEOUT_META: &[u8] = b".wh..wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";

impl Conversion {
    pub(crate) fn new(spool: Spool) -> Self {
        Self {
            tree: Tree::new(),
            spool,
            bytes: 0,
            dropped_xattrs: 0,
        }
    }

    /// Applies a layer. The caller checks the digest of its archive.
    pub(crate) fn apply_layer<S: Skip>(
        &mut self,
        reader: &mut TarReader<S>,
    ) -> Result<(), ConvertError> {
        self.tree.next_layer();
        loop {
            let entry = match reader.next_entry() {
                Ok(Some(entry)) => entry,
                // A layer's length is vouched for by its digest, and some builders write no end
                // marker.
                Ok(None) | Err(TarError::NoEndMarker { .. }) => return Ok(()),
                Err(e) => return Err(e.into()),
            };
            let path = TreePath::parse_in_layer(&entry.path, "name").map_err(in_entry(&entry))?;
            if !self.apply_whiteout(&entry, &path)? {
                self.add(reader, entry, &path, Rules::Layer)?;
            }
        }
    }

    /// Adds an entry of an ACI; the path is that below its root file system.
    pub(crate) fn add_of_aci<S: Skip>(
        &mut self,
        reader: &mut TarReader<S>,
        entry: Entry,
        path: &TreePath,
    ) -> Result<(), ConvertError> {
        self.add(reader, entry, path, Rules::Aci)
    }

    /// Returns whether the entry was a whiteout.
    fn apply_whiteout(&mut self, entry: &Entry, path: &TreePath) -> Result<bool, ConvertError> {
        let Some((parents, name)) = path.split_last() else {
            return Ok(false);
        };
        if parents
            .first()
            .is_some_and(|first| first.starts_with(WHITEOUT_META))
        {
            // Below AUFS' own directories (.wh..wh.plnk, .wh..wh.orph), as Docker and containerd
            // skip them.
            return Ok(true);
        }
        if parents.iter().any(|parent| parent.starts_with(WHITEOUT)) {
            return Err(ConvertError::BelowWhiteout(Escaped::new(&entry.path)));
        }
        if name == OPAQUE {
            self.tree.make_opaque(&path.parent());
            return Ok(true);
        }
        if name.starts_with(WHITEOUT_META) {
            return Ok(true);
        }
        let Some(hidden) = name.strip_prefix(WHITEOUT) else {
            return Ok(false);
        };
        let problem = match hidden {
            b"" => "names nothing",
            b"." | b".." => "names \".\" or \"..\"",
            hidden => {
                self.tree.white_out(&path.with_name(hidden));
                return Ok(true);
            }
        };
        Err(in_entry(entry)(TreeError::Whiteout { problem }))
    }

    fn add<S: Skip>(
        &mut self,
        reader: &mut TarReader<S>,
        mut entry: Entry,
        path: &TreePath,
        rules: Rules,
    ) -> Result<(), ConvertError> {
        if let EntryKind::HardLink { target } = &entry.kind {
            return rules
                .link_target(target)
                .and_then(|target| {
                    self.tree
                        .insert_hard_link(path, &target, rules.duplicates())
                })
                .map_err(in_entry(&entry));
        }
        let mut xattrs = std::mem::take(&mut entry.xattrs);
        let before = xattrs.len();
        xattrs.retain(|(name, value)| erofs::is_supported_xattr(name, value));
        self.dropped_xattrs += (before - xattrs.len()) as u64;
        let xattrs = self.tree.intern_xattrs(xattrs).map_err(in_entry(&entry))?;
        let metadata = Metadata {
            mode: entry.mode,
            uid: entry.uid,
            gid: entry.gid,
            mtime: entry.mtime,
            xattrs,
        };
        let kind = self.kind(reader, &entry, metadata)?;
        self.tree
            .insert(path, metadata, kind, rules.duplicates())
            .map_err(in_entry(&entry))
    }

    /// Counts the data of a file, before any of it is taken.
    pub(crate) fn count(&mut self, entry: &[u8], size: u64) -> Result<(), ConvertError> {
        let bytes = self.bytes.checked_add(size);
        let bytes = bytes.filter(|&bytes| bytes <= MAX_IMAGE_BYTES);
        self.bytes = bytes.ok_or_else(|| ConvertError::TooManyBytes {
            entry: Escaped::new(entry),
            size,
        })?;
        Ok(())
    }

    fn kind<S: Skip>(
        &mut self,
        reader: &mut TarReader<S>,
        entry: &Entry,
        metadata: Metadata,
    ) -> Result<Kind, ConvertError> {
        Ok(match &entry.kind {
            &EntryKind::File { size } => {
                self.count(&entry.path, size)?;
                let xattrs = self.tree.xattrs(metadata.xattrs);
                let data = self.spool.store(size, xattrs, |buf| {
                    reader.read_all(buf).map_err(ConvertError::from)
                })?;
                Kind::File(data)
            }
            EntryKind::Directory => Kind::Directory(std::collections::BTreeMap::new()),
            EntryKind::Symlink { target } => Kind::Symlink(target.as_slice().into()),
            &EntryKind::CharDevice { major, minor } => Kind::CharDevice { major, minor },
            &EntryKind::BlockDevice { major, minor } => Kind::BlockDevice { major, minor },
            EntryKind::Fifo => Kind::Fifo,
            EntryKind::HardLink { .. } => unreachable!("handled by the caller"),
        })
    }
}

/// Reads an ACI, and hands over each entry with its path below the root file system; returns the manifest.
pub(crate) fn read_aci<S: Skip>(
    reader: &mut TarReader<S>,
    mut add: impl FnMut(&mut TarReader<S>, Entry, &TreePath) -> Result<(), ConvertError>,
) -> Result<Vec<u8>, ConvertError> {
    let mut manifest = None;
    let mut has_rootfs = false;
    while let Some(entry) = reader.next_entry()? {
        let path = TreePath::parse(&entry.path, "name").map_err(in_entry(&entry))?;
        if path.components().is_empty() && entry.kind == EntryKind::Directory {
            continue;
        }
        let refuse = || ConvertError::NotInAci {
            entry: Escaped::new(&entry.path),
        };
        if path.components() == [Box::from(&b"manifest"[..])] {
            if manifest.is_some() {
                return Err(duplicate(&entry));
            }
            manifest = Some(read_manifest(reader, &entry)?);
            continue;
        }
        let inside = path.strip_first(b"rootfs").ok_or_else(refuse)?;
        if inside.components().is_empty() && std::mem::replace(&mut has_rootfs, true) {
            return Err(duplicate(&entry));
        }
        has_rootfs = true;
        add(reader, entry, &inside)?;
    }
    if !has_rootfs {
        return Err(ConvertError::AciIncomplete("rootfs"));
    }
    manifest.ok_or(ConvertError::AciIncomplete("manifest"))
}

fn read_manifest<S: Skip>(
    reader: &mut TarReader<S>,
    entry: &Entry,
) -> Result<Vec<u8>, ConvertError> {
    match entry.kind {
        EntryKind::File { size } if size <= crate::limits::MAX_JSON_BYTES => {
            let mut bytes = vec![0; usize::try_from(size).expect("bounded")];
            reader.read_all(&mut bytes)?;
            Ok(bytes)
        }
        _ => Err(ConvertError::AciManifest),
    }
}

pub(crate) fn in_entry(entry: &Entry) -> impl FnOnce(TreeError) -> ConvertError {
    let entry = Escaped::new(&entry.path);
    move |source| ConvertError::Entry { entry, source }
}

fn duplicate(entry: &Entry) -> ConvertError {
    in_entry(entry)(TreeError::Duplicate)
}
