//! What the importer does.

use bulkhead_protocol::import::{Form, Summary};

use super::{Owner, Request};
use crate::aci::{self, AciError};
use crate::convert::{Conversion, ConvertError};
use crate::decompress::{Compression, decompress};
use crate::digest::ImageId;
use crate::erofs::{self, Filesystem, Spool};
use crate::oci::{self, Resolved};
use crate::source::{
    Container, Content, Member, Section, SourceError, first_entry, section_of, unpack_stream,
};
use crate::store::{ImportCause, Progress};
use crate::verity;

/// What came of it.
#[derive(Debug)]
pub(crate) enum Imported {
    /// The store has the image already.
    Known,
    /// The image's file is complete.
    Written(Summary),
}

/// Imports what is asked for.
pub(crate) fn run(mut request: Request, owner: &dyn Owner) -> Result<Imported, ImportCause> {
    let Some(archive) = request.archive.take() else {
        let container = Container::asked(&request.path, owner);
        let tag = request.tag.as_deref();
        let resolved = oci::resolve_layout(&container, tag, &request.name)?;
        return convert_layers(owner, &container, resolved);
    };
    let archive = section_of(archive).map_err(unreadable("read", &request.path))?;
    match recognize(&request, &archive)? {
        Content::Aci => import_aci(owner, archive),
        Content::Members => import_members(owner, &request, archive),
    }
}

fn import_aci(owner: &dyn Owner, archive: Section) -> Result<Imported, ImportCause> {
    owner.found_aci()?;
    let mut conversion = conversion(owner)?;
    owner.tell(Progress::Layer {
        number: 1,
        count: 1,
    });
    let aci = aci::read(&mut conversion, archive)?;
    let Some(id) = owner.identified(&aci.id, &aci.manifest)? else {
        return Ok(Imported::Known);
    };
    // What a later one has is over what earlier ones have.
    for number in (0..aci.dependencies).rev() {
        let image = Filesystem::of(owner.dependency(number)?);
        let added = image.map_err(ConvertError::from);
        let added = added.and_then(|image| conversion.add_below(&image));
        added.map_err(|source| AciError::Below { number, source })?;
    }
    aci.finish(&mut conversion);
    write(conversion, &id)
}

fn import_members(
    owner: &dyn Owner,
    request: &Request,
    archive: Section,
) -> Result<Imported, ImportCause> {
    let path = &request.path;
    let archive = uncompressed(owner, path, archive)?;
    let container = Container::archive(path, archive)?;
    let tag = request.tag.as_deref();
    let name = &request.name;
    let is_layout = container.has("index.json") && container.has("oci-layout");
    let is_docker = container.has("manifest.json");
    let wrong_kind = |member, what| SourceError::WrongKind {
        path: path.clone(),
        member,
        what,
    };
    let resolved = match request.form {
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
                path: path.clone(),
                source: None,
            }
            .into());
        }
    };
    convert_layers(owner, &container, resolved)
}

/// A compressed archive is unpacked into a file: its members are needed in another order.
fn uncompressed(owner: &dyn Owner, path: &str, archive: Section) -> Result<Section, ImportCause> {
    let (compression, mut plain) =
        decompress(archive.clone()).map_err(unreadable("decompress", path))?;
    if compression == Compression::None {
        return Ok(archive);
    }
    owner.tell(Progress::Unpacking);
    let mut scratch = owner.scratch()?;
    unpack_stream(&mut plain, &mut scratch).map_err(unreadable("decompress", path))?;
    Ok(section_of(scratch).map_err(unreadable("read", path))?)
}

fn convert_layers(
    owner: &dyn Owner,
    container: &Container<'_>,
    resolved: Resolved,
) -> Result<Imported, ImportCause> {
    let Some(id) = owner.identified(&resolved.id, &resolved.manifest)? else {
        return Ok(Imported::Known);
    };
    let layers: Vec<Member> = resolved.layers.iter().map(|l| l.member.clone()).collect();
    container.expect(&layers);
    let mut conversion = conversion(owner)?;
    let count = resolved.layers.len();
    for (number, layer) in (1..).zip(resolved.layers) {
        owner.tell(Progress::Layer { number, count });
        oci::apply(&mut conversion, container, layer)?;
    }
    write(conversion, &id)
}

fn conversion(owner: &dyn Owner) -> Result<Conversion, ImportCause> {
    let [image, tails] = owner.files()?;
    Ok(Conversion::new(Spool::new(image, tails)))
}

fn write(mut conversion: Conversion, id: &ImageId) -> Result<Imported, ImportCause> {
    let dropped_xattrs = conversion.dropped_xattrs;
    let written = erofs::write(&mut conversion.tree, conversion.spool, id.uuid())?;
    Ok(Imported::Written(Summary {
        verity: verity::append(&written.image, written.bytes)?,
        inodes: written.inodes,
        dropped_xattrs,
    }))
}

/// Tells an ACI from an archive of members by what comes first in it.
fn recognize(request: &Request, archive: &Section) -> Result<Content, ImportCause> {
    if request.form != Form::Any {
        return Ok(Content::Members);
    }
    let path = &request.path;
    let not_image = |source| SourceError::NotImage {
        path: path.clone(),
        source,
    };
    let (_, plain) = decompress(archive.clone()).map_err(unreadable("decompress", path))?;
    let content = first_entry(plain).map_err(|e| not_image(Some(e)))?;
    Ok(content.ok_or_else(|| not_image(None))?)
}

fn unreadable(what: &'static str, path: &str) -> impl FnOnce(std::io::Error) -> SourceError {
    let path = path.to_owned();
    move |source| SourceError::Io { what, path, source }
}
