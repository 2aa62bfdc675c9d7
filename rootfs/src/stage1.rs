//! Assembly of a stage1 image: an unpacked App Container image whose root holds the entrypoints and
//! everything that a pod's virtual machine starts from, or the program that a pod without one starts with.
//!
//! ```text
//! manifest
//! rootfs/run               the supervisor: the entrypoint that stage0 executes
//! rootfs/enter             runs a program in an app: the entrypoint for that
//! rootfs/stop              stops a running pod: the entrypoint that stage0 executes for that
//! rootfs/app-VERB          one program by four names: the entrypoints for apps that come and go
//! rootfs/relay             speaks to the agent
//! rootfs/vmm               the virtual machine monitor             ┐
//! rootfs/virtiofsd         serves a host directory to a pod        │ where pods have machines
//! rootfs/kernel/vmlinux    the guest kernel, and bzImage beside it │
//! rootfs/initramfs.cpio    the guest's first root: the agent       ┘
//! rootfs/container         the agent                               ┐ where pods have none
//! rootfs/gc                removes what a killed pod leaves        ┘
//! rootfs/scratch.ext4      the empty writable layer; sparse
//! rootfs/rkt/status/       where a pod's relay writes the apps' statuses
//! rootfs/opt/stage2/       where stage0 puts the apps
//! ```

use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};

use crate::{Failure, initramfs, manifest, scratch};

/// The unit of `st_blocks`.
const BLOCK_BYTES: u64 = 512;

/// Where the parts of the image are.
#[derive(Debug, Clone)]
pub struct Parts {
    /// The supervisor.
    pub run: PathBuf,
    /// The entrypoint for programs in apps.
    pub enter: PathBuf,
    /// The program that stops a supervisor.
    pub stop: PathBuf,
    /// The entrypoints of apps that come and go: what it does, its name says.
    pub app: PathBuf,
    /// The relay.
    pub relay: PathBuf,
    /// What separates pods.
    pub isolation: Isolation,
    /// Of the image, for its manifest.
    pub version: String,
}

/// What separates the pods of an image from each other and from the host.
#[derive(Debug, Clone)]
pub enum Isolation {
    /// A machine each.
    Machine(MachineParts),
    /// Namespaces and control groups of the host's kernel.
    Container(ContainerParts),
}

impl Isolation {
    /// The last word of the image's name.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Machine(_) => "kvm",
            Self::Container(_) => "container",
        }
    }

    /// Annotations beside those of every image.
    fn entrypoints(&self) -> &'static [(&'static str, &'static str)] {
        match self {
            // What a machine's pod leaves lies in its directory.
            Self::Machine(_) => &[],
            Self::Container(_) => &[("coreos.com/rkt/stage1/gc", "/gc")],
        }
    }
}

/// Of an image whose pods have none.
#[derive(Debug, Clone)]
pub struct ContainerParts {
    /// The static agent for the host's kernel.
    pub container: PathBuf,
    /// The program that removes what a killed pod leaves.
    pub gc: PathBuf,
}

/// Of an image whose pods have machines.
#[derive(Debug, Clone)]
pub struct MachineParts {
    /// The virtual machine monitor.
    pub vmm: PathBuf,
    /// The file server.
    pub virtiofsd: PathBuf,
    /// The static agent, which goes into the initramfs.
    pub agent: PathBuf,
    /// The guest kernel as ELF file.
    pub vmlinux: PathBuf,
    /// The guest kernel as bzImage.
    pub bzimage: PathBuf,
}

/// One file of an assembled image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Below the image's directory.
    pub path: PathBuf,
    /// Bytes.
    pub size: u64,
    /// Bytes that it takes on disk.
    pub allocated: u64,
}

/// Makes the image directory `image` from `parts`, and tells its files.
///
/// The image is built beside and takes its name by one rename: whoever looks sees the old image or the new
/// one, whole. Pods made from the old one keep its files by their hard links.
///
/// # Errors
/// A part cannot be read, the directory cannot be written, or `mke2fs` is missing or fails.
pub fn assemble(parts: &Parts, image: &Path) -> Result<Vec<Entry>, Failure> {
    let stage = beside(image);
    remove(&stage)?;
    let result = fill(parts, &stage).and_then(|()| {
        let entries = list(&stage)?;
        publish(&stage, image)?;
        Ok(entries)
    });
    // After success this is the image that was replaced, if there was one.
    let removed = remove(&stage);
    result.and_then(|entries| removed.map(|()| entries))
}

fn fill(parts: &Parts, stage: &Path) -> Result<(), Failure> {
    let rootfs = stage.join("rootfs");
    for directory in ["rkt/status", "opt/stage2"] {
        create(&rootfs.join(directory))?;
    }
    for (part, name) in [
        (&parts.run, "run"),
        (&parts.enter, "enter"),
        (&parts.stop, "stop"),
        (&parts.app, "app-add"),
        (&parts.app, "app-start"),
        (&parts.app, "app-stop"),
        (&parts.app, "app-rm"),
        (&parts.relay, "relay"),
    ] {
        copy(part, &rootfs.join(name), 0o755)?;
    }
    match &parts.isolation {
        Isolation::Machine(machine) => fill_machine(machine, &rootfs)?,
        Isolation::Container(parts) => {
            copy(&parts.container, &rootfs.join("container"), 0o755)?;
            copy(&parts.gc, &rootfs.join("gc"), 0o755)?;
        }
    }
    scratch::write(&rootfs.join("scratch.ext4"))?;
    let path = stage.join("manifest");
    let isolation = &parts.isolation;
    let manifest = manifest::json(isolation.name(), isolation.entrypoints(), &parts.version);
    fs::write(&path, manifest).map_err(Failure::of("write", &path))
}

fn fill_machine(parts: &MachineParts, rootfs: &Path) -> Result<(), Failure> {
    create(&rootfs.join("kernel"))?;
    for (part, name, mode) in [
        (&parts.vmm, "vmm", 0o755),
        (&parts.virtiofsd, "virtiofsd", 0o755),
        (&parts.vmlinux, "kernel/vmlinux", 0o644),
        (&parts.bzimage, "kernel/bzImage", 0o644),
    ] {
        copy(part, &rootfs.join(name), mode)?;
    }
    initramfs::write(&parts.agent, &rootfs.join("initramfs.cpio")).map(|_| ())
}

fn create(path: &Path) -> Result<(), Failure> {
    fs::create_dir_all(path).map_err(Failure::of("create", path))
}

fn copy(part: &Path, path: &Path, mode: u32) -> Result<(), Failure> {
    fs::copy(part, path).map_err(Failure::of("copy", part))?;
    fs::set_permissions(path, Permissions::from_mode(mode))
        .map_err(Failure::of("set the mode of", path))
}

/// Gives the stage its name, exchanging it with what has the name now.
fn publish(stage: &Path, image: &Path) -> Result<(), Failure> {
    let flags = if image.exists() {
        RenameFlags::EXCHANGE
    } else {
        RenameFlags::NOREPLACE
    };
    renameat_with(CWD, stage, CWD, image, flags)
        .map_err(|errno| Failure::of("put in place", image)(errno.into()))
}

fn beside(image: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(image.file_name().unwrap_or_default());
    name.push(format!(".{}", std::process::id()));
    image.with_file_name(name)
}

fn remove(stage: &Path) -> Result<(), Failure> {
    match fs::remove_dir_all(stage) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Failure::of("remove", stage)(error))
        }
        _ => Ok(()),
    }
}

/// Every file below `stage`, in order of path.
fn list(stage: &Path) -> Result<Vec<Entry>, Failure> {
    let mut entries = Vec::new();
    let mut directories = vec![stage.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).map_err(Failure::of("list", &directory))? {
            let path = entry.map_err(Failure::of("list", &directory))?.path();
            let metadata = fs::symlink_metadata(&path).map_err(Failure::of("look at", &path))?;
            if metadata.is_dir() {
                directories.push(path);
            } else {
                let size = metadata.size();
                let allocated = metadata.blocks() * BLOCK_BYTES;
                let path = path
                    .strip_prefix(stage)
                    .map_or_else(|_| path.clone(), Path::to_owned);
                entries.push(Entry {
                    path,
                    size,
                    allocated,
                });
            }
        }
    }
    entries.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(entries)
}

#[cfg(test)]
#[path = "stage1_test.rs"]
mod tests;
