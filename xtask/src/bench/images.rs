//! An image from a registry to its first file: our `fetch` and a mount, beside `skopeo copy` and `umoci unpack`. And what memory
//! the fetch of a big one takes.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bulkhead_tests::registry::Registry;
use tempfile::TempDir;

use super::clock::{milliseconds_since, now_ns};
use super::statistics::Series;
use crate::process::{output, progress};

/// Files of the big image, and their size: 2 GiB.
const BIG_FILES: u32 = 64;
const BIG_FILE_LENGTH: usize = 32 << 20;

/// Between two looks at the memory of processes.
const PAUSE: Duration = Duration::from_millis(2);

/// Takes a Debian tree as an OCI layout.
pub(super) fn measure(
    bulkhead: &Path,
    debian: &Path,
    runs: usize,
    series: &mut Series,
) -> Result<()> {
    let registry = Registry::start()?;
    let debian = registry.push(debian, "debian:v1")?;
    // The first round fills page caches.
    for round in 0..=runs {
        let (ours, peers) = (fetch(bulkhead, &debian)?, copy_and_unpack(&debian)?);
        if round > 0 {
            series.add("images.debian.fetch_and_mount_ms", ours.milliseconds);
            series.add("images.debian.skopeo_and_umoci_ms", peers);
            series.add("images.debian.ratio", ours.milliseconds / peers);
            series.add("images.debian.peak_memory_kib", ours.peak_kib);
        }
    }
    progress("an image of 2 GiB");
    let layout = registry.directory().join("big");
    make_big(&layout)?;
    let big = registry.push(&layout, "big:v1")?;
    let (ours, peers) = (fetch(bulkhead, &big)?, copy_and_unpack(&big)?);
    series.add("images.big.fetch_and_mount_ms", ours.milliseconds);
    series.add("images.big.skopeo_and_umoci_ms", peers);
    series.add("images.big.ratio", ours.milliseconds / peers);
    series.add("images.big.peak_memory_kib", ours.peak_kib);
    Ok(())
}

struct Fetch {
    milliseconds: f64,
    /// Of all its processes together, each at its own peak.
    peak_kib: f64,
}

fn fetch(bulkhead: &Path, reference: &str) -> Result<Fetch> {
    let directory = TempDir::new().context("make a data directory")?;
    let mount = directory.path().join("mount");
    fs::create_dir(&mount)?;
    let data = directory.path().join("data");
    let start = now_ns();
    let mut command = Command::new(bulkhead);
    command.arg("--dir").arg(&data);
    command.arg("fetch").arg(format!("docker://{reference}"));
    let peak_kib = peak_memory(&mut command)?;
    let image = block_image(&data.join("cas"))?;
    output(
        Command::new("mount")
            .args(["-t", "erofs", "-o", "ro,loop"])
            .args([&image, &mount]),
    )?;
    let looked = fs::read_dir(&mount).map(Iterator::count);
    let milliseconds = milliseconds_since(start);
    output(Command::new("umount").arg(&mount))?;
    looked.context("look at the mounted image")?;
    Ok(Fetch {
        milliseconds,
        peak_kib,
    })
}

/// In milliseconds.
fn copy_and_unpack(reference: &str) -> Result<f64> {
    let directory = TempDir::new().context("make a directory")?;
    let layout = directory.path().join("layout").display().to_string();
    let bundle = directory.path().join("bundle");
    let start = now_ns();
    output(
        Command::new("skopeo")
            .args([
                "--insecure-policy",
                "copy",
                "--quiet",
                "--src-tls-verify=false",
            ])
            .arg(format!("docker://{reference}"))
            .arg(format!("oci:{layout}:latest")),
    )?;
    output(
        Command::new("umoci")
            .args(["unpack", "--image", &format!("{layout}:latest")])
            .arg(&bundle),
    )?;
    fs::read_dir(bundle.join("rootfs")).context("look at the unpacked image")?;
    Ok(milliseconds_since(start))
}

/// The only one of a store.
fn block_image(store: &Path) -> Result<PathBuf> {
    let mut directories = vec![store.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory)? {
            let path = entry?.path();
            if path.file_name() == Some(OsStr::new("rootfs.erofs")) {
                return Ok(path);
            }
            if path.is_dir() && !path.is_symlink() {
                directories.push(path);
            }
        }
    }
    bail!("no image in {}", store.display())
}

/// Two layers of files that nothing compresses.
fn make_big(layout: &Path) -> Result<()> {
    let path = layout.display().to_string();
    let image = format!("{path}:latest");
    output(Command::new("umoci").args(["init", "--layout", &path]))?;
    output(Command::new("umoci").args(["new", "--image", &image]))?;
    let mut random = Random(1);
    let mut block = vec![0; BIG_FILE_LENGTH];
    for layer in 0..2 {
        let directory = TempDir::new().context("make a directory")?;
        for number in 0..BIG_FILES / 2 {
            random.fill(&mut block);
            let mut file = File::create(directory.path().join(number.to_string()))?;
            file.write_all(&block)?;
        }
        let target = format!("/layer-{layer}");
        output(
            Command::new("umoci")
                .args(["insert", "--image", &image])
                .arg(directory.path())
                .arg(target),
        )?;
    }
    Ok(())
}

/// xorshift64: the same bytes in each run.
struct Random(u64);

impl Random {
    fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            chunk.copy_from_slice(&self.0.to_ne_bytes()[..chunk.len()]);
        }
    }
}

/// Runs a command, and adds up the peaks (`VmHWM`, proc(5)) of its processes, in KiB.
fn peak_memory(command: &mut Command) -> Result<f64> {
    let mut child = command.stdout(Stdio::null()).spawn().context("start it")?;
    let mut peaks: BTreeMap<u32, u64> = BTreeMap::new();
    let status = loop {
        for process in family(child.id())? {
            if let Some(kib) = status_field(process, "VmHWM:") {
                let peak = peaks.entry(process).or_default();
                *peak = kib.max(*peak);
            }
        }
        if let Some(status) = child.try_wait()? {
            break status;
        }
        std::thread::sleep(PAUSE);
    };
    if !status.success() {
        bail!("{command:?}: {status}");
    }
    let kib = u32::try_from(peaks.values().sum::<u64>()).context("more than 4 TiB")?;
    Ok(f64::from(kib))
}

/// A process and its descendants.
fn family(first: u32) -> Result<BTreeSet<u32>> {
    let mut family = BTreeSet::from([first]);
    let processes = fs::read_dir("/proc").context("read /proc")?.flatten();
    let numbers = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    // Children mostly have higher numbers than their parents; one that is missed is seen at the next look.
    for number in numbers.collect::<BTreeSet<_>>() {
        let parent = status_field(number, "PPid:").and_then(|parent| u32::try_from(parent).ok());
        if parent.is_some_and(|parent| family.contains(&parent)) {
            family.insert(number);
        }
    }
    Ok(family)
}

/// None of a process that has gone, or of a kernel's.
fn status_field(process: u32, name: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}
