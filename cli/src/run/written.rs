//! `--pod-manifest`: a pod that somebody else has put together.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result, bail};
use bulkhead_image::Store;
use bulkhead_pod::manifest::{
    ImageManifest, MANIFEST_BYTES_MAX, ManifestError, PodContents, PodManifest, RuntimeApp,
};

use super::identity;
use super::images::{self, StoredImage};
use super::manifest::check_system;
use super::options::AppOptions;

/// Reads the manifest, finds its images in the store, and fills in what converted images leave open.
pub(crate) fn read(data: &Path, file: &Path) -> Result<(PodManifest, Vec<StoredImage>)> {
    let json = read_bounded(file)?;
    let whose = || format!("--pod-manifest {}", file.display());
    let manifest = PodManifest::parse(&json).with_context(whose)?;
    if manifest.apps.is_empty() {
        bail!("--pod-manifest {}: the pod has no apps", file.display());
    }
    let store = images::open_store(data)?;
    let images: Result<Vec<_>> = manifest
        .apps
        .iter()
        .map(|app| stored(&store, app))
        .collect();
    let images = images.with_context(whose)?;
    let manifest = complete(&manifest, &images).with_context(whose)?;
    Ok((manifest, images))
}

/// An app that only its converted image has becomes the pod's, as it would by flags; the others stay as they are written.
fn complete(manifest: &PodManifest, images: &[StoredImage]) -> Result<PodManifest, ManifestError> {
    let mut contents = PodContents::clone(manifest);
    for (runtime, image) in contents.apps.iter_mut().zip(images) {
        let of_image = image.manifest.app.as_ref();
        if let (None, Some(app), true) = (&runtime.app, of_image, image.manifest.is_converted()) {
            let (mut app, flags) = (app.clone(), AppOptions::default());
            identity::complete(&mut app, &image.manifest, &flags, &image.accounts);
            runtime.app = Some(app);
        }
    }
    PodManifest::new(contents)
}

fn read_bounded(file: &Path) -> Result<Vec<u8>> {
    let context = || format!("read the pod manifest {}", file.display());
    let most = u64::try_from(MANIFEST_BYTES_MAX).expect("a constant of a mebibyte");
    let mut json = Vec::new();
    let opened = File::open(file).with_context(context)?;
    let mut bounded = opened.take(most + 1);
    bounded.read_to_end(&mut json).with_context(context)?;
    if json.len() > MANIFEST_BYTES_MAX {
        bail!("{} is longer than {most} bytes", file.display());
    }
    Ok(json)
}

fn stored(store: &Store, app: &RuntimeApp) -> Result<StoredImage> {
    let id = app.image.id.as_str();
    let whose = || format!("app \"{}\": image {id}", app.name);
    let key = id.parse().with_context(whose)?;
    // Held before it is looked for: then it stays.
    let held = store.hold(&key).with_context(whose)?;
    let (Some(held), Some(image)) = (held, store.get(&key).with_context(whose)?) else {
        bail!("app \"{}\": image {id} is not in the store", app.name);
    };
    let manifest = ImageManifest::parse(&image.manifest).with_context(whose)?;
    check_system(&manifest, id)?;
    let (files, accounts) = images::look_into(&image.erofs_path).with_context(whose)?;
    Ok(StoredImage {
        id: app.image.id.clone(),
        manifest,
        manifest_json: image.manifest,
        erofs: image.erofs_path,
        verity: image.verity_path,
        files,
        accounts,
        held,
    })
}
