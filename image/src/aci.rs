//! App container images: an archive with `manifest` and `rootfs/`.

use std::io;
use std::path::Path;

use serde::Deserialize;
use sha2::{Digest as _, Sha512};

use crate::bytes::Escaped;
use crate::convert::{self, Conversion, ConvertError};
use crate::decompress::decompress;
use crate::dependency::{BadDependency, Dependency};
use crate::digest::{Hashing, ImageId};
use crate::oci;
use crate::source::Section;
use crate::tar::{Entry, Stream, TarReader};
use crate::tree::{TreeError, TreePath};
use crate::unpack::Unpacking;

/// An ACI that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AciError {
    /// Cannot be read or decompressed.
    #[error("the archive cannot be read")]
    Read(#[source] io::Error),
    /// The archive or an entry is bad.
    #[error(transparent)]
    Convert(#[from] ConvertError),
    /// The manifest is not the JSON that it should be.
    #[error("manifest is not valid")]
    Manifest(#[source] serde_json::Error),
    /// A field of the manifest is refused.
    #[error("manifest: field {field} {problem}")]
    Field {
        /// The field.
        field: &'static str,
        /// What is wrong.
        problem: String,
    },
    /// A path of the manifest is refused.
    #[error("manifest: field pathWhitelist, \"{path}\"")]
    Whitelist {
        /// The path.
        path: Escaped,
        /// Why.
        source: TreeError,
    },
    /// An image that it is put together from is refused.
    #[error(transparent)]
    Dependency(#[from] BadDependency),
    /// The files of one that it is put together from cannot be taken.
    #[error("dependency {number}")]
    Below {
        /// Its place in the manifest, from 0.
        number: usize,
        /// Why not.
        source: ConvertError,
    },
    /// Made for another machine.
    #[error("the image is for {found}, this host runs {host}")]
    Platform {
        /// The image's labels.
        found: String,
        /// Ours.
        host: String,
    },
}

/// The fields that decide about the file tree. Those of the app are checked by who runs it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Manifest {
    ac_kind: String,
    name: String,
    #[serde(default)]
    labels: Option<Vec<Label>>,
    #[serde(default)]
    path_whitelist: Option<Vec<String>>,
}

#[derive(Debug, Deserialize)]
struct Label {
    name: String,
    value: String,
}

/// An ACI that has been read, but for the images that it is put together from.
#[derive(Debug)]
pub(crate) struct Read {
    /// Its archive's.
    pub(crate) id: ImageId,
    /// As it stands in the archive.
    pub(crate) manifest: Vec<u8>,
    /// How many images are to come below it.
    pub(crate) dependencies: usize,
    whitelist: Vec<TreePath>,
}

/// Reads a whole ACI. On an error the conversion is worthless.
pub(crate) fn read(conversion: &mut Conversion, source: Section) -> Result<Read, AciError> {
    let (id, manifest, parsed) = read_entries(source, |reader, entry, path| {
        conversion.add_of_aci(reader, entry, path)
    })?;
    Ok(Read {
        id,
        dependencies: Dependency::all_of(&manifest)?.len(),
        whitelist: whitelist(parsed.path_whitelist.as_deref().unwrap_or_default())?,
        manifest,
    })
}

impl Read {
    /// Leaves what its manifest allows, now that all of it is there.
    pub(crate) fn finish(&self, conversion: &mut Conversion) {
        // An empty list allows all.
        if !self.whitelist.is_empty() {
            conversion.tree.retain_paths(&self.whitelist);
        }
    }
}

/// Unpacks a stage1 image into an empty directory; returns its id and its manifest. On an error the directory is worthless.
pub(crate) fn unpack(source: Section, directory: &Path) -> Result<(ImageId, Vec<u8>), AciError> {
    let mut unpacking = Unpacking::into(directory)?;
    let (id, manifest, parsed) = read_entries(source, |reader, entry, path| {
        unpacking.add(reader, &entry, path)
    })?;
    let refused = |field| AciError::Field {
        field,
        problem: "is not empty, which is not supported in a stage1 image".to_owned(),
    };
    if parsed.path_whitelist.is_some_and(|paths| !paths.is_empty()) {
        return Err(refused("pathWhitelist"));
    }
    if !Dependency::all_of(&manifest)?.is_empty() {
        return Err(refused("dependencies"));
    }
    Ok((id, manifest))
}

type PlainReader<'a> = TarReader<Stream<Hashing<'a, Box<dyn io::Read + 'a>, Sha512>>>;

fn read_entries(
    source: Section,
    add: impl FnMut(&mut PlainReader<'_>, Entry, &TreePath) -> Result<(), ConvertError>,
) -> Result<(ImageId, Vec<u8>, Manifest), AciError> {
    let mut hasher = Sha512::new();
    let manifest = {
        let (_, plain) = decompress(source).map_err(AciError::Read)?;
        let mut reader = TarReader::new(Stream(Hashing {
            inner: plain,
            hasher: &mut hasher,
        }));
        let manifest = convert::read_aci(&mut reader, add)?;
        reader.drain().map_err(ConvertError::from)?;
        manifest
    };
    let parsed: Manifest = serde_json::from_slice(&manifest).map_err(AciError::Manifest)?;
    check(&parsed)?;
    Ok((ImageId::from_sha512(hasher), manifest, parsed))
}

fn check(manifest: &Manifest) -> Result<(), AciError> {
    let field = |field, problem: &str| AciError::Field {
        field,
        problem: problem.to_owned(),
    };
    if manifest.ac_kind != "ImageManifest" {
        let found = Escaped::new(manifest.ac_kind.as_bytes());
        return Err(field(
            "acKind",
            &format!("is \"{found}\", not \"ImageManifest\""),
        ));
    }
    if manifest.name.is_empty() {
        return Err(field("name", "is empty"));
    }
    let labels = manifest.labels.as_deref().unwrap_or_default();
    let label = |name: &str| {
        let label = labels.iter().find(|label| label.name == name);
        label.map(|label| label.value.as_str())
    };
    let (os, arch) = (label("os"), label("arch"));
    if !oci::suits_appc(os, arch) {
        let found = format!("{}/{}", os.unwrap_or("linux"), arch.unwrap_or("any"));
        return Err(AciError::Platform {
            found: Escaped::new(found.as_bytes()).to_string(),
            host: oci::host_platform(),
        });
    }
    Ok(())
}

/// A white list names all files that the image has.
fn whitelist(paths: &[String]) -> Result<Vec<TreePath>, AciError> {
    let parsed = paths.iter().map(|path| {
        let relative = path.strip_prefix('/').unwrap_or(path);
        TreePath::parse(relative.as_bytes(), "path").map_err(|source| AciError::Whitelist {
            path: Escaped::new(path.as_bytes()),
            source,
        })
    });
    parsed.collect()
}
