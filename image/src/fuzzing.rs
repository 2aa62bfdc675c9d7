//! What is fuzzed here, from the bytes of an image to those of a file system. Everything is in this process and in memory.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::Path;

use bulkhead_protocol::import::Form;
use rustix::fs::{MemfdFlags, memfd_create};
use serde_json::json;

use crate::convert::Conversion;
use crate::digest::ImageId;
use crate::erofs::{self, Filesystem, Found, ReadError, Spool};
use crate::import::{Imported, Owner, Request, run};
use crate::source::{Member, SourceError};
use crate::store::{ImportCause, Progress};
use crate::tar::{Stream, TarReader};
use crate::test_archive::{Fields, Oci, Tar, aci, config, docker_archive, gzip, sha256};

/// Files of a damaged image that are looked at: its directories may lead in circles.
const LOOKED_AT: usize = 4096;

/// An archive that is imported: an ACI, or one of OCI's or docker's.
pub fn archive(bytes: &[u8]) {
    let owner = Memory::new();
    let archive = file();
    write(&archive, &with_checksums(bytes));
    let request = Request {
        form: Form::Any,
        tag: None,
        path: "fuzzed".to_owned(),
        name: "fuzzed".to_owned(),
        archive: Some(archive),
    };
    if let Ok(Imported::Written(_)) = run(request, &owner) {
        all_is_there(&owner.image);
    }
}

/// A layer above one that is there.
pub fn layer(bytes: &[u8]) {
    let bytes = &with_checksums(bytes)[..];
    let (image, tails) = (file(), file());
    let mut conversion = Conversion::new(Spool::new(share(&image), tails));
    let below = layer_below();
    conversion
        .apply_layer(&mut TarReader::new(Stream(&below[..])))
        .expect("the layer below is good");
    let applied = conversion.apply_layer(&mut TarReader::new(Stream(bytes)));
    if applied.is_ok() && erofs::write(&mut conversion.tree, conversion.spool, [7; 16]).is_ok() {
        all_is_there(&image);
    }
}

/// Mutated headers would be refused for their sums alone.
fn with_checksums(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for block in bytes.chunks_exact_mut(512) {
        if &block[257..262] == b"ustar" {
            block[148..156].fill(b' ');
            let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
            block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        }
    }
    bytes
}

/// The documents of an OCI image, with a zero byte between them: its index, manifest and configuration. `CONFIG`, `LAYER` and
/// `MANIFEST` stand for the digests of the blobs, so that what they say is read and not only their digests.
pub fn documents(bytes: &[u8]) {
    let mut parts = bytes.split(|byte| *byte == 0);
    let mut next = || String::from_utf8_lossy(parts.next().unwrap_or_default()).into_owned();
    let (index, manifest, config) = (next(), next(), next());
    let layer = layer_below();
    let config = config.replace("LAYER", &sha256(&layer));
    let manifest = manifest
        .replace("LAYER", &sha256(&layer))
        .replace("CONFIG", &sha256(config.as_bytes()))
        .replace("\"LENGTH\"", &config.len().to_string());
    let index = index
        .replace("MANIFEST", &sha256(manifest.as_bytes()))
        .replace("\"LENGTH\"", &manifest.len().to_string());
    let blob = |content: &[u8]| {
        let name = format!("blobs/{}", sha256(content).replace(':', "/"));
        (name, content.to_vec())
    };
    let version = br#"{"imageLayoutVersion":"1.0.0"}"#;
    let files = [
        ("oci-layout".to_owned(), version.to_vec()),
        ("index.json".to_owned(), index.into_bytes()),
        blob(config.as_bytes()),
        blob(manifest.as_bytes()),
        blob(&layer),
    ];
    let tar = files.into_iter();
    let tar = tar.fold(Tar::default(), |tar, (name, content)| {
        tar.file(name, content)
    });
    archive(&tar.finish());
}

/// An image of the store that was damaged.
pub fn erofs(bytes: &[u8]) {
    let image = file();
    write(&image, bytes);
    if let Ok(image) = open(&image) {
        // What is wrong is an error, and is none of a panic's business.
        let _ = walk(&image);
        let _ = image.lookup("/etc/passwd");
        let _ = image.lookup("/link/x");
    }
}

/// Inputs for [`archive`], [`layer`], [`documents`] and [`erofs`] to begin with.
#[must_use]
pub fn seeds() -> [Vec<Vec<u8>>; 4] {
    let layers = [layer_below(), upper_layer()];
    let in_aci = Tar::default()
        .dir("rootfs/bin")
        .file("rootfs/bin/app", "program")
        .symlink("rootfs/link", "bin/app")
        .hard_link("rootfs/again", "rootfs/bin/app");
    let archives = vec![
        aci(in_aci.clone()),
        gzip(&aci(in_aci)),
        Oci::of(&layers).archive(),
        docker_archive(&["a:b"], &layers),
    ];
    let image = file();
    let mut conversion = Conversion::new(Spool::new(share(&image), file()));
    for layer in &layers {
        let mut reader = TarReader::new(Stream(&layer[..]));
        conversion.apply_layer(&mut reader).expect("a good layer");
    }
    erofs::write(&mut conversion.tree, conversion.spool, [7; 16]).expect("a good tree");
    let image = std::fs::read(path(&image)).expect("an image in memory");
    [
        archives,
        layers.to_vec(),
        vec![document_seed()],
        vec![image],
    ]
}

fn layer_below() -> Vec<u8> {
    Tar::default()
        .dir("etc")
        .file("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n")
        .file("etc/large", vec![b'x'; 5000])
        .symlink("link", "etc")
        .hard_link("etc/second", "etc/passwd")
        .finish()
}

fn upper_layer() -> Vec<u8> {
    let device = Fields {
        device: (1, 3),
        ..Fields::of("null", b'3')
    };
    Tar::default()
        .file("etc/.wh.second", "")
        .dir("srv")
        .file("srv/.wh..wh..opq", "")
        .pax(&[("SCHILY.xattr.user.a", b"b"), ("mtime", b"1.5")])
        .file("link/new", "through a link")
        .header(&device)
        .finish()
}

fn document_seed() -> Vec<u8> {
    let kind = |name: &str| format!("application/vnd.oci.image.{name}");
    let index = json!({"schemaVersion": 2, "manifests": [{
        "mediaType": kind("manifest.v1+json"), "digest": "MANIFEST", "size": "LENGTH",
        "platform": {"os": "linux", "architecture": "amd64"},
        "annotations": {"org.opencontainers.image.ref.name": "v1"}}]});
    let manifest = json!({"schemaVersion": 2,
        "config": {"mediaType": kind("config.v1+json"), "digest": "CONFIG", "size": "LENGTH"},
        "layers": [{"mediaType": kind("layer.v1.tar"), "digest": "LAYER", "size": layer_below().len()}]});
    let config = config(&["LAYER".to_owned()]);
    let documents = [index, manifest, config].map(|document| document.to_string());
    documents.join("\0").into_bytes()
}

/// Reads all that is in an image that was just written.
fn all_is_there(image: &File) {
    let image = open(image).expect("an image that was written");
    walk(&image).expect("an image that was written can be read");
}

fn walk(image: &Filesystem) -> Result<(), ReadError> {
    let mut left = vec![image.root()?];
    let mut count = 0;
    while let Some(found) = left.pop() {
        count += 1;
        if count > LOOKED_AT {
            return Ok(());
        }
        image.xattrs(&found)?;
        look_at(image, &found, &mut left)?;
    }
    Ok(())
}

fn look_at(image: &Filesystem, found: &Found, left: &mut Vec<Found>) -> Result<(), ReadError> {
    if found.is_directory() {
        for (_, inode) in image.children(found)? {
            left.push(image.inode(inode)?);
        }
    } else if found.is_file() {
        image.read(found, 1 << 20)?;
    } else if found.is_symlink() {
        image.link_target(found)?;
    }
    Ok(())
}

/// Keeps nothing.
struct Memory {
    image: File,
    tails: File,
}

impl Memory {
    fn new() -> Self {
        Self {
            image: file(),
            tails: file(),
        }
    }
}

impl Owner for Memory {
    fn open(&self, member: &Member) -> Result<File, SourceError> {
        Err(SourceError::Missing {
            path: "the archive".to_owned(),
            member: member.name(),
        })
    }

    fn expect(&self, _: &[Member]) {}

    fn files(&self) -> Result<[File; 2], ImportCause> {
        Ok([share(&self.image), share(&self.tails)])
    }

    fn scratch(&self) -> Result<File, ImportCause> {
        Ok(file())
    }

    fn found_aci(&self) -> Result<(), ImportCause> {
        Ok(())
    }

    fn identified(&self, id: &ImageId, _: &[u8]) -> Result<Option<ImageId>, ImportCause> {
        Ok(Some(id.clone()))
    }

    fn dependency(&self, number: usize) -> Result<File, ImportCause> {
        Err(SourceError::Missing {
            path: "the store".to_owned(),
            member: format!("dependency {number}"),
        }
        .into())
    }

    fn tell(&self, _: Progress) {}
}

fn file() -> File {
    File::from(memfd_create("fuzzed", MemfdFlags::CLOEXEC).expect("memory for a file"))
}

fn share(file: &File) -> File {
    file.try_clone().expect("a descriptor")
}

fn write(file: &File, bytes: &[u8]) {
    use std::os::unix::fs::FileExt;
    file.write_all_at(bytes, 0).expect("memory for a file");
}

fn open(image: &File) -> Result<Filesystem, ReadError> {
    Filesystem::open(Path::new(&path(image)))
}

fn path(file: &File) -> String {
    format!("/proc/self/fd/{}", file.as_raw_fd())
}
