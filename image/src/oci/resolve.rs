//! From `index.json` to one image's configuration and layers.

use sha2::digest::Update as _;

use super::document::{Config, Descriptor, Index, Manifest};
use super::kind::{Kind, kind_of};
use super::{Layer, OciError, Resolved, config, manifest, platform};
use crate::bytes::Escaped;
use crate::digest::{Digest, Hasher, ImageId};
use crate::limits::{MAX_INDEX_DEPTH, MAX_INDEX_ENTRIES, MAX_LAYERS};
use crate::source::{Container, Member};

const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// containerd and Docker keep the full name here.
const CONTAINERD_NAME: &str = "io.containerd.image.name";

/// Media types of layers, without their compression suffix. The compression itself is taken from
/// the first bytes.
const LAYER_TYPES: [&str; 4] = [
    "application/vnd.oci.image.layer.v1.tar",
    "application/vnd.oci.image.layer.nondistributable.v1.tar",
    "application/vnd.docker.image.rootfs.diff.tar",
    "application/vnd.docker.image.rootfs.foreign.diff.tar",
];

pub(super) fn resolve(
    container: &Container<'_>,
    tag: Option<&str>,
    fallback_name: &str,
) -> Result<Resolved, OciError> {
    let index = container.document(&Member::Index)?;
    let index: Index = parse("index.json", &index)?;
    let chosen = select(container, index.manifests, tag)?;
    let name = image_name(&chosen, fallback_name);
    let (descriptor, bytes) = follow(container, chosen)?;
    let document = format!("manifest {}", descriptor.digest);
    let manifest: Manifest = parse(&document, &bytes)?;
    if manifest.layers.len() > MAX_LAYERS {
        return Err(OciError::TooManyLayers {
            document,
            count: manifest.layers.len(),
        });
    }

    let (config_digest, config_bytes) = checked(container, "config", &manifest.config)?;
    let config: Config = parse(&format!("configuration {config_digest}"), &config_bytes)?;
    let diff_ids = config::check(&config, &config_digest.to_string())?;
    if diff_ids.len() != manifest.layers.len() {
        return Err(OciError::LayerCount {
            document,
            layers: manifest.layers.len(),
            diff_ids: diff_ids.len(),
        });
    }
    let layers = manifest.layers.into_iter().zip(diff_ids);
    let layers = layers
        .map(|(descriptor, diff_id)| layer(&descriptor, diff_id))
        .collect::<Result<_, _>>()?;
    Ok(Resolved {
        id: ImageId::of(&config_bytes),
        manifest: manifest::synthesize(&config, &name, &config_digest.to_string()),
        layers,
    })
}

/// The top-level entry that the reference means.
fn select(
    container: &Container<'_>,
    entries: Vec<Descriptor>,
    tag: Option<&str>,
) -> Result<Descriptor, OciError> {
    check_count("index.json", entries.len())?;
    let tags = || {
        let mut tags: Vec<String> = entries
            .iter()
            .map(|entry| match ref_name(entry) {
                Some(name) => format!("\"{}\"", Escaped::new(name.as_bytes())),
                None => "one without a name".to_owned(),
            })
            .collect();
        tags.dedup();
        tags.truncate(20);
        tags.join(", ")
    };
    let named: Vec<&Descriptor> = entries
        .iter()
        .filter(|entry| tag.is_none_or(|tag| has_name(entry, tag)))
        .collect();
    if let (Some(tag), true) = (tag, named.is_empty()) {
        return Err(OciError::NoSuchTag {
            path: container.path(),
            tag: tag.to_owned(),
            tags: tags(),
        });
    }
    let best = best_platform(container, &named)?;
    let other_image =
        |entry: &&&Descriptor| entry.digest != best.digest && rank(entry) == rank(best);
    if tag.is_none() && named.iter().any(|entry| other_image(&entry)) {
        return Err(OciError::Ambiguous {
            path: container.path(),
            tags: tags(),
        });
    }
    Ok(best.clone())
}

/// Goes through nested indexes to an image manifest; returns its descriptor and its bytes.
fn follow(
    container: &Container<'_>,
    mut descriptor: Descriptor,
) -> Result<(Descriptor, Vec<u8>), OciError> {
    for _ in 0..=MAX_INDEX_DEPTH {
        let (digest, bytes) = checked(container, "manifest", &descriptor)?;
        if kind_of(&descriptor, &bytes)? == Kind::Manifest {
            return Ok((descriptor, bytes));
        }
        let document = format!("index {digest}");
        let index: Index = parse(&document, &bytes)?;
        check_count(&document, index.manifests.len())?;
        let entries: Vec<&Descriptor> = index.manifests.iter().collect();
        descriptor = best_platform(container, &entries)?.clone();
    }
    Err(OciError::TooDeep {
        document: "index.json".to_owned(),
    })
}

fn best_platform<'a>(
    container: &Container<'_>,
    entries: &[&'a Descriptor],
) -> Result<&'a Descriptor, OciError> {
    if entries.is_empty() {
        return Err(OciError::Empty {
            path: container.path(),
        });
    }
    let best = entries.iter().filter(|entry| rank(entry).is_some());
    // The first of equals: min_by_key keeps it.
    best.min_by_key(|entry| rank(entry))
        .copied()
        .ok_or_else(|| {
            let platforms = entries.iter().filter_map(|entry| entry.platform.as_ref());
            let mut found: Vec<String> = platforms
                .map(|p| format!("{}/{}", p.os, p.architecture))
                .map(|platform| Escaped::new(platform.as_bytes()).to_string())
                .collect();
            found.dedup();
            found.truncate(20);
            OciError::Platform {
                found: found.join(", "),
                host: platform::host(),
            }
        })
}

/// An entry without a platform may be anything: its configuration decides later.
fn rank(entry: &Descriptor) -> Option<u8> {
    match &entry.platform {
        None => Some(0),
        Some(platform) => platform::rank(&platform.os, &platform.architecture),
    }
}

fn annotation<'a>(entry: &'a Descriptor, key: &str) -> Option<&'a str> {
    Some(entry.annotations.as_ref()?.get(key)?)
}

fn ref_name(entry: &Descriptor) -> Option<&str> {
    annotation(entry, REF_NAME).or_else(|| annotation(entry, CONTAINERD_NAME))
}

fn has_name(entry: &Descriptor, tag: &str) -> bool {
    [REF_NAME, CONTAINERD_NAME]
        .iter()
        .any(|key| annotation(entry, key) == Some(tag))
}

/// A name that says more than a tag, if the layout has one.
fn image_name(entry: &Descriptor, fallback: &str) -> String {
    let full = annotation(entry, CONTAINERD_NAME)
        .or_else(|| annotation(entry, REF_NAME).filter(|name| name.contains('/')));
    match (full, annotation(entry, REF_NAME)) {
        (Some(full), _) => full.to_owned(),
        (None, Some(tag)) => format!("{fallback}:{tag}"),
        (None, None) => fallback.to_owned(),
    }
}

fn layer(descriptor: &Descriptor, diff_id: Digest) -> Result<Layer, OciError> {
    let digest = parse_digest("manifest", "layers.digest", &descriptor.digest)?;
    let base = descriptor.media_type.split('+').next().unwrap_or_default();
    let base = base.strip_suffix(".gzip").unwrap_or(base);
    let encrypted = descriptor.media_type.contains("+encrypted");
    if !LAYER_TYPES.contains(&base) || encrypted {
        return Err(OciError::MediaType {
            document: format!("layer {digest}"),
            media_type: Escaped::new(descriptor.media_type.as_bytes()),
        });
    }
    Ok(Layer {
        name: digest.to_string(),
        member: Member::Blob {
            digest: digest.clone(),
            size: descriptor.size,
        },
        descriptor: Some((digest, descriptor.size)),
        diff_id,
    })
}

/// A manifest or configuration, with its size and digest checked.
fn checked(
    container: &Container<'_>,
    what: &str,
    descriptor: &Descriptor,
) -> Result<(Digest, Vec<u8>), OciError> {
    let digest = parse_digest(what, "digest", &descriptor.digest)?;
    let member = match what {
        "manifest" => Member::Manifest(digest.clone()),
        _ => Member::Blob {
            digest: digest.clone(),
            size: descriptor.size,
        },
    };
    let bytes = container.document(&member)?;
    check_size(
        &format!("{what} {digest}"),
        bytes.len() as u64,
        descriptor.size,
    )?;
    let mut hasher = digest.hasher();
    hasher.update(&bytes);
    check_digest(&format!("{what} {digest}"), hasher, &digest)?;
    Ok((digest, bytes))
}

pub(super) fn check_size(what: &str, found: u64, expected: u64) -> Result<(), OciError> {
    if found == expected {
        return Ok(());
    }
    Err(OciError::Mismatch {
        what: what.to_owned(),
        property: "size",
        found: found.to_string(),
        expected: expected.to_string(),
    })
}

pub(super) fn check_digest(what: &str, hasher: Hasher, expected: &Digest) -> Result<(), OciError> {
    let found = hasher.finish();
    if found == *expected {
        return Ok(());
    }
    Err(OciError::Mismatch {
        what: what.to_owned(),
        property: "digest",
        found: found.to_string(),
        expected: expected.to_string(),
    })
}

pub(super) fn parse_digest(
    document: &str,
    field: &'static str,
    text: &str,
) -> Result<Digest, OciError> {
    text.parse().map_err(|source| OciError::Digest {
        document: document.to_owned(),
        field,
        source,
    })
}

pub(super) fn parse<'a, T: serde::Deserialize<'a>>(
    document: &str,
    bytes: &'a [u8],
) -> Result<T, OciError> {
    serde_json::from_slice(bytes).map_err(|source| OciError::Json {
        document: document.to_owned(),
        source,
    })
}

fn check_count(document: &str, count: usize) -> Result<(), OciError> {
    if count > MAX_INDEX_ENTRIES {
        return Err(OciError::TooManyEntries {
            document: document.to_owned(),
        });
    }
    Ok(())
}
