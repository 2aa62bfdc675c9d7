//! `demo`: from a checkout to a pod that runs.

use std::fs;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use bulkhead_tests::images;

use crate::process::progress;
use crate::{nested, setup, stage1};

/// What the demo's app does: says what it runs on, from inside.
const SCRIPT: &str = "echo \"Hello from a pod. Its kernel: $(uname -sr), its machine: $(nproc) vCPU, \
     $(awk '/MemTotal/ {print int($2 / 1024)}' /proc/meminfo) MiB.\"";

/// What runs where KVM works. The first run turns the image into a block image, the second finds it.
const COMMANDS: &str = r#"
set -e
dir=$(mktemp --directory --tmpdir=/var/tmp bulkhead-demo-XXXXXX)
trap 'rm -rf "$dir"' EXIT
pod() { "$NESTED_COPY/bin/bulkhead" --dir "$dir" run --net=none "$image" --name=hello --exec=/bin/sh -- -c "$script"; }
image=$1 script=$2
now() { date +%s%3N; }
"$NESTED_COPY/bin/bulkhead" version
echo "kernel outside of the pod: $(uname -sr)"
for round in "first run, with the image's conversion" "second run, image stored"; do
    start=$(now)
    pod
    echo "$round: $(($(now) - start)) ms"
done
"#;

/// Builds everything, runs a pod, and says what ran where and how long each phase took.
pub(crate) fn run() -> Result<ExitCode> {
    let mut phases = Phases::default();
    phases.time("Debian packages", || {
        setup::install(&[
            setup::STAGE1,
            setup::FILE_SERVER,
            setup::NESTED_MACHINE,
            setup::IMAGES,
        ])
    })?;
    let kernel = phases.time("guest kernel", stage1::kernel)?;
    let dist = phases.time("programs and stage1 image", || stage1::build(&kernel))?;
    let images = phases.time("demo image", || images::prepare_busybox(&mut progress))?;
    let image = images.join("busybox.oci");
    println!("{kernel}");
    println!(
        "stage1 image   {} KiB",
        kibibytes(&dist.join("lib/bulkhead/stage1/kvm/rootfs"))?
    );
    println!("demo image     {}", image.display());
    let command = [
        "sh",
        "-c",
        COMMANDS,
        "demo",
        &image.display().to_string(),
        SCRIPT,
    ];
    let options = nested::Options {
        copy: Some(dist),
        ..nested::Options::of(command.map(str::to_owned).to_vec())
    };
    let status = phases.time("both runs, with the machine around them", || {
        nested::run_to_end(&options)
    })?;
    phases.print();
    println!(
        "on a host whose KVM works: target/dist/bin/bulkhead run {}",
        image.display()
    );
    Ok(status)
}

/// What the files of a directory take, without the holes in them.
fn kibibytes(directory: &std::path::Path) -> Result<u64> {
    use std::os::unix::fs::MetadataExt;

    let mut blocks = 0;
    for entry in fs::read_dir(directory).with_context(|| format!("read {}", directory.display()))? {
        let entry = entry?;
        let about = entry.metadata()?;
        blocks += if about.is_dir() {
            kibibytes(&entry.path())? * 2
        } else {
            about.blocks()
        };
    }
    Ok(blocks / 2)
}

#[derive(Default)]
struct Phases(Vec<(&'static str, Duration)>);

impl Phases {
    fn time<T>(&mut self, name: &'static str, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let start = Instant::now();
        let result = work()?;
        self.0.push((name, start.elapsed()));
        Ok(result)
    }

    fn print(&self) {
        for (name, time) in &self.0 {
            println!("{:>8.1} s  {name}", time.as_secs_f64());
        }
    }
}
