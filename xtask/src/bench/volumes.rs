//! How fast volumes are: a directory of the host by virtio-fs, and an ext4 in a file of the host by virtio-blk.
//!
//! Both lie in the memory of the machine that runs the pods, so that no figure is that of a disk.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::attempt::{Attempt, until_done};
use super::pods::{Pods, RunningPod};
use super::statistics::Series;

/// A file system in memory.
const MEMORY: &str = "/dev/shm";

/// The bytes of the disk: four times those of the largest file on it.
const DISK_BYTES: u64 = 256 << 20;

/// A pod that has not measured all after this long hangs.
const LIMIT: Duration = Duration::from_secs(300);

/// Where the app sees the volume.
const TARGET: &str = "/volume";

/// Names and rates in a second.
type Figures = Vec<(String, f64)>;

/// Measures both kinds in turn.
pub(super) fn measure(pods: &Pods, image: &Path, runs: usize, series: &mut Series) -> Result<()> {
    let work = tempfile::tempdir_in(MEMORY).context("make a directory in memory")?;
    let directory = work.path().join("directory");
    fs::create_dir(&directory)?;
    let directory = format!("kind=host,source={}", directory.display());
    let disk = disk(work.path())?;
    let disk = format!("kind=disk,source={},fsType=ext4", disk.display());
    // The first round imports the image and is not counted.
    for round in 0..=runs {
        for (kind, volume) in [("virtio_fs", &directory), ("virtio_blk", &disk)] {
            let figures = until_done("a pod that measures its volume", || {
                measure_once(pods, image, volume)
            })?;
            if round > 0 {
                for (name, rate) in figures {
                    series.add(&format!("volume.{kind}.{name}_per_s"), rate);
                }
            }
        }
    }
    Ok(())
}

fn disk(directory: &Path) -> Result<PathBuf> {
    let path = directory.join("disk");
    File::create_new(&path)?.set_len(DISK_BYTES)?;
    let status = Command::new("mkfs.ext4")
        .args(["-q", "-F"])
        .arg(&path)
        .status()
        .context("start mkfs.ext4")?;
    if !status.success() {
        bail!("mkfs.ext4 {}: {status}", path.display());
    }
    Ok(path)
}

fn measure_once(pods: &Pods, image: &Path, volume: &str) -> Result<Attempt<Figures>> {
    let output = pods.data.join("output");
    let mut command = pods.command();
    command
        .arg(format!("--volume=v,{volume}"))
        .arg(image)
        .arg(format!("--mount=volume=v,target={TARGET}"))
        .args(["--", "measure", TARGET])
        .stdin(Stdio::null())
        .stdout(File::create(&output)?);
    let mut pod = RunningPod(command.spawn().context("start a pod that measures")?);
    if !pod.ends_within(LIMIT)? {
        return Ok(Attempt::Hung);
    }
    let status = pod.0.wait()?;
    let text = fs::read_to_string(&output)?;
    if !status.success() {
        bail!("a pod that measures its volume: {status}\n{text}");
    }
    Ok(Attempt::Done(parse(&text)?))
}

/// `NAME VALUE` lines.
fn parse(text: &str) -> Result<Figures> {
    let figure = |line: &str| {
        let (name, value) = line.split_once(' ')?;
        Some((name.to_owned(), value.parse().ok()?))
    };
    text.lines()
        .map(|line| figure(line).with_context(|| format!("no figure: {line:?}")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_read_line_by_line() {
        let figures = parse("create 12.5\nremove 3\n").unwrap();
        assert_eq!(
            figures,
            [("create".to_owned(), 12.5), ("remove".to_owned(), 3.0)]
        );
        assert!(parse("inspect: no\n").is_err());
    }
}
