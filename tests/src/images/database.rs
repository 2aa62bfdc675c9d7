//! A Debian tree with PostgreSQL and fio: programs that find out what a file system does not keep.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::image;
use super::tools::{Layout, run};

/// An OCI layout with PostgreSQL 15 (`/usr/lib/postgresql/15/bin`), a stopped database at `/var/lib/postgresql/db`, with checksums and the tables
/// of pgbench, and `fio`. Its program is a shell.
#[must_use]
pub fn database_oci() -> PathBuf {
    image("database.oci")
}

/// The compiler of queries is five times as large as all the rest, and the server does without it.
const EXCLUDE: [&str; 5] = [
    "--dpkgopt=path-exclude=/usr/share/doc/*",
    "--dpkgopt=path-exclude=/usr/share/man/*",
    "--dpkgopt=path-exclude=/usr/share/locale/*",
    "--dpkgopt=path-exclude=/usr/lib/x86_64-linux-gnu/libLLVM*",
    "--dpkgopt=path-exclude=/usr/lib/postgresql/15/lib/bitcode/*",
];

/// Makes the database, as the server's user. In a machine of emulated processors it would take minutes, and is not what is tested.
const MAKE_DATABASE: &str = "set -e; export PATH=/usr/lib/postgresql/15/bin:$PATH PGHOST=/tmp PGDATABASE=postgres; cd /tmp
    initdb -D ~/db -k -A trust --locale=C; pg_ctl -D ~/db -o '-k /tmp -c listen_addresses=' -w start -l /tmp/log
    pgbench -q -i -s 1; pg_ctl -D ~/db -m fast -w stop; rm /tmp/log";

/// No cluster but that one.
const NO_CLUSTER: &str = "--essential-hook=mkdir -p \"$1/etc/postgresql-common\" && \
    echo create_main_cluster=false > \"$1/etc/postgresql-common/createcluster.conf\"";

pub(super) fn build(directory: &Path) -> Result<()> {
    let tar = directory.join("database.tar");
    run(
        "mmdebstrap",
        &[
            &"--variant=minbase",
            &"--include=postgresql-15,fio",
            &EXCLUDE[0],
            &EXCLUDE[1],
            &EXCLUDE[2],
            &EXCLUDE[3],
            &EXCLUDE[4],
            &NO_CLUSTER,
            &"bookworm",
            &tar,
            &"http://deb.debian.org/debian",
        ],
    )?;
    let layout = Layout::new(directory.join("database.oci"))?;
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
        )?;
        make_database(root)
    })?;
    fs::remove_file(&tar).context("remove the tree's archive")?;
    layout.configure("--config.cmd", "/bin/sh")
}

fn make_database(root: &Path) -> Result<()> {
    let user = "--userspec=postgres:postgres";
    let home = "HOME=/var/lib/postgresql";
    run(
        "chroot",
        &[&user, &root, &"env", &home, &"sh", &"-c", &MAKE_DATABASE],
    )
}
