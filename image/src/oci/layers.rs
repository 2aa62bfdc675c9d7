//! Layers into the tree, each with its digests checked.

use std::io::Read;

use super::resolve::{check_digest, check_size};
use super::{Layer, OciError};
use crate::convert::{Conversion, ConvertError};
use crate::decompress::decompress;
use crate::digest::Hashing;
use crate::source::Container;
use crate::tar::{Stream, TarReader};

/// Applies one layer. On an error the conversion is worthless.
pub(crate) fn apply(
    conversion: &mut Conversion,
    container: &Container<'_>,
    layer: Layer,
) -> Result<(), OciError> {
    let blob = container.open(&layer.member)?;
    let read_error = |source| OciError::Read {
        layer: layer.name.clone(),
        source,
    };
    let layer_error = |source| OciError::Layer {
        layer: layer.name.clone(),
        source,
    };
    let what = format!("layer {}", layer.name);
    let mut hashers = Hashers::of(&layer, blob.is_checked());
    if let (Some((_, expected)), Some(size)) = (&layer.descriptor, blob.size()) {
        // Before anything is read: a blob of another size cannot be the right one.
        check_size(&what, size, *expected)?;
    }
    let applied = {
        let Hashers {
            blob: of_blob,
            content,
        } = &mut hashers;
        let source: Box<dyn Read> = match of_blob {
            Some(hasher) => Box::new(Hashing {
                inner: blob,
                hasher,
            }),
            None => Box::new(blob),
        };
        let (_, plain) = decompress(source).map_err(read_error)?;
        let mut reader = TarReader::new(Stream(Hashing {
            inner: plain,
            hasher: content,
        }));
        let applied = conversion.apply_layer(&mut reader);
        // A refused layer is read to its end too: if it is not the right one, that is the error to
        // report.
        let drained = reader.drain().map_err(ConvertError::from);
        match (applied, drained) {
            (Err(refused), Err(_)) => return Err(layer_error(refused)),
            (applied, drained) => applied.and(drained),
        }
    };
    if let (Some(hasher), Some((digest, _))) = (hashers.blob, &layer.descriptor) {
        check_digest(&what, hasher, digest)?;
    }
    check_digest(
        &format!("{what}, uncompressed (diff_id)"),
        hashers.content,
        &layer.diff_id,
    )?;
    applied.map_err(layer_error)
}

/// The running hashes of a layer.
struct Hashers {
    /// Of the blob, unless whoever passes it on checks it, or the uncompressed content must have the same digest anyway.
    blob: Option<crate::digest::Hasher>,
    content: crate::digest::Hasher,
}

impl Hashers {
    fn of(layer: &Layer, is_checked: bool) -> Self {
        let descriptor = layer.descriptor.as_ref().map(|(digest, _)| digest);
        Self {
            blob: descriptor
                .filter(|&digest| !is_checked && *digest != layer.diff_id)
                .map(crate::digest::Digest::hasher),
            content: layer.diff_id.hasher(),
        }
    }
}
