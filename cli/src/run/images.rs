//! From the references of the command line to images of the store.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use bulkhead_image::{
    Accounts, AciName, Dependencies, Filesystem, Held, Importer, Progress, ReadError,
    RegistryReference, Remote, Signatures, Source, Store, Web, WebAccess,
};
use bulkhead_pod::manifest::{ImageId, ImageManifest};
use bulkhead_trust::TrustStore;

use super::options::AppRequest;
use crate::arguments::{GlobalOptions, InsecureOption};
use crate::fetch::PullPolicy;
use crate::programs::importer;
use crate::registries::{self, registries, web_access};
use crate::trust;

/// An image that is in the store and whose manifest is valid.
#[derive(Debug)]
pub(crate) struct StoredImage {
    pub(crate) id: ImageId,
    pub(crate) manifest: ImageManifest,
    /// The manifest as it stands in the store.
    pub(crate) manifest_json: Vec<u8>,
    /// The image's file system.
    pub(crate) erofs: PathBuf,
    /// The root of its hashes.
    pub(crate) verity: PathBuf,
    /// The same, to look at.
    pub(crate) files: Filesystem,
    /// Its users and groups.
    pub(crate) accounts: Accounts,
    /// Keeps it in the store until a pod has it.
    pub(crate) held: Held,
}

/// Times that an image is brought which somebody removes before it is held.
const ATTEMPTS: usize = 8;

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
        .map(|app| {
            let wanted = Wanted::of(app, policy);
            import_one(global, &store, wanted, narration)
        })
        .collect()
}

pub(crate) fn open_store(data: &Path) -> Result<Store> {
    Store::open(data).with_context(|| format!("open the image store of {}", data.display()))
}

/// An image that somebody asks for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted<'a> {
    /// As the user writes it.
    pub(crate) image: &'a str,
    /// Where its signature is, if not beside it.
    pub(crate) signature: Option<&'a Path>,
    /// When a registry is asked.
    pub(crate) policy: PullPolicy,
}

impl<'a> Wanted<'a> {
    /// For an app.
    pub(crate) fn of(app: &'a AppRequest, policy: PullPolicy) -> Self {
        Self {
            image: &app.image,
            signature: app.options.signature.as_deref(),
            policy,
        }
    }
}

/// A local image, or one of a registry, which is asked for it when the policy says so.
pub(crate) fn bring(
    global: &GlobalOptions,
    store: &Store,
    wanted: Wanted<'_>,
    narration: Narration,
) -> Result<bulkhead_image::StoredImage> {
    let Wanted {
        image,
        signature,
        policy,
    } = wanted;
    let importer = Importer::Process(importer());
    let mut say = |progress| narrate(narration, "image", image, &progress);
    let trusted = global.trust_store();
    let signatures = signatures(global, &trusted, signature);
    let access = web_access(global)?;
    let trust = |name: &AciName, web: &mut Web| trust::trust_discovered(global, name, web);
    let dependencies = dependencies(policy, &access, &trust);
    let download = Download {
        store,
        access: &access,
        signatures,
        dependencies,
        policy,
        narration,
    };
    let reference = match Source::parse(image)? {
        Source::Local => {
            return Ok(store.import(image, signatures, &importer, dependencies, &mut say)?);
        }
        Source::Registry(_) if signature.is_some() => {
            bail!("image {image} is of a registry, and --signature is for ACIs")
        }
        Source::Registry(reference) => reference,
        Source::Web(url) => {
            let remote = Remote::of_url(&url);
            return download.run(&url, |_| Ok(remote));
        }
        Source::Name(name) => {
            let name: AciName = name.parse()?;
            return download.run(&name.to_string(), |web| {
                if let Signatures::Required { .. } = signatures {
                    trust::trust_discovered(global, &name, web);
                }
                let plain_http = global.leaves_out_of_fetching(InsecureOption::Http);
                Ok(name.discover(web, plain_http)?)
            });
        }
    };
    of_registry(global, store, &reference, policy, &mut say)
}

/// An image of a registry, which is asked for it when the policy says so.
fn of_registry(
    global: &GlobalOptions,
    store: &Store,
    reference: &RegistryReference,
    policy: PullPolicy,
    say: &mut dyn FnMut(Progress),
) -> Result<bulkhead_image::StoredImage> {
    let known = match policy {
        PullPolicy::New | PullPolicy::Never => store.named(reference),
        PullPolicy::Update => None,
    };
    match (known, policy) {
        (Some(image), _) => {
            if registries::is_rejected(global, reference) {
                bail!("image {reference}: the policy rejects it");
            }
            Ok(image)
        }
        (None, PullPolicy::Never) => {
            bail!(
                "image {reference} is not in the store, and --pull-policy=never forbids to fetch it"
            )
        }
        (None, _) => {
            let importer = Importer::Process(importer());
            let registries = registries(global, reference)?;
            Ok(store.fetch(reference, &registries, &importer, say)?)
        }
    }
}

/// How an ACI is to be signed; its signature may lie elsewhere than beside it.
pub(crate) fn signatures<'a>(
    global: &GlobalOptions,
    trusted: &'a TrustStore,
    signature: Option<&'a Path>,
) -> Signatures<'a> {
    match global.leaves_out_of_fetching(InsecureOption::Image) {
        true => Signatures::Ignored,
        false => Signatures::Required { trusted, signature },
    }
}

/// Where what an image depends on comes from: the policy is that of the image.
fn dependencies<'a>(
    policy: PullPolicy,
    access: &'a WebAccess,
    trust: &'a dyn Fn(&AciName, &mut Web),
) -> Dependencies<'a> {
    match policy {
        PullPolicy::Never => Dependencies::OfStore,
        PullPolicy::New | PullPolicy::Update => Dependencies::OfServers {
            access,
            always: policy == PullPolicy::Update,
            trust,
        },
    }
}

/// An ACI of a web server, which is asked for it when the policy says so, and found before.
struct Download<'a> {
    store: &'a Store,
    access: &'a WebAccess,
    signatures: Signatures<'a>,
    dependencies: Dependencies<'a>,
    policy: PullPolicy,
    narration: Narration,
}

impl Download<'_> {
    fn run(
        &self,
        name: &str,
        find: impl FnOnce(&mut Web) -> Result<Remote>,
    ) -> Result<bulkhead_image::StoredImage> {
        let Self {
            store, signatures, ..
        } = *self;
        if let PullPolicy::New | PullPolicy::Never = self.policy
            && let Some(image) = store.downloaded(name, signatures)
        {
            return Ok(image);
        }
        if self.policy == PullPolicy::Never {
            bail!(
                "image {name} is not in the store, or signed by nobody who is trusted, and --pull-policy=never forbids to fetch it"
            )
        }
        let mut say = |progress| narrate(self.narration, "image", name, &progress);
        let mut web = Web::start(self.access).context("start the fetcher")?;
        let importer = Importer::Process(importer());
        let remote = &find(&mut web)?;
        let dependencies = self.dependencies;
        Ok(store.download(
            remote,
            &mut web,
            signatures,
            &importer,
            dependencies,
            &mut say,
        )?)
    }
}

fn import_one(
    global: &GlobalOptions,
    store: &Store,
    wanted: Wanted<'_>,
    narration: Narration,
) -> Result<StoredImage> {
    let reference = wanted.image;
    let (image, held) = bring_and_hold(global, store, wanted, narration)?;
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
        verity: image.verity_path,
        files,
        accounts,
        held,
    })
}

fn bring_and_hold(
    global: &GlobalOptions,
    store: &Store,
    wanted: Wanted<'_>,
    narration: Narration,
) -> Result<(bulkhead_image::StoredImage, Held)> {
    for _ in 0..ATTEMPTS {
        let image = bring(global, store, wanted, narration)?;
        if let Some(held) = store.hold(&image.id)? {
            return Ok((image, held));
        }
    }
    bail!(
        "image \"{}\" was removed from the store {ATTEMPTS} times as soon as it was there",
        wanted.image
    )
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
        Progress::Unverified => {
            Some("warning: image signature verification has been disabled".to_owned())
        }
        Progress::Signed { by, fingerprint } => {
            let by = by.first().map_or(fingerprint, |name| name);
            Some(format!("signature verified: {by}"))
        }
        Progress::Dependency(name) => Some(format!("needs {name}")),
        Progress::Waiting => Some("waiting for another process that imports it".to_owned()),
        _ if !narration.debug => None,
        Progress::Unpacking => Some("unpacking".to_owned()),
        Progress::Layer { number, count } => Some(format!("layer {number} of {count}")),
        Progress::Storing { bytes, inodes } => {
            Some(format!("storing {bytes} bytes, {inodes} files"))
        }
    }
}
