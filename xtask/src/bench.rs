//! `bench`: how long a start takes, phase by phase, and what an idle pod holds.
//!
//! Two clocks. What this machine can do natively (everything up to the first `KVM_RUN`) is timed natively. Boots are timed
//! where KVM runs code; in the nested machine that is under `-icount`, whose clock counts instructions and idle waits:
//! a "millisecond" there is a million instructions, and figures repeat to a percent whatever else the host does. Volumes are
//! measured in a boot of it without `-icount`, under which guests that do much I/O hang; their figures compare with each other.

mod attempt;
mod boots;
mod clock;
mod ends;
mod exits;
mod images;
mod in_memory;
mod marker;
mod memory;
mod native;
mod pods;
mod report;
mod statistics;
mod trace;
mod vmm;
mod volumes;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use bulkhead_tests::images::INSPECT_ARCHIVE;
use serde_json::Value;

use crate::process::progress;
use crate::{nested, setup, stage1, workspace};
use boots::{Files, Peer};
use pods::{Pods, Size};
use statistics::Series;

/// The nested machine takes 2.5 times as long under `-icount` as without.
const NESTED_LIMIT_SECONDS: u64 = 60 * 60;

/// The image of the pods, in the benchmark's directory.
const IMAGE: &str = "busybox.aci";

const NESTED_MEMORY_MIB: u32 = 3072;

/// What to measure.
#[derive(clap::Args, Debug, Clone)]
pub(crate) struct Options {
    /// Counted runs of each figure
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// Counted runs of the figures that are taken natively
    #[arg(long, default_value_t = 41)]
    native_runs: usize,
    /// Take natively measured figures alone: no boot, no nested machine
    #[arg(long)]
    native: bool,
    /// Measure the way of images from a registry alone, as root: beside skopeo and umoci, and of 2 GiB
    #[arg(long)]
    images: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// A firecracker to compare with
    #[arg(long, value_name = "PROGRAM")]
    firecracker: Option<PathBuf>,
    /// A cloud-hypervisor to compare with
    #[arg(long, value_name = "PROGRAM")]
    cloud_hypervisor: Option<PathBuf>,
    /// An lkvm (kvmtool) to compare with
    #[arg(long, value_name = "PROGRAM")]
    lkvm: Option<PathBuf>,
    /// The part that runs where KVM works: write its figures to this file
    #[arg(long, hide = true)]
    inside: Option<PathBuf>,
    /// The part that runs where KVM works measures volumes alone
    #[arg(long, hide = true)]
    volumes: bool,
    /// Files of the part that runs where KVM works
    #[arg(long, hide = true, default_value = "target/bench")]
    files: PathBuf,
}

/// Runs the benchmark and prints its figures.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    if let Some(result) = &options.inside {
        let figures = measure_inside(options)?;
        fs::write(result, figures.to_string())?;
        return Ok(ExitCode::SUCCESS);
    }
    if options.images {
        return measure_images(options);
    }
    let directory = prepare()?;
    let dist = workspace::dist();
    let files = files(&dist, &directory);
    let mut native = Series::default();
    native::measure(&files, options.native_runs, &mut native)?;
    measure_list(options, &dist, &directory, &mut native)?;
    let (inside, volumes) = if options.native {
        (Value::default(), Value::default())
    } else {
        let part = |volumes| run_inside(options, volumes, &dist, &directory);
        (part(false)?, part(true)?)
    };
    let figures = report::Figures {
        native: native.to_json(),
        inside,
        volumes,
        sizes: report::sizes(&dist)?,
    };
    report::print(options.json, &figures)?;
    Ok(ExitCode::SUCCESS)
}

fn measure_images(options: &Options) -> Result<ExitCode> {
    setup::install(&setup::EVERYTHING)?;
    let dist = stage1::build(&stage1::kernel()?)?;
    let images = bulkhead_tests::images::prepare(&mut progress)?;
    let mut series = Series::default();
    let (bulkhead, debian) = (dist.join("bin/bulkhead"), images.join("redis.oci"));
    images::measure(&bulkhead, &debian, options.runs, &mut series)?;
    report::print_images(options.json, &series.to_json())?;
    Ok(ExitCode::SUCCESS)
}

fn measure_list(options: &Options, dist: &Path, files: &Path, series: &mut Series) -> Result<()> {
    let data = tempfile::tempdir().context("make a data directory")?;
    let pods = Pods {
        command: dist.join("bin/bulkhead"),
        data: data.path().to_owned(),
        image: files.join(IMAGE),
    };
    ends::measure_list(&pods, options.native_runs, series)
}

/// Builds all that is measured into a directory of its own.
fn prepare() -> Result<PathBuf> {
    setup::install(&setup::EVERYTHING)?;
    stage1::build(&stage1::kernel()?)?;
    let directory = workspace::target().join("bench");
    fs::create_dir_all(&directory)?;
    marker::write_initramfs(&directory)?;
    let images = bulkhead_tests::images::prepare_busybox(&mut progress)?;
    let image = directory.join(IMAGE);
    fs::copy(images.join("busybox.aci"), &image)
        .with_context(|| format!("copy the image to {}", image.display()))?;
    let images = bulkhead_tests::images::prepare_inspect(&mut progress)?;
    fs::copy(
        images.join(INSPECT_ARCHIVE),
        directory.join(INSPECT_ARCHIVE),
    )
    .with_context(|| format!("copy {INSPECT_ARCHIVE}"))?;
    Ok(directory)
}

fn stage1_file(dist: &Path, name: &str) -> PathBuf {
    dist.join("lib/bulkhead/stage1/kvm/rootfs").join(name)
}

fn files(dist: &Path, directory: &Path) -> Files {
    Files {
        vmm: stage1_file(dist, "vmm"),
        kernel: stage1_file(dist, "kernel/vmlinux"),
        compressed_kernel: stage1_file(dist, "kernel/bzImage"),
        initramfs: directory.join(marker::INITRAMFS),
        scratch: directory.to_owned(),
    }
}

/// Runs this program again where KVM works, and returns what it measured.
fn run_inside(options: &Options, volumes: bool, dist: &Path, directory: &Path) -> Result<Value> {
    let result = directory.join("inside.json");
    let _ = fs::remove_file(&result);
    let mut command = vec![text(&std::env::current_exe()?)?, "bench".to_owned()];
    command.extend(["--runs".to_owned(), options.runs.to_string()]);
    command.extend(["--inside".to_owned(), text(&result)?]);
    command.extend(["--files".to_owned(), text(directory)?]);
    if volumes {
        command.push("--volumes".to_owned());
    }
    let peers = [
        ("--firecracker", &options.firecracker),
        ("--cloud-hypervisor", &options.cloud_hypervisor),
        ("--lkvm", &options.lkvm),
    ];
    for (flag, program) in peers {
        if let Some(program) = program {
            command.extend([flag.to_owned(), text(&fs::canonicalize(program)?)?]);
        }
    }
    let code = nested::run_to_end(&nested::Options {
        icount: !volumes,
        memory: NESTED_MEMORY_MIB,
        timeout: NESTED_LIMIT_SECONDS,
        shares: vec![directory.to_owned()],
        copy: Some(dist.to_owned()),
        ..nested::Options::of(command)
    })?;
    if code != ExitCode::SUCCESS {
        bail!("the part that runs where KVM works failed");
    }
    let figures =
        fs::read_to_string(&result).with_context(|| format!("read {}", result.display()))?;
    Ok(serde_json::from_str(&figures)?)
}

fn text(path: &Path) -> Result<String> {
    let text = path
        .to_str()
        .with_context(|| format!("{} is not UTF-8", path.display()))?;
    Ok(text.to_owned())
}

fn measure_inside(options: &Options) -> Result<Value> {
    let dist = std::env::var_os(nested::COPY_VARIABLE).context("run by `cargo xtask bench`")?;
    let dist = in_memory::tree(&PathBuf::from(dist))?;
    let pods = Pods {
        command: dist.join("bin/bulkhead"),
        data: in_memory::data()?,
        image: in_memory::image(&options.files.join(IMAGE))?,
    };
    in_memory::libraries_of(&pods.command)?;
    let mut series = Series::default();
    if options.volumes {
        progress("volumes");
        let inspect = options.files.join(INSPECT_ARCHIVE);
        volumes::measure(&pods, &inspect, options.runs, &mut series)?;
    } else {
        measure_starts(options, &dist, &pods, &mut series)?;
    }
    Ok(series.to_json())
}

/// Boots, starts, idle pods and exits.
fn measure_starts(options: &Options, dist: &Path, pods: &Pods, series: &mut Series) -> Result<()> {
    let files = files(dist, &options.files);
    let mut peers = vec![Peer::Qemu];
    peers.extend(options.firecracker.clone().map(Peer::Firecracker));
    peers.extend(options.cloud_hypervisor.clone().map(Peer::CloudHypervisor));
    peers.extend(options.lkvm.clone().map(Peer::Lkvm));
    set_huge_pages("always")?;
    progress("boots, each VMM in turn");
    boots::measure(&files, &peers, options.runs, series)?;
    boots::count_exits(&files, series)?;
    progress("starts of pods");
    pods::measure_starts(pods, Size::Default, options.runs, series)?;
    pods::measure_starts(pods, Size::Mib128, options.runs, series)?;
    progress("ends of pods");
    ends::measure(pods, options.runs, series)?;
    progress("idle pods");
    pods::measure_idle(pods, Size::Mib192, ".thp_always", series)?;
    set_huge_pages("never")?;
    pods::measure_idle(pods, Size::Mib192, "", series)?;
    pods::measure_idle(pods, Size::Mib128, "", series)?;
    set_huge_pages("always")?;
    progress("exits by reason");
    pods::count_exits(pods, series)
}

fn set_huge_pages(mode: &str) -> Result<()> {
    let file = "/sys/kernel/mm/transparent_hugepage/enabled";
    fs::write(file, mode).with_context(|| format!("write {file}"))
}
