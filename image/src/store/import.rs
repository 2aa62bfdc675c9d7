//! From a reference to an image in the store.

use std::fs::{self, File};
use std::path::Path;
use std::time::SystemTime;

use super::error::ImportCause;
use super::hints::Identity;
use super::turn::Turn;
use super::workspace::Workspace;
use super::{ImportError, Store, StoreError, StoredImage};
use crate::convert::Conversion;
use crate::decompress::{Compression, decompress};
use crate::digest::ImageId;
use crate::oci::{self, Resolved};
use crate::source::{
    Container, Content, Form, Reference, Section, SourceError, first_entry, open_regular,
    section_of, unpack_stream,
};
use crate::{aci, erofs};

/// What an import is doing; for the user's eyes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// A compressed archive is being unpacked, to look for the image in it.
    Unpacking,
    /// Another process imports the same image; this one waits for it.
    Waiting,
    /// Layer `number` of `count` is being converted (from 1). An ACI is one layer.
    Layer {
        /// Which.
        number: usize,
        /// Of how many.
        count: usize,
    },
    /// The image is being made durable.
    Storing {
        /// Its size in bytes.
        bytes: u64,
        /// Files, directories, links and devices in it.
        inodes: u64,
    },
    /// Something was left out that the image can do without.
    Warning(String),
}

pub(super) fn import(
    store: &Store,
    reference: &str,
    progress: &mut dyn FnMut(Progress),
) -> Result<StoredImage, ImportError> {
    let parsed = Reference::parse(reference).map_err(ImportCause::from);
    let imported = parsed.and_then(|reference| Import { store, progress }.run(&reference));
    imported.map_err(|source| ImportError {
        reference: reference.to_owned(),
        source: Box::new(source),
    })
}

struct Import<'a> {
    store: &'a Store,
    progress: &'a mut dyn FnMut(Progress),
}

impl Import<'_> {
    fn run(mut self, reference: &Reference) -> Result<StoredImage, ImportCause> {
        let name = name_of(&reference.path);
        let directory = fs::metadata(&reference.path).is_ok_and(|m| m.is_dir());
        if directory && matches!(reference.form, Form::Any | Form::OciLayout) {
            let container = Container::directory(&reference.path)?;
            let resolved = oci::resolve_layout(&container, reference.tag.as_deref(), &name)?;
            return self.convert_layers(resolved, None);
        }
        self.import_file(reference, &name)
    }

    fn import_file(
        &mut self,
        reference: &Reference,
        name: &str,
    ) -> Result<StoredImage, ImportCause> {
        let started = SystemTime::now();
        let file = open_regular(&reference.path)?;
        let unreadable = |source| SourceError::Io {
            what: "read",
            path: reference.path.display().to_string(),
            source,
        };
        let identity = |file: &File| -> Result<Identity, SourceError> {
            let metadata = file.metadata().map_err(unreadable)?;
            Ok(Identity::of(&metadata, reference, name))
        };
        let before = identity(&file)?;
        if let Some(image) = self.store.recall(&before) {
            return Ok(image);
        }
        let _turn = self.take_turn(&before.key())?;
        if let Some(image) = self.store.recall(&before) {
            return Ok(image);
        }
        let again = file.try_clone().map_err(unreadable)?;
        let archive = section_of(file).map_err(unreadable)?;
        let (image, own_manifest) = match recognize(reference, &archive)? {
            Content::Aci => (self.import_aci(archive)?, true),
            Content::Members => (self.import_members(reference, name, archive)?, false),
        };
        if before.is_settled(started) && identity(&again)? == before {
            let manifest = (!own_manifest).then_some(image.manifest.as_slice());
            self.store.remember(before, &image.id, manifest);
        }
        Ok(image)
    }

    fn import_aci(&mut self, archive: Section) -> Result<StoredImage, ImportCause> {
        let workspace = Workspace::create(self.store)?;
        let mut conversion = Conversion::new(workspace.spool()?);
        (self.progress)(Progress::Layer {
            number: 1,
            count: 1,
        });
        let (id, manifest) = aci::read(&mut conversion, archive)?;
        if let Some(image) = self.store.get(&id)? {
            return Ok(image);
        }
        self.finish(workspace, conversion, &id, manifest)
    }

    fn import_members(
        &mut self,
        reference: &Reference,
        name: &str,
        archive: Section,
    ) -> Result<StoredImage, ImportCause> {
        let path = &reference.path;
        let (archive, workspace) = self.uncompressed(path, archive)?;
        let container = Container::archive(path, archive)?;
        let tag = reference.tag.as_deref();
        let is_layout = container.has("index.json") && container.has("oci-layout");
        let is_docker = container.has("manifest.json");
        let wrong_kind = |member, what| SourceError::WrongKind {
            path: path.display().to_string(),
            member,
            what,
        };
        let resolved = match reference.form {
            Form::OciArchive if !is_layout => {
                return Err(wrong_kind("index.json", "an OCI archive").into());
            }
            Form::DockerArchive if !is_docker => {
                return Err(wrong_kind("manifest.json", "a docker archive").into());
            }
            // New `docker save` archives are both; the docker manifest has the names.
            Form::DockerArchive => oci::resolve_docker(&container, tag, name)?,
            Form::Any if is_docker => oci::resolve_docker(&container, tag, name)?,
            _ if is_layout => oci::resolve_layout(&container, tag, name)?,
            _ => {
                return Err(SourceError::NotImage {
                    path: path.display().to_string(),
                    source: None,
                }
                .into());
            }
        };
        self.convert_layers(resolved, workspace)
    }

    /// A compressed archive is unpacked into a workspace: its members are needed in another order.
    fn uncompressed(
        &mut self,
        path: &Path,
        archive: Section,
    ) -> Result<(Section, Option<Workspace>), ImportCause> {
        let unreadable = |source| SourceError::Io {
            what: "decompress",
            path: path.display().to_string(),
            source,
        };
        let (compression, mut plain) = decompress(archive.clone()).map_err(unreadable)?;
        if compression == Compression::None {
            return Ok((archive, None));
        }
        (self.progress)(Progress::Unpacking);
        let workspace = Workspace::create(self.store)?;
        let mut scratch = workspace.archive()?;
        unpack_stream(&mut plain, &mut scratch).map_err(unreadable)?;
        let section = section_of(scratch).map_err(unreadable)?;
        Ok((section, Some(workspace)))
    }

    fn convert_layers(
        &mut self,
        resolved: Resolved,
        workspace: Option<Workspace>,
    ) -> Result<StoredImage, ImportCause> {
        if let Some(image) = self.known(&resolved)? {
            return Ok(image);
        }
        let _turn = self.take_turn(resolved.id.as_str())?;
        if let Some(image) = self.known(&resolved)? {
            return Ok(image);
        }
        let workspace = match workspace {
            Some(workspace) => workspace,
            None => Workspace::create(self.store)?,
        };
        let mut conversion = Conversion::new(workspace.spool()?);
        let count = resolved.layers.len();
        for (number, layer) in (1..).zip(resolved.layers) {
            (self.progress)(Progress::Layer { number, count });
            oci::apply(&mut conversion, layer)?;
        }
        self.finish(workspace, conversion, &resolved.id, resolved.manifest)
    }

    fn known(&self, resolved: &Resolved) -> Result<Option<StoredImage>, StoreError> {
        self.store
            .with_manifest(&resolved.id, resolved.manifest.clone())
    }

    fn take_turn(&mut self, key: &str) -> Result<Turn, StoreError> {
        Turn::take(self.store, key, || (self.progress)(Progress::Waiting))
    }

    fn finish(
        &mut self,
        workspace: Workspace,
        mut conversion: Conversion,
        id: &ImageId,
        manifest: Vec<u8>,
    ) -> Result<StoredImage, ImportCause> {
        if conversion.dropped_xattrs > 0 {
            (self.progress)(Progress::Warning(format!(
                "{} extended attributes were left out: \
                 only user., trusted., security. and POSIX ACLs can be stored",
                conversion.dropped_xattrs
            )));
        }
        let summary = erofs::write(&mut conversion.tree, conversion.spool, id.uuid())?;
        (self.progress)(Progress::Storing {
            bytes: summary.bytes,
            inodes: summary.inodes,
        });
        workspace.commit(self.store, id, &summary.file, &manifest)?;
        let image = self.store.with_manifest(id, manifest)?;
        Ok(image
            .expect("an image that was committed is there; only a garbage collection removes it"))
    }
}

/// Tells an ACI from an archive of members by what comes first in it.
fn recognize(reference: &Reference, archive: &Section) -> Result<Content, ImportCause> {
    if reference.form != Form::Any {
        return Ok(Content::Members);
    }
    let not_image = |source| SourceError::NotImage {
        path: reference.path.display().to_string(),
        source,
    };
    let (_, plain) = decompress(archive.clone()).map_err(|source| SourceError::Io {
        what: "decompress",
        path: reference.path.display().to_string(),
        source,
    })?;
    let content = first_entry(plain).map_err(|e| not_image(Some(e)))?;
    Ok(content.ok_or_else(|| not_image(None))?)
}

/// What an image without a name is called: its file's name without the usual endings.
fn name_of(path: &Path) -> String {
    let absolute = fs::canonicalize(path);
    let path = absolute.as_deref().unwrap_or(path);
    let mut name = path
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    for ending in [".gz", ".tgz", ".xz", ".bz2", ".zst", ".tar", ".oci", ".aci"] {
        if let Some(stem) = name.strip_suffix(ending) {
            name = stem.to_owned();
        }
    }
    name
}
