//! Another image's files below those of one that is being put together.
//!
//! The image is one of the store, which an importer has made: who checks nothing of it still gets an error and no panic of a damaged one.

use std::collections::{BTreeMap, HashMap};

use super::inode::decode_device;
use super::read::{
    BLOCK_DEVICE, CHARACTER_DEVICE, DIRECTORY, FIFO, Filesystem, Found, REGULAR, ReadError,
    SYMLINK, TYPE_MASK,
};
use crate::bytes::Escaped;
use crate::convert::{Conversion, ConvertError};
use crate::limits::{MAX_DEPTH, MAX_NAME_COMPONENT};
use crate::tree::{Above, Kind, Metadata, NodeId, TreeError};

impl Conversion {
    /// Adds what `image` has and this one has not. What is there hides what has its name, a file or link all of a directory.
    pub(crate) fn add_below(&mut self, image: &Filesystem) -> Result<(), ConvertError> {
        let mut below = Below {
            conversion: self,
            image,
            linked: HashMap::new(),
        };
        let root = image.root()?;
        if !root.is_directory() {
            return Err(ReadError::Damaged("a root that is no directory").into());
        }
        let metadata = below.metadata(&root, b"/")?;
        below.conversion.tree.dress_root_below(metadata);
        below.fill(&root, NodeId::ROOT, 0)
    }
}

struct Below<'a> {
    conversion: &'a mut Conversion,
    image: &'a Filesystem,
    /// Files that have several names, once they have the first.
    linked: HashMap<u64, NodeId>,
}

impl Below<'_> {
    fn fill(&mut self, from: &Found, to: NodeId, depth: usize) -> Result<(), ConvertError> {
        if depth > MAX_DEPTH {
            return Err(ReadError::Damaged("directories in directories").into());
        }
        for (name, nid) in self.image.children(from)? {
            if name.is_empty() || name.len() > MAX_NAME_COMPONENT || name.contains(&b'/') {
                return Err(ReadError::Damaged("names of files").into());
            }
            let file = self.image.inode(nid)?;
            match self.conversion.tree.above(to, &name) {
                Above::Nothing => self.add(&file, to, &name, depth)?,
                Above::Directory(directory) if file.is_directory() => {
                    let metadata = self.metadata(&file, &name)?;
                    let dressed = self.conversion.tree.dress_below(to, &name, metadata);
                    dressed.map_err(at(&name))?;
                    self.fill(&file, directory, depth + 1)?;
                }
                Above::Directory(_) | Above::Other => {}
            }
        }
        Ok(())
    }

    fn add(
        &mut self,
        file: &Found,
        directory: NodeId,
        name: &[u8],
        depth: usize,
    ) -> Result<(), ConvertError> {
        if let Some(&node) = self.linked.get(&file.nid) {
            let linked = self.conversion.tree.link_below(directory, name, node);
            return linked.map_err(at(name));
        }
        let metadata = self.metadata(file, name)?;
        let kind = self.kind(file, name, metadata)?;
        let tree = &mut self.conversion.tree;
        let node = tree.add_below(directory, name, metadata, kind);
        let node = node.map_err(at(name))?;
        if file.is_directory() {
            return self.fill(file, node, depth + 1);
        }
        if file.links > 1 {
            self.linked.insert(file.nid, node);
        }
        Ok(())
    }

    fn kind(
        &mut self,
        file: &Found,
        name: &[u8],
        metadata: Metadata,
    ) -> Result<Kind, ConvertError> {
        Ok(match file.mode & TYPE_MASK {
            DIRECTORY => Kind::Directory(BTreeMap::new()),
            REGULAR => {
                self.conversion.count(name, file.size)?;
                let xattrs = self.conversion.tree.xattrs(metadata.xattrs);
                let mut offset = 0;
                let store = |buffer: &mut [u8]| -> Result<(), ConvertError> {
                    self.image.read_at(file, offset, buffer)?;
                    offset += buffer.len() as u64;
                    Ok(())
                };
                Kind::File(self.conversion.spool.store(file.size, xattrs, store)?)
            }
            SYMLINK => Kind::Symlink(self.image.link_target(file)?.into()),
            CHARACTER_DEVICE => {
                let (major, minor) = decode_device(file.first_block);
                Kind::CharDevice { major, minor }
            }
            BLOCK_DEVICE => {
                let (major, minor) = decode_device(file.first_block);
                Kind::BlockDevice { major, minor }
            }
            FIFO => Kind::Fifo,
            _ => return Err(ReadError::Damaged("a type of files").into()),
        })
    }

    fn metadata(&mut self, file: &Found, name: &[u8]) -> Result<Metadata, ConvertError> {
        let xattrs = self.image.xattrs(file)?;
        let xattrs = self.conversion.tree.intern_xattrs(xattrs);
        Ok(Metadata {
            mode: file.mode & !TYPE_MASK,
            uid: file.uid,
            gid: file.gid,
            mtime: file.mtime,
            xattrs: xattrs.map_err(at(name))?,
        })
    }
}

fn at(name: &[u8]) -> impl FnOnce(TreeError) -> ConvertError {
    let entry = Escaped::new(name);
    move |source| ConvertError::Entry { entry, source }
}
