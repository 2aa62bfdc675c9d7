//! From the image and flags of `app add` to an app of a pod.

use anyhow::{Result, bail};
use bulkhead_image::Held;
use bulkhead_pod::lifecycle::AppImage;
use bulkhead_pod::manifest::{PodContents, PodManifest};

use super::environment::PodEnvironment;
use super::identity;
use super::images::{self, Narration};
use super::manifest::{ImageForApp, runtime_app};
use super::options::AppRequest;
use crate::arguments::GlobalOptions;
use crate::fetch::PullPolicy;

/// An app with its image, to be added to any pod.
pub(crate) struct NewApp {
    app: bulkhead_pod::manifest::RuntimeApp,
    /// Its image.
    pub(crate) image: AppImage,
    /// Keeps that in the store until the pod has it.
    _held: Held,
}

impl NewApp {
    /// Imports the image. Which pod it is for does not matter yet.
    pub(crate) fn import(global: &GlobalOptions, request: &AppRequest) -> Result<Self> {
        let narration = Narration {
            command: "app add",
            debug: global.debug,
            quiet: false,
        };
        let requests = std::slice::from_ref(request);
        let mut images = images::import(global, requests, PullPolicy::New, narration)?;
        let Some(image) = images.pop() else {
            bail!("there is no image");
        };
        let for_app = ImageForApp {
            id: image.id.clone(),
            manifest: image.manifest.clone(),
            accounts: &image.accounts,
            request,
        };
        let app = runtime_app(&for_app, &[], &PodEnvironment::default())?;
        if let Some(program) = &app.app {
            identity::check(&app, program, &image.files, &image.accounts)?;
        }
        Ok(Self {
            image: AppImage {
                app: app.name.clone(),
                manifest: image.manifest_json,
                erofs: image.erofs,
                verity: image.verity,
            },
            app,
            _held: image.held,
        })
    }

    /// The manifest of a pod with this app.
    pub(crate) fn join(&self, manifest: &PodManifest) -> Result<PodManifest> {
        let name = &self.app.name;
        if manifest.app(name.as_str()).is_some() {
            bail!("the pod has an app \"{name}\" already: give this one another name with --name");
        }
        let mut contents = PodContents::clone(manifest);
        contents.apps.push(self.app.clone());
        Ok(PodManifest::new(contents)?)
    }
}
