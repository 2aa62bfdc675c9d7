//! A Debian base tree with redis and python, by mmdebstrap.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::image;
use super::tools::{Layout, run};

/// An OCI layout whose program is `redis-server`, with `redis-cli` in it.
#[must_use]
pub fn redis_oci() -> PathBuf {
    image("redis.oci")
}

/// A `docker save` archive whose program is `python3`.
#[must_use]
pub fn python_docker_archive() -> PathBuf {
    image("python.docker.tar")
}

const INCLUDE: &str = "--include=redis-server,redis-tools,python3-minimal";

/// What containers of Debian leave out too.
const EXCLUDE: [&str; 3] = [
    "--dpkgopt=path-exclude=/usr/share/doc/*",
    "--dpkgopt=path-exclude=/usr/share/man/*",
    "--dpkgopt=path-exclude=/usr/share/locale/*",
];

/// Builds both images from one tree.
pub(super) fn build(directory: &Path) -> Result<()> {
    let tar = directory.join("debian.tar");
    run(
        "mmdebstrap",
        &[
            &"--variant=minbase",
            &INCLUDE,
            &EXCLUDE[0],
            &EXCLUDE[1],
            &EXCLUDE[2],
            &"bookworm",
            &tar,
            &"http://deb.debian.org/debian",
        ],
    )?;
    let layout = Layout::new(directory.join("redis.oci"))?;
    layout.layer(|root| {
        run(
            "tar",
            &[
                &"--extract",
                &"--numeric-owner",
                &"--file",
                &tar,
                &"--directory",
                &root,
            ],
        )
    })?;
    fs::remove_file(&tar).context("remove the base tree's archive")?;
    layout.configure("--config.entrypoint", "python3")?;
    layout.copy_to(&format!(
        "docker-archive:{}:python:latest",
        directory.join("python.docker.tar").display()
    ))?;
    layout.configure("--config.entrypoint", "redis-server")?;
    layout.configure("--config.workingdir", "/var/lib/redis")
}
