//! The pod's directory, which is the working directory, as stage0 prepared it.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use bulkhead_pod::manifest::{AcName, ImageManifest, MANIFEST_BYTES_MAX, PodManifest};
use bulkhead_protocol::mutable::EMPTY_DISK;
use bulkhead_protocol::plan::Plan;
use bulkhead_protocol::verity::{MAX_TEXT, Verity};
use bulkhead_stage1::plan::{Image, Root};
use bulkhead_stage1::scratch;
use rustix::fs::{AtFlags, Gid, Mode, OFlags, Uid, fchown, openat, unlinkat};
use rustix::process::geteuid;

use crate::helpers::RELAY_IDENTITY;

/// The stage1 image's files in the pod's directory.
pub(crate) const ROOTFS: &str = "stage1/rootfs";

/// The directory of the writable disks.
const SCRATCH: &str = "scratch";

/// The scratch disk of the volumes that several apps share. No app's name has a `_`.
const VOLUME_SCRATCH: &str = "_volumes.ext4";

/// An app's image, what its bytes have to be, and its root where there is no image.
const IMAGE: &str = "rootfs.erofs";
const VERITY: &str = "rootfs.verity";
const DIRECTORY: &str = "rootfs";

/// The pod manifest.
const MANIFEST: &str = "pod";

/// What a disk begins with that has nothing on it.
const EMPTY: &str = "_empty";

/// What says that the pod is ready (rkt, stage1 interface version 5).
const READINESS: &str = "supervisor-status";

/// The files of one pod.
pub(crate) struct PodFiles {
    manifest: PodManifest,
    json: Vec<u8>,
    template: File,
    /// `rkt` in the stage1's root: the one directory that the relay can write in.
    rkt: OwnedFd,
}

impl PodFiles {
    /// Reads the pod's manifest, and gives the status directory to the relay.
    pub(crate) fn open() -> Result<Self> {
        let json = read_manifest(Path::new(MANIFEST))?;
        let manifest = PodManifest::parse(&json)?;
        let rkt = open_directory("rkt")?;
        let status = open_directory("rkt/status")?;
        if geteuid().is_root() {
            let (uid, gid) = (RELAY_IDENTITY.uid, RELAY_IDENTITY.gid);
            for directory in [&rkt, &status] {
                let owner = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
                fchown(directory, owner.0, owner.1)
                    .context("give the status directory to the relay")?;
            }
        }
        Ok(Self {
            manifest,
            json,
            template: open_stage1("scratch.ext4")?,
            rkt,
        })
    }

    pub(crate) fn manifest(&self) -> &PodManifest {
        &self.manifest
    }

    pub(crate) fn manifest_json(&self) -> Vec<u8> {
        self.json.clone()
    }

    pub(crate) fn status_directory(&self) -> &OwnedFd {
        &self.rkt
    }

    pub(crate) fn scratch_length(&self) -> Result<u64> {
        scratch::length(&self.template).context("look at scratch.ext4")
    }

    /// Manifest and size of each app's image, in the pod manifest's order.
    pub(crate) fn images(&self) -> Result<Vec<Image>> {
        let apps = self.manifest.apps.iter();
        apps.map(|app| self.image(&app.name)).collect()
    }

    /// The same of one app, which may have come since.
    pub(crate) fn image(&self, app: &AcName) -> Result<Image> {
        let json = read_manifest(&app_directory(app).join("manifest"))?;
        let whose = || format!("app {app}");
        let manifest = ImageManifest::parse(&json).with_context(whose)?;
        let root = root_of(app).with_context(whose)?;
        Ok(Image {
            manifest,
            json,
            root,
        })
    }

    /// The pod's manifest as it is now, and as JSON.
    pub(crate) fn read_again(&self) -> Result<(PodManifest, Vec<u8>)> {
        let json = read_manifest(Path::new(MANIFEST))?;
        Ok((PodManifest::parse(&json)?, json))
    }

    /// One scratch disk an app, and one for the volumes of several apps. They are removed again unless [`Scratch::keep`] is called.
    pub(crate) fn create_scratch(&self, plan: &Plan) -> Result<Scratch> {
        let directory = PathBuf::from(SCRATCH);
        fs::create_dir(&directory).context("make the directory scratch")?;
        let mut made = Scratch {
            files: Vec::new(),
            empty_images: None,
            empty_scratch: None,
            directory: Some(directory.clone()),
        };
        if plan.images.is_empty() {
            let [read, write] = empty_disk(&directory.join(EMPTY))?;
            made.empty_images = Some(read);
            made.empty_scratch = plan.apps.is_empty().then_some(write);
        }
        for app in &plan.apps {
            let path = directory.join(format!("{}.ext4", app.name));
            made.files.push(self.new_scratch(&path)?);
        }
        if plan.volume_scratch.is_some() {
            let path = directory.join(VOLUME_SCRATCH);
            made.files.push(self.new_scratch(&path)?);
        }
        Ok(made)
    }

    /// The scratch disk of an app that is added.
    pub(crate) fn create_scratch_of(&self, app: &str) -> Result<File> {
        let path = Path::new(SCRATCH).join(format!("{app}.ext4"));
        self.new_scratch(&path)
    }

    fn new_scratch(&self, path: &Path) -> Result<File> {
        let length = self.scratch_length()?;
        Ok(scratch::create(&self.template, length, path)?)
    }

    /// A copy of an app's scratch disk as the pod has left it: to be written to, for its journal has to be replayed after a kill.
    pub(crate) fn copy_scratch(&self, app: &str) -> Result<Scratch> {
        let directory = Path::new(SCRATCH);
        let path = directory.join(format!("{app}.ext4"));
        let original = File::open(&path).with_context(|| {
            format!("app {app} has left no writable layer ({})", path.display())
        })?;
        Ok(Scratch {
            files: vec![scratch::copy_without_name(&original, directory)?],
            empty_images: None,
            empty_scratch: None,
            directory: None,
        })
    }

    /// `pid` says that the pod can be entered (rkt, stage1 interface), and its time when the pod started. Nobody finds it empty.
    pub(crate) fn write_pid(&self) -> Result<()> {
        let pid = std::process::id().to_string();
        fs::write("pid.new", pid).context("write the file pid")?;
        fs::rename("pid.new", "pid").context("write the file pid")
    }

    /// The relay removes it in its last act; a relay that was killed did not.
    pub(crate) fn remove_readiness(&self) {
        let _ = unlinkat(&self.rkt, READINESS, AtFlags::empty());
    }
}

/// The apps' writable disks.
pub(crate) struct Scratch {
    pub(crate) files: Vec<File>,
    /// Where there are no images: some bytes to read, for a disk has something on it.
    pub(crate) empty_images: Option<File>,
    /// Where there are no apps: the same to write.
    pub(crate) empty_scratch: Option<File>,
    /// To be removed with all in it.
    directory: Option<PathBuf>,
}

impl Scratch {
    pub(crate) fn keep(mut self) {
        self.directory = None;
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Some(directory) = &self.directory {
            // The error that brought us here is the one to tell.
            let _ = fs::remove_dir_all(directory);
        }
    }
}

fn empty_disk(path: &Path) -> Result<[File; 2]> {
    let context = || format!("make {}", path.display());
    let options = || File::options();
    let write = options().read(true).write(true).create_new(true).open(path);
    let write = write.with_context(context)?;
    write.set_len(EMPTY_DISK).with_context(context)?;
    let read = options().read(true).open(path).with_context(context)?;
    Ok([read, write])
}

/// Opens a file of the stage1 image.
pub(crate) fn open_stage1(name: &str) -> Result<File> {
    let path = Path::new(ROOTFS).join(name);
    let context = || format!("open {} of the stage1 image", path.display());
    File::open(&path).with_context(context)
}

/// Opens an app's image, for reading only.
pub(crate) fn open_image(app: &AcName) -> Result<File> {
    let path = app_directory(app).join(IMAGE);
    File::open(&path).with_context(|| format!("app {app}: open its image {}", path.display()))
}

/// The image that a stage0 puts there which knows our annotation, or the directory of any other's.
fn root_of(app: &AcName) -> Result<Root> {
    let image = app_directory(app).join(IMAGE);
    match fs::metadata(&image) {
        Ok(metadata) => {
            let verity = verity_of(app)?;
            let (is, should) = (metadata.len(), verity.length());
            if is != should {
                let image = image.display();
                bail!("its image {image} is damaged: it has {is} bytes, and should have {should}");
            }
            return Ok(Root::Image { verity });
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error).with_context(|| format!("look at {}", image.display())),
    }
    let directory = app_directory(app).join(DIRECTORY);
    match fs::symlink_metadata(&directory) {
        Ok(metadata) if metadata.is_dir() => {
            let path = directory.to_string_lossy().into_owned();
            Ok(Root::Directory { path })
        }
        Ok(_) => bail!("its root {} is no directory", directory.display()),
        Err(error) => Err(error).with_context(|| {
            format!(
                "there is neither its image {} nor its root {}",
                image.display(),
                directory.display()
            )
        }),
    }
}

/// What the bytes of an app's image have to be. There is no image without it: nobody could tell what a disk has made of one.
fn verity_of(app: &AcName) -> Result<Verity> {
    let path = app_directory(app).join(VERITY);
    let read = || -> Result<Verity> {
        let mut text = String::new();
        let file = File::open(&path)?;
        file.take(MAX_TEXT).read_to_string(&mut text)?;
        Ok(text.parse()?)
    };
    read().with_context(|| format!("read the digest of its image, {}", path.display()))
}

fn open_directory(name: &str) -> Result<OwnedFd> {
    let path = Path::new(ROOTFS).join(name);
    let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    openat(rustix::fs::CWD.as_fd(), &path, flags, Mode::empty())
        .with_context(|| format!("open the directory {}", path.display()))
}

fn app_directory(app: &AcName) -> PathBuf {
    Path::new(ROOTFS).join("opt/stage2").join(app.as_str())
}

fn read_manifest(path: &Path) -> Result<Vec<u8>> {
    let context = || format!("read {}", path.display());
    let file = File::open(path).with_context(context)?;
    let most = u64::try_from(MANIFEST_BYTES_MAX).expect("a constant of a mebibyte");
    let mut json = Vec::new();
    file.take(most + 1)
        .read_to_end(&mut json)
        .with_context(context)?;
    if json.len() > MANIFEST_BYTES_MAX {
        return Err(anyhow!("{} is longer than {most} bytes", path.display()));
    }
    Ok(json)
}
