//! Debian packages that the tasks need, and how they are installed.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use bulkhead_guest_kernel::KERNEL_PACKAGES;

use crate::process::{output, progress};

/// Packages that belong together.
#[derive(Clone, Copy)]
pub(crate) struct Packages {
    release: &'static [&'static str],
    /// What Debian 12 has only in backports, or there newer.
    backports: &'static [&'static str],
}

/// The guest kernel, and the file system of the empty writable layer.
pub(crate) const STAGE1: Packages = Packages {
    release: KERNEL_PACKAGES,
    backports: &[],
};

/// What virtiofsd is linked with.
pub(crate) const FILE_SERVER: Packages = Packages {
    release: &["libcap-ng-dev", "libseccomp-dev"],
    backports: &[],
};

/// The nested machine. QEMU 7.2 of Debian 12 hung it in two runs of nine.
pub(crate) const NESTED_MACHINE: Packages = Packages {
    release: &[
        "linux-image-amd64",
        "busybox-static",
        "e2fsprogs",
        "kmod",
        // Its journal, which pods write to, and their life as services.
        "systemd",
        "util-linux",
    ],
    backports: &["qemu-system-x86"],
};

/// Test images: tools that are not ours, and what goes into the images.
pub(crate) const IMAGES: Packages = Packages {
    release: bulkhead_tests::images::PACKAGES,
    backports: &[],
};

/// Judges of our own writers of file systems and of trees of hashes, in unit tests.
pub(crate) const JUDGES: Packages = Packages {
    release: &["cryptsetup-bin", "e2fsprogs", "erofs-utils"],
    backports: &[],
};

/// A registry, which the tests fill with skopeo, and passwords and certificates for it.
pub(crate) const REGISTRY: Packages = Packages {
    release: &["apache2-utils", "docker-registry", "openssl"],
    backports: &[],
};

/// libFuzzer is C++.
pub(crate) const FUZZING: Packages = Packages {
    release: &["g++"],
    backports: &[],
};

/// Keys and signatures that are not ours.
pub(crate) const SIGNATURES: Packages = Packages {
    release: &["gnupg"],
    backports: &[],
};

/// All tasks together.
pub(crate) const EVERYTHING: [Packages; 8] = [
    STAGE1,
    FILE_SERVER,
    NESTED_MACHINE,
    IMAGES,
    JUDGES,
    REGISTRY,
    FUZZING,
    SIGNATURES,
];

const BACKPORTS_LIST: &str = "/etc/apt/sources.list.d/bulkhead-backports.list";
const BACKPORTS_LINE: &str = "deb http://deb.debian.org/debian bookworm-backports main\n";
/// First QEMU whose only known hang the nested machine avoids.
const OLDEST_QEMU: u32 = 10;

/// Installs what is missing as root; otherwise fails and names the commands that do.
pub(crate) fn install(groups: &[Packages]) -> Result<()> {
    let names = |list: fn(&Packages) -> &'static [&'static str]| {
        let mut names: Vec<_> = groups.iter().flat_map(list).copied().collect();
        names.sort_unstable();
        names.dedup();
        names
    };
    let release = missing(&names(|group| group.release))?;
    let wanted = names(|group| group.backports);
    let mut backports = missing(&wanted)?;
    if wanted.contains(&"qemu-system-x86") && backports.is_empty() && qemu_is_old()? {
        backports.push("qemu-system-x86");
    }
    if release.is_empty() && backports.is_empty() {
        return Ok(());
    }
    if !nix::unistd::geteuid().is_root() {
        bail!(
            "Debian packages are missing; as root:\n  {}",
            commands_by_hand(&release, &backports)
        );
    }
    let names = [release.as_slice(), backports.as_slice()].concat();
    progress(&format!("installing {}", names.join(" ")));
    if !backports.is_empty() && !backports_known()? {
        fs::write(BACKPORTS_LIST, BACKPORTS_LINE)
            .with_context(|| format!("write {BACKPORTS_LIST}"))?;
    }
    output(apt_get().arg("update"))?;
    if !release.is_empty() {
        output(
            apt_get()
                .args(["install", "--yes", "--no-install-recommends"])
                .args(&release),
        )?;
    }
    if !backports.is_empty() {
        output(
            apt_get()
                .args(["install", "--yes", "--no-install-recommends"])
                .args(["--target-release", "bookworm-backports"])
                .args(&backports),
        )?;
    }
    Ok(())
}

fn apt_get() -> Command {
    let mut command = Command::new("apt-get");
    command
        .arg("-qq")
        .env("DEBIAN_FRONTEND", "noninteractive")
        .args(["-o", "Dpkg::Use-Pty=0"]);
    command
}

fn commands_by_hand(release: &[&str], backports: &[&str]) -> String {
    let mut commands = Vec::new();
    if !backports.is_empty() {
        commands.push(format!(
            "echo '{}' > {BACKPORTS_LIST}",
            BACKPORTS_LINE.trim_end()
        ));
    }
    commands.push("apt-get update".to_owned());
    if !release.is_empty() {
        commands.push(format!("apt-get install {}", release.join(" ")));
    }
    if !backports.is_empty() {
        commands.push(format!(
            "apt-get install -t bookworm-backports {}",
            backports.join(" ")
        ));
    }
    commands.join("\n  ")
}

/// The named packages that are not installed.
fn missing(names: &[&'static str]) -> Result<Vec<&'static str>> {
    let installed = Command::new("dpkg-query")
        .args(["--show", "--showformat", "${Package} ${db:Status-Status}\n"])
        .args(names)
        .output()
        .context("run dpkg-query: the tasks install Debian packages")?;
    let installed = String::from_utf8_lossy(&installed.stdout).into_owned();
    Ok(names
        .iter()
        .filter(|name| {
            !installed
                .lines()
                .any(|line| line == format!("{name} installed"))
        })
        .copied()
        .collect())
}

fn qemu_is_old() -> Result<bool> {
    let version = output(Command::new("qemu-system-x86_64").arg("--version"))?;
    let major = version
        .split_whitespace()
        .skip_while(|word| *word != "version")
        .nth(1)
        .and_then(|number| number.split('.').next())
        .and_then(|major| major.parse::<u32>().ok())
        .with_context(|| format!("no version in {version:?}"))?;
    Ok(major < OLDEST_QEMU)
}

fn backports_known() -> Result<bool> {
    if !Path::new("/etc/apt").exists() {
        bail!("no /etc/apt: this is not a Debian system");
    }
    let policy = output(Command::new("apt-cache").arg("policy"))?;
    Ok(policy.contains("bookworm-backports"))
}
