//! `docker save` archives: `manifest.json` names a configuration and layers by their member names.

use sha2::digest::Update as _;

use super::document::{Config, DockerImage};
use super::resolve::{check_digest, parse};
use super::{Layer, OciError, Resolved, config, manifest};
use crate::bytes::Escaped;
use crate::digest::{Digest, ImageId};
use crate::limits::{MAX_INDEX_ENTRIES, MAX_LAYERS};
use crate::source::{Container, Member};

const MANIFEST: &str = "manifest.json";

pub(super) fn resolve(
    container: &Container<'_>,
    tag: Option<&str>,
    fallback_name: &str,
) -> Result<Resolved, OciError> {
    let bytes = container.document(&Member::Named(MANIFEST.to_owned()))?;
    let images: Vec<DockerImage> = parse(MANIFEST, &bytes)?;
    if images.len() > MAX_INDEX_ENTRIES {
        return Err(OciError::TooManyEntries {
            document: MANIFEST.to_owned(),
        });
    }
    let image = select(container, &images, tag)?;
    let layers = image.layers.as_deref().unwrap_or_default();
    if layers.len() > MAX_LAYERS {
        return Err(OciError::TooManyLayers {
            document: MANIFEST.to_owned(),
            count: layers.len(),
        });
    }

    let config_bytes = container.document(&Member::Named(image.config.clone()))?;
    let digest = config_digest(&image.config, &config_bytes)?;
    let config: Config = parse(&format!("configuration {digest}"), &config_bytes)?;
    let diff_ids = config::check(&config, &digest.to_string())?;
    if diff_ids.len() != layers.len() {
        return Err(OciError::LayerCount {
            document: MANIFEST.to_owned(),
            layers: layers.len(),
            diff_ids: diff_ids.len(),
        });
    }
    let tags = image.repo_tags.as_deref().unwrap_or_default();
    let name = tag
        .or(tags.first().map(String::as_str))
        .unwrap_or(fallback_name);
    let layers = layers.iter().zip(diff_ids);
    let layers = layers
        .map(|(member, diff_id)| {
            Ok(Layer {
                name: Escaped::new(member.as_bytes()).to_string(),
                member: Member::Named(member.clone()),
                descriptor: None,
                diff_id,
            })
        })
        .collect::<Result<_, OciError>>()?;
    Ok(Resolved {
        id: ImageId::of(&config_bytes),
        manifest: manifest::synthesize(&config, name, &digest.to_string()),
        layers,
    })
}

fn select<'a>(
    container: &Container<'_>,
    images: &'a [DockerImage],
    tag: Option<&str>,
) -> Result<&'a DockerImage, OciError> {
    let path = container.path();
    let tags = || {
        let all = images
            .iter()
            .flat_map(|image| image.repo_tags.iter().flatten());
        let shown: Vec<String> = all
            .take(20)
            .map(|tag| format!("\"{}\"", Escaped::new(tag.as_bytes())))
            .collect();
        shown.join(", ")
    };
    match (tag, images) {
        (_, []) => Err(OciError::Empty { path }),
        (None, [image]) => Ok(image),
        (None, _) => Err(OciError::Ambiguous { path, tags: tags() }),
        (Some(tag), images) => images
            .iter()
            .find(|image| has_tag(image, tag))
            .ok_or_else(|| OciError::NoSuchTag {
                path,
                tag: tag.to_owned(),
                tags: tags(),
            }),
    }
}

/// `redis` means `redis:latest`, and both mean `docker.io/library/redis:latest`.
fn has_tag(image: &DockerImage, wanted: &str) -> bool {
    let last = wanted.rsplit('/').next().unwrap_or(wanted);
    let wanted = if last.contains(':') {
        wanted.to_owned()
    } else {
        format!("{wanted}:latest")
    };
    let short = |name: &str| {
        let name = name.strip_prefix("docker.io/").unwrap_or(name);
        name.strip_prefix("library/").unwrap_or(name).to_owned()
    };
    let mut tags = image.repo_tags.iter().flatten();
    tags.any(|tag| short(tag) == short(&wanted))
}

/// The configuration's digest, which its member name usually claims.
fn config_digest(member: &str, bytes: &[u8]) -> Result<Digest, OciError> {
    let stem = member.strip_prefix("blobs/sha256/").unwrap_or(member);
    let stem = stem.strip_suffix(".json").unwrap_or(stem);
    let mut hasher = crate::digest::Hasher::sha256();
    hasher.update(bytes);
    match format!("sha256:{stem}").parse::<Digest>() {
        Ok(claimed) => {
            check_digest(&format!("configuration {claimed}"), hasher, &claimed)?;
            Ok(claimed)
        }
        Err(_) => Ok(hasher.finish()),
    }
}
