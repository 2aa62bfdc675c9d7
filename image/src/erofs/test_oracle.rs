//! What somebody else sees in our images: the kernel by a loop mount, `fsck.erofs` where mounting
//! is not possible.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

/// Everything about a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Type and permission bits.
    pub(crate) mode: u32,
    pub(crate) owner: (u32, u32),
    pub(crate) mtime: (i64, i64),
    pub(crate) links: u64,
    pub(crate) device: u64,
    /// A file's data or a link's target.
    pub(crate) content: Vec<u8>,
    pub(crate) xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    /// The first name, in byte order, of the same inode.
    pub(crate) same_as: Vec<u8>,
}

pub(crate) type Listing = BTreeMap<Vec<u8>, Seen>;

/// Asserts that the image holds exactly `expected`, and that a directory which is made of it does too.
#[track_caller]
pub(crate) fn assert_holds(image: &Path, expected: &Listing) {
    check(image);
    // Owners take root, and ext4 has no room for attributes of more than a block.
    let mut attributes = expected.values().flat_map(|seen| seen.xattrs.values());
    let fits = attributes.all(|value| value.len() < 4096);
    if fits && rustix::process::geteuid().is_root() {
        assert_renders(image, expected);
    }
    let dir = tempfile::tempdir().unwrap();
    let mount = Mount::new(image, dir.path());
    let seen = list(dir.path());
    match mount {
        Some(_) => assert_same(&seen, expected),
        // fsck.erofs extracts neither attributes nor hard links.
        None => assert_same(&reduce(&seen), &reduce(expected)),
    }
}

fn assert_renders(image: &Path, expected: &Listing) {
    let dir = tempfile::tempdir().unwrap();
    let image = super::Filesystem::open(image).unwrap();
    image.render(dir.path()).unwrap();
    // Links to directories and modes of symbolic links are the file system's affair, and other modules' attributes are left out.
    let comparable = |listing: &Listing| {
        let mut listing = listing.clone();
        for seen in listing.values_mut() {
            match seen.mode & 0o170_000 {
                0o040_000 => seen.links = 0,
                0o120_000 => seen.mode |= 0o777,
                _ => {}
            }
            seen.xattrs.retain(|name, _| !name.starts_with(b"trusted."));
        }
        listing
    };
    assert_same(&comparable(&list(dir.path())), &comparable(expected));
}

fn assert_same(seen: &Listing, expected: &Listing) {
    let names = |listing: &Listing| -> Vec<String> {
        let names = listing.keys();
        names.map(|name| name.escape_ascii().to_string()).collect()
    };
    assert_eq!(names(seen), names(expected));
    for (name, file) in seen {
        assert_eq!(*file, expected[name], "{}", name.escape_ascii());
    }
}

/// File data and link targets by name.
pub(crate) fn contents_of(image: &Path) -> BTreeMap<Vec<u8>, Vec<u8>> {
    check(image);
    let dir = tempfile::tempdir().unwrap();
    let _mount = Mount::new(image, dir.path());
    let listing = list(dir.path()).into_iter();
    listing.map(|(name, seen)| (name, seen.content)).collect()
}

/// Runs `fsck.erofs` over the image.
#[track_caller]
pub(crate) fn check(image: &Path) {
    run(Command::new("fsck.erofs").arg(image));
}

struct Mount<'a>(&'a Path);

impl<'a> Mount<'a> {
    /// Nothing where the machine cannot mount; the files are extracted to `dir` instead.
    fn new(image: &Path, dir: &'a Path) -> Option<Self> {
        let mount = Command::new("mount")
            .args(["-t", "erofs", "-o", "loop,ro"])
            .args([image, dir])
            .output()
            .unwrap();
        if mount.status.success() {
            return Some(Self(dir));
        }
        eprintln!(
            "cannot mount ({}), extracting with fsck.erofs",
            String::from_utf8_lossy(&mount.stderr)
        );
        let extract = format!("--extract={}", dir.display());
        run(Command::new("fsck.erofs")
            .args(["--preserve", "--overwrite", &extract])
            .arg(image));
        None
    }
}

impl Drop for Mount<'_> {
    fn drop(&mut self) {
        // Lazily: a child of another test thread may hold a descriptor until its exec.
        let _ = Command::new("umount").arg("--lazy").arg(self.0).status();
    }
}

#[track_caller]
fn run(command: &mut Command) {
    let output = command
        .output()
        .unwrap_or_else(|e| panic!("{command:?}: {e} (Debian: apt-get install erofs-utils)"));
    assert!(output.status.success(), "{command:?}: {output:?}");
}

fn list(root: &Path) -> Listing {
    let mut listing = Listing::new();
    let mut inodes = BTreeMap::new();
    let mut pending = vec![Vec::new()];
    while let Some(name) = pending.pop() {
        let path = root.join(std::ffi::OsStr::from_bytes(&name));
        let metadata = fs::symlink_metadata(&path).unwrap();
        let content = if metadata.is_file() {
            fs::read(&path).unwrap()
        } else if metadata.is_symlink() {
            fs::read_link(&path).unwrap().into_os_string().into_vec()
        } else {
            Vec::new()
        };
        if metadata.is_dir() {
            for entry in fs::read_dir(&path).unwrap() {
                let entry = entry.unwrap().file_name();
                let separator = if name.is_empty() { &b""[..] } else { b"/" };
                pending.push([&name, separator, entry.as_bytes()].concat());
            }
        } else {
            let first = inodes.entry(metadata.ino()).or_insert_with(|| name.clone());
            if name < *first {
                first.clone_from(&name);
            }
        }
        let seen = Seen {
            mode: metadata.mode(),
            owner: (metadata.uid(), metadata.gid()),
            mtime: (metadata.mtime(), metadata.mtime_nsec()),
            links: metadata.nlink(),
            device: metadata.rdev(),
            content,
            xattrs: xattrs(&path),
            same_as: metadata.ino().to_le_bytes().to_vec(),
        };
        listing.insert(name, seen);
    }
    for (name, seen) in &mut listing {
        let inode = u64::from_le_bytes(seen.same_as.as_slice().try_into().unwrap());
        seen.same_as = inodes.get(&inode).unwrap_or(name).clone();
    }
    listing
}

fn xattrs(path: &Path) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut names = vec![0; 64 << 10];
    let length = rustix::fs::llistxattr(path, &mut names[..]).unwrap();
    let names = names[..length]
        .split(|&b| b == 0)
        .filter(|name| !name.is_empty());
    names
        .map(|name| {
            let mut value = vec![0; 64 << 10];
            let length = rustix::fs::lgetxattr(path, name, &mut value[..]).unwrap();
            (name.to_vec(), value[..length].to_vec())
        })
        .collect()
}

/// What `fsck.erofs` extracts faithfully.
fn reduce(listing: &Listing) -> Listing {
    let mut reduced = listing.clone();
    for (name, seen) in &mut reduced {
        seen.xattrs.clear();
        seen.links = 0;
        seen.same_as.clone_from(name);
    }
    reduced
}
