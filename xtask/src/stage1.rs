//! `stage1`: builds every program and assembles what an installation would have.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use bulkhead_guest_kernel::Kernel;
use bulkhead_rootfs::aci;
use bulkhead_rootfs::stage1::{ContainerParts, Isolation, MachineParts, Parts, assemble};

use crate::process::{progress, run};
use crate::share;
use crate::virtiofsd;
use crate::workspace::{cargo, dist, target};

/// A pod's processes need no libraries in their jails, and no dynamic linker on the way to their `main`.
const STAGE1_FLAGS: &str = "-C target-feature=+crt-static";

/// The agent runs where there is no dynamic linker, and rustc makes it smaller without PIE.
const AGENT_FLAGS: &str = "-C target-feature=+crt-static -C relocation-model=static";

/// With a target named, the flags are not applied to procedural macros, which cannot be static.
const STATIC_TARGET: &str = "x86_64-unknown-linux-gnu";

/// Finds or builds the guest kernel.
pub(crate) fn kernel() -> Result<Kernel> {
    Ok(bulkhead_guest_kernel::build(
        &bulkhead_guest_kernel::cache_dir(),
        &mut progress,
    )?)
}

/// Builds everything and returns the root of the tree: `bin/bulkhead`, `lib/bulkhead/{import,fetch}`, `lib/bulkhead/stage1/{kvm,container}` and the same as
/// `.aci`, and what `bulkhead` generates for `share`.
pub(crate) fn build(kernel: &Kernel) -> Result<PathBuf> {
    progress("building bulkhead, stage1 and vmm");
    run(cargo("build")
        .args(["--quiet", "--release", "--bins"])
        .args(["--package", "bulkhead", "--package", "bulkhead-fetch"]))?;
    run(cargo("build")
        .args(["--quiet", "--release", "--bins"])
        .args(["--package", "bulkhead-machine"])
        .args(["--target", STATIC_TARGET])
        .env("RUSTFLAGS", STAGE1_FLAGS))?;
    run(cargo("build")
        .args(["--quiet", "--profile", "helper", "--bins"])
        .args(["--package", "bulkhead-stage1"])
        .args(["--target", STATIC_TARGET])
        .env("RUSTFLAGS", STAGE1_FLAGS))?;
    progress("building the agent");
    run(cargo("build")
        .args(["--quiet", "--profile", "agent", "--bins"])
        .args(["--package", "bulkhead-agent"])
        .args(["--target", STATIC_TARGET])
        .env("RUSTFLAGS", AGENT_FLAGS))?;
    let release = target().join("release");
    let images = dist().join("lib/bulkhead/stage1");
    fs::create_dir_all(&images).context("make the dist tree")?;
    let built = target().join(STATIC_TARGET);
    let container = ContainerParts {
        container: built.join("agent/container"),
        gc: built.join("helper/stage1-gc"),
    };
    for (name, isolation) in [
        ("kvm", machine(kernel, virtiofsd::build()?)),
        ("container", Isolation::Container(container)),
    ] {
        let image = images.join(name);
        assemble(&parts(isolation), &image)?;
        aci::write(&image, &image.with_extension("aci"))?;
    }
    let bin = dist().join("bin");
    fs::create_dir_all(&bin).context("make the dist tree")?;
    let bulkhead = bin.join("bulkhead");
    replace(&release.join("bulkhead"), &bulkhead)?;
    for helper in ["import", "fetch"] {
        let installed = dist().join("lib/bulkhead").join(helper);
        replace(&release.join(format!("bulkhead-{helper}")), &installed)?;
    }
    share::generate(&bulkhead, &dist().join("share"))?;
    Ok(dist())
}

fn parts(isolation: Isolation) -> Parts {
    let built = target().join(STATIC_TARGET);
    Parts {
        run: built.join("helper/stage1-run"),
        enter: built.join("helper/stage1-enter"),
        stop: built.join("helper/stage1-stop"),
        app: built.join("helper/stage1-app"),
        relay: built.join("helper/stage1-relay"),
        isolation,
        version: env!("CARGO_PKG_VERSION").to_owned(),
    }
}

fn machine(kernel: &Kernel, virtiofsd: PathBuf) -> Isolation {
    let built = target().join(STATIC_TARGET);
    Isolation::Machine(MachineParts {
        vmm: built.join("release/vmm"),
        virtiofsd,
        agent: built.join("agent/agent"),
        vmlinux: kernel.vmlinux.clone(),
        bzimage: kernel.bzimage.clone(),
    })
}

/// Copies beside and renames: the program may be running.
fn replace(from: &Path, to: &Path) -> Result<()> {
    let beside = to.with_extension("new");
    fs::copy(from, &beside).with_context(|| format!("copy {}", from.display()))?;
    fs::rename(&beside, to).with_context(|| format!("replace {}", to.display()))
}
