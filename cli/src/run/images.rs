//! From the references of the command line to images of the store.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use bulkhead_image::{Accounts, Filesystem, Importer, Progress, ReadError, Source, Store};
use bulkhead_pod::manifest::{ImageId, ImageManifest};

use super::options::AppRequest;
use crate::arguments::GlobalOptions;
use crate::fetch::PullPolicy;
use crate::programs::importer;
use crate::registries::registries;

/// An image that is in the store and whose manifest is valid.
#[derive(Debug)]
pub(crate) struct StoredImage {
    pub(crate) id: ImageId,
    pub(crate) manifest: ImageManifest,
    /// The manifest as it stands in the store.
    pub(crate) manifest_json: Vec<u8>,
    /// The image's file system.
    pub(crate) erofs: PathBuf,
    /// The same, to look at.
    pub(crate) files: Filesystem,
    /// Its users and groups.
    pub(crate) accounts: Accounts,
}

/// What is said of an import, and by whom.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Narration {
    /// The subcommand.
    pub(crate) command: &'static str,
    /// Every step.
    pub(crate) debug: bool,
    /// Not even warnings.
    pub(crate) quiet: bool,
}

/// Brings the image of each app into the store, in order.
pub(crate) fn import(
    global: &GlobalOptions,
    apps: &[AppRequest],
    policy: PullPolicy,
    narration: Narration,
) -> Result<Vec<StoredImage>> {
    let store = open_store(&global.dir)?;
    apps.iter()
        .map(|app| import_one(global, &store, &app.image, policy, narration))
        .collect()
}

pub(crate) fn open_store(data: &Path) -> Result<Store> {
    Store::open(data).with_context(|| format!("open the image store of {}", data.display()))
}

/// A local image, or one of a registry, which is asked for it when the policy says so.
pub(crate) fn bring(
    global: &GlobalOptions,
    store: &Store,
    image: &str,
    policy: PullPolicy,
    narration: Narration,
) -> Result<bulkhead_image::StoredImage> {
    let importer = Importer::Process(importer());
    let mut say = |progress| narrate(narration, "image", image, &progress);
    let reference = match Source::parse(image)? {
        Source::Local => return Ok(store.import(image, &importer, &mut say)?),
        Source::Registry(reference) => reference,
    };
    let known = match policy {
        PullPolicy::New | PullPolicy::Never => store.named(&reference),
        PullPolicy::Update => None,
    };
    match (known, policy) {
        (Some(image), _) => Ok(image),
        (None, PullPolicy::Never) => {
            bail!(
                "image {reference} is not in the store, and --pull-policy=never forbids to fetch it"
            )
        }
        (None, _) => {
            let registries = registries(global, &reference)?;
            Ok(store.fetch(&reference, &registries, &importer, &mut say)?)
        }
    }
}

fn import_one(
    global: &GlobalOptions,
    store: &Store,
    reference: &str,
    policy: PullPolicy,
    narration: Narration,
) -> Result<StoredImage> {
    let image = bring(global, store, reference, policy, narration)?;
    let manifest =
        ImageManifest::parse(&image.manifest).with_context(|| format!("image \"{reference}\""))?;
    let (files, accounts) =
        look_into(&image.erofs_path).with_context(|| format!("image \"{reference}\""))?;
    let id = image
        .id
        .as_str()
        .parse()
        .with_context(|| format!("image \"{reference}\""))?;
    Ok(StoredImage {
        id,
        manifest,
        manifest_json: image.manifest,
        erofs: image.erofs_path,
        files,
        accounts,
    })
}

/// Opens an image of the store, and reads who is known in it.
pub(crate) fn look_into(erofs: &Path) -> Result<(Filesystem, Accounts), ReadError> {
    let files = Filesystem::open(erofs)?;
    let accounts = Accounts::of(&files)?;
    Ok((files, accounts))
}

/// Says of an image what there is to say to this user.
pub(crate) fn narrate(narration: Narration, what: &str, name: &str, progress: &Progress) {
    if let Some(text) = describe(progress, narration) {
        eprintln!("{}: {what} \"{name}\": {text}", narration.command);
    }
}

/// Warnings are for everyone, steps for `--debug`.
fn describe(progress: &Progress, narration: Narration) -> Option<String> {
    match progress {
        _ if narration.quiet => None,
        Progress::Warning(text) => Some(format!("warning: {text}")),
        Progress::Waiting => Some("waiting for another process that imports it".to_owned()),
        _ if !narration.debug => None,
        Progress::Unpacking => Some("unpacking".to_owned()),
        Progress::Layer { number, count } => Some(format!("layer {number} of {count}")),
        Progress::Storing { bytes, inodes } => {
            Some(format!("storing {bytes} bytes, {inodes} files"))
        }
    }
}
