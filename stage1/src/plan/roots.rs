//! What the apps' roots are made of: a partition of the image disk each, or a directory of the host.

use bulkhead_pod::manifest::PodManifest;
use bulkhead_protocol::plan::{AppName, DiskImage, ImageFiles};
use bulkhead_protocol::verity::Verity;

use super::shares::Shares;
use super::{Image, PlanError, Root, Share, ShareKind, bounded, disks};

/// The roots of a pod's apps.
pub(super) struct Roots {
    /// The image disk: each once, however many apps run it.
    pub(super) images: Vec<DiskImage>,
    /// For each image, an app that has the file.
    pub(super) apps: Vec<usize>,
    /// Of each app.
    pub(super) of_app: Vec<ImageFiles>,
}

/// The directories become shares, before those of volumes.
pub(super) fn resolve<K: Ord>(
    manifest: &PodManifest,
    images: &[Image],
    shares: &mut Shares<K>,
) -> Result<Roots, PlanError> {
    let mut roots = Roots {
        images: Vec::new(),
        apps: Vec::new(),
        of_app: Vec::new(),
    };
    let mut end = 0;
    for (index, (app, image)) in manifest.apps.iter().zip(images).enumerate() {
        let files = match &image.root {
            Root::Directory { path } => {
                let share = Share {
                    whose: format!("the root of app {}", app.name),
                    source: path.clone(),
                    kind: ShareKind::Root,
                    read_only: false,
                    recursive: true,
                };
                let index = shares.push(share);
                ImageFiles::Share(index.map_err(PlanError::Shares)?)
            }
            Root::Image { verity } => {
                let same = |other: &usize| manifest.apps[*other].image.id == app.image.id;
                let layer = match roots.apps.iter().position(same) {
                    Some(known) => known,
                    None => {
                        let what = || format!("the image of app {}", app.name);
                        roots
                            .images
                            .push(disks::append_image(&mut end, *verity, what)?);
                        roots.apps.push(index);
                        roots.apps.len() - 1
                    }
                };
                let layer = u16::try_from(layer).expect("a pod has fewer apps than 2^16");
                ImageFiles::Layers(bounded("layers", vec![layer])?)
            }
        };
        roots.of_app.push(files);
    }
    Ok(roots)
}

/// An app's image, for what takes one.
///
/// # Errors
/// When its root is a directory.
pub(super) fn image_of(name: &AppName, image: &Image) -> Result<Verity, PlanError> {
    match &image.root {
        Root::Image { verity } => Ok(*verity),
        Root::Directory { path } => Err(PlanError::Directory {
            app: name.clone(),
            path: path.clone(),
        }),
    }
}
