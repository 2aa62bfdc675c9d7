//! `fuzz`: libFuzzer on what reads untrusted bytes, under the stable toolchain.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::process::{progress, run};
use crate::setup;
use crate::workspace::{cargo, root, target};

/// What of libFuzzer's instrumentation rustc can be asked for without a nightly option, and checks that a release leaves out.
const FLAGS: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1 -Cdebug-assertions=yes -Coverflow-checks=yes";

/// Named, because with flags of our own build scripts must not get them.
const TRIPLE: &str = "x86_64-unknown-linux-gnu";

/// What an input may take: a longer or larger one is a finding.
const LIMITS: [&str; 3] = ["-timeout=20", "-rss_limit_mb=1024", "-max_len=32768"];

/// What to fuzz.
#[derive(clap::Args, Debug, Clone)]
pub(crate) struct Options {
    /// Seconds for each target
    #[arg(long, default_value_t = 60)]
    pub(crate) seconds: u32,
    /// Targets; all without any
    pub(crate) targets: Vec<String>,
}

/// Fuzzes, and fails at the first finding, whose input stays where it is said to be.
pub(crate) fn all(options: &Options) -> Result<()> {
    setup::install(&[setup::FUZZING])?;
    progress("building the fuzz targets");
    run(cargo("build")
        .env("RUSTFLAGS", FLAGS)
        .args(["--quiet", "--release", "--package", "bulkhead-fuzz"])
        .args(["--features", "libfuzzer", "--target", TRIPLE])
        .arg("--target-dir")
        .arg(build_directory()))?;
    let programs = build_directory().join(TRIPLE).join("release");
    let inputs = target().join("fuzz-inputs");
    // Without instrumentation, whose other half is in libFuzzer.
    run(cargo("run")
        .args([
            "--quiet",
            "--package",
            "bulkhead-fuzz",
            "--example",
            "seeds",
        ])
        .arg(&inputs))?;
    for name in chosen(&inputs, &options.targets)? {
        fuzz(&programs, &inputs.join(&name), &name, options.seconds)?;
    }
    Ok(())
}

fn build_directory() -> PathBuf {
    target().join("fuzz")
}

/// A target is what has seeds.
fn chosen(inputs: &Path, wanted: &[String]) -> Result<Vec<String>> {
    let entries = fs::read_dir(inputs).with_context(|| format!("read {}", inputs.display()))?;
    let names = entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    let mut all = names.collect::<Result<Vec<_>>>()?;
    all.sort();
    if let Some(unknown) = wanted.iter().find(|name| !all.contains(name)) {
        bail!(
            "no fuzz target is called {unknown}; there are {}",
            all.join(", ")
        );
    }
    all.retain(|name| wanted.is_empty() || wanted.contains(name));
    Ok(all)
}

/// New inputs are kept between runs; those that once were findings are in the tree, and are tried first.
fn fuzz(programs: &Path, inputs: &Path, name: &str, seconds: u32) -> Result<()> {
    progress(&format!("fuzzing {name} for {seconds} s"));
    let findings = target().join("fuzz-findings");
    fs::create_dir_all(&findings).with_context(|| format!("make {}", findings.display()))?;
    let log = findings.join(format!("{name}.log"));
    let output = fs::File::create(&log).with_context(|| format!("make {}", log.display()))?;
    let mut command = Command::new(programs.join(name));
    command
        .args(LIMITS)
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-artifact_prefix={}/{name}-", findings.display()))
        .args([inputs.join("kept"), inputs.join("seeds")])
        .stdout(output.try_clone()?)
        .stderr(output);
    let known = root().join("fuzz/findings").join(name);
    if known.is_dir() {
        command.arg(known);
    }
    let status = command
        .status()
        .with_context(|| format!("start {command:?}"))?;
    let text = fs::read_to_string(&log).unwrap_or_default();
    if !status.success() {
        let shown = text.lines().rev().take(30).collect::<Vec<_>>();
        let shown = shown.into_iter().rev().collect::<Vec<_>>().join("\n");
        bail!(
            "fuzzing {name}: {status}; the input is in {}\n{shown}",
            findings.display()
        );
    }
    let runs = text.lines().rev().find(|line| line.contains("DONE"));
    progress(runs.unwrap_or("no runs").trim());
    Ok(())
}
