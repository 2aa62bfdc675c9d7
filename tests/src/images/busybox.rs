//! The busybox image, in every format that is understood.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::image;
use super::tools::{Layout, actool, run};

/// An OCI layout directory.
#[must_use]
pub fn busybox_oci() -> PathBuf {
    image("busybox.oci")
}

/// An OCI archive.
#[must_use]
pub fn busybox_oci_archive() -> PathBuf {
    image("busybox.oci.tar")
}

/// What `docker save` writes.
#[must_use]
pub fn busybox_docker_archive() -> PathBuf {
    image("busybox.docker.tar")
}

/// An App Container image, not compressed.
#[must_use]
pub fn busybox_aci() -> PathBuf {
    image("busybox.aci")
}

/// The same, compressed by gzip.
#[must_use]
pub fn busybox_aci_gzip() -> PathBuf {
    image("busybox-gzip.aci")
}

/// The same, compressed by bzip2.
#[must_use]
pub fn busybox_aci_bzip2() -> PathBuf {
    image("busybox-bzip2.aci")
}

/// The same, compressed by xz.
#[must_use]
pub fn busybox_aci_xz() -> PathBuf {
    image("busybox-xz.aci")
}

/// An App Container image without a shell word in its manifest: its `exec` is `/bin/sh -c 'exit 7'`,
/// its environment and working directory are set, its user is number 65534.
#[must_use]
pub fn exits_aci() -> PathBuf {
    image("exits.aci")
}

const MANIFEST: &str = r#"{
    "acKind": "ImageManifest",
    "acVersion": "0.8.11",
    "name": "example.com/busybox",
    "labels": [
        {"name": "version", "value": "1"},
        {"name": "os", "value": "linux"},
        {"name": "arch", "value": "amd64"}
    ],
    "app": {
        "exec": ["/bin/sh"],
        "user": "0",
        "group": "0",
        "environment": [{"name": "FROM_IMAGE", "value": "image"}]
    }
}
"#;

const EXITS_MANIFEST: &str = r#"{
    "acKind": "ImageManifest",
    "acVersion": "0.8.11",
    "name": "example.com/exits",
    "labels": [
        {"name": "os", "value": "linux"},
        {"name": "arch", "value": "amd64"}
    ],
    "app": {
        "exec": ["/bin/sh", "-c", "pwd; id -u; echo $FROM_IMAGE; exit 7"],
        "user": "65534",
        "group": "65534",
        "workingDirectory": "/usr",
        "environment": [{"name": "FROM_IMAGE", "value": "image"}]
    }
}
"#;

/// Builds all of them into a directory.
pub(super) fn build(directory: &Path) -> Result<()> {
    let layout = Layout::new(directory.join("busybox.oci"))?;
    layout.layer(fill)?;
    layout.configure("--config.cmd", "/bin/sh")?;
    layout.configure("--config.env", "PATH=/bin:/usr/bin")?;
    layout.configure("--config.env", "FROM_IMAGE=image")?;
    let path = |name: &str| directory.join(name).display().to_string();
    layout.copy_to(&format!("oci-archive:{}:latest", path("busybox.oci.tar")))?;
    layout.copy_to(&format!(
        "docker-archive:{}:busybox:latest",
        path("busybox.docker.tar")
    ))?;
    app_container_image(MANIFEST, &directory.join("busybox.aci"))?;
    app_container_image(EXITS_MANIFEST, &directory.join("exits.aci"))?;
    for (program, name) in [("gzip", "gzip"), ("bzip2", "bzip2"), ("xz", "xz")] {
        let script = format!(
            "{program} --stdout {} > {}",
            path("busybox.aci"),
            path(&format!("busybox-{name}.aci"))
        );
        run("sh", &[&"-c", &script])?;
    }
    Ok(())
}

fn app_container_image(manifest: &str, output: &Path) -> Result<()> {
    let work = tempfile::tempdir().context("make a directory for an image")?;
    fs::write(work.path().join("manifest"), manifest).context("write a manifest")?;
    let root = work.path().join("rootfs");
    fs::create_dir(&root).context("make a root")?;
    fill(&root)?;
    actool(work.path(), output)
}

/// Fills a root: Debian's static busybox under all its names, users, and what programs expect.
pub(super) fn fill(root: &Path) -> Result<()> {
    for name in [
        "bin", "dev", "etc", "proc", "root", "sys", "tmp", "usr", "var",
    ] {
        fs::create_dir(root.join(name)).with_context(|| format!("make /{name}"))?;
    }
    fs::set_permissions(root.join("tmp"), fs::Permissions::from_mode(0o1777))?;
    let busybox = root.join("bin/busybox");
    fs::copy("/bin/busybox", &busybox).context("copy busybox")?;
    let names = Command::new(&busybox)
        .arg("--list")
        .output()
        .context("list busybox's names")?;
    for name in String::from_utf8_lossy(&names.stdout)
        .lines()
        .filter(|name| *name != "busybox")
    {
        symlink("busybox", root.join("bin").join(name)).with_context(|| format!("link {name}"))?;
    }
    let write = |name: &str, content: &str| {
        fs::write(root.join(name), content).with_context(|| format!("write /{name}"))
    };
    write(
        "etc/passwd",
        "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n",
    )?;
    write("etc/group", "root:x:0:\nnogroup:x:65534:\n")
}
