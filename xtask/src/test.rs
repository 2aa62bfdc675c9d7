//! `test`: everything that can fail, in the order of what fails fastest.

mod chosen;
mod end_to_end;
mod results;
mod round_trip;

use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};
use bulkhead_kvm::probe::{Verdict, probe};
use bulkhead_tests::images;

use crate::process::{progress, run};
use crate::workspace::cargo;
use crate::{check, fuzz, setup, stage1};

/// What to test.
#[derive(clap::Args, Debug)]
pub(crate) struct Options {
    /// Only the end-to-end tests
    #[arg(long)]
    e2e: bool,
    /// Only end-to-end tests whose name contains this (with --e2e); may be repeated
    #[arg(requires = "e2e")]
    filter: Vec<String>,
    /// Only over the stage1 whose pods have no machines (with --e2e)
    #[arg(long, requires = "e2e")]
    container: bool,
    /// Use the nested machine even where this machine's KVM works
    #[arg(long)]
    nested: bool,
}

/// Long enough to try what is known and a few thousand others.
const FUZZED_BRIEFLY: fuzz::Options = fuzz::Options {
    seconds: 8,
    targets: Vec::new(),
};

/// Exit status of errors of bulkhead itself.
const REFUSAL: i32 = 254;

/// Runs the tests; the exit status is that of the end-to-end tests when all before it passed.
pub(crate) fn all(options: &Options) -> Result<ExitCode> {
    setup::install(&setup::EVERYTHING)?;
    if !options.e2e {
        check::all()?;
        native()?;
        fuzz::all(&FUZZED_BRIEFLY)?;
    }
    let dist = stage1::build(&stage1::kernel()?)?;
    let images = images::prepare(&mut progress)?;
    refuses_an_interpreting_kvm(&dist, &images)?;
    if !options.e2e {
        round_trip::test(&dist.join("bin/bulkhead"), &images.join("redis.oci"))?;
    }
    end_to_end::run(options, dist, images)
}

/// Where KVM only interprets code, `doctor` and `run` must say so: only such a machine can test it.
fn refuses_an_interpreting_kvm(dist: &Path, images: &Path) -> Result<()> {
    if !matches!(probe(), Verdict::Emulated { .. }) {
        return Ok(());
    }
    progress("doctor and run on a KVM that only interprets code");
    let data = tempfile::tempdir().context("make a temporary directory")?;
    let bulkhead = || {
        let mut command = Command::new(dist.join("bin/bulkhead"));
        command.arg("--dir").arg(data.path());
        command
    };
    let mut run = bulkhead();
    run.arg("run").arg(images.join("busybox.oci"));
    let mut doctor = bulkhead();
    doctor.arg("doctor");
    for mut command in [doctor, run] {
        let output = command
            .output()
            .with_context(|| format!("start {command:?}"))?;
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        if output.status.code() != Some(REFUSAL) || !said.contains("interprets") {
            bail!(
                "{command:?} must refuse a KVM that interprets code: {}\n{said}",
                output.status
            );
        }
    }
    Ok(())
}

/// Unit and property tests; the end-to-end tests are not among them.
fn native() -> Result<()> {
    progress("unit and property tests");
    let nextest = Command::new("cargo-nextest").arg("--version").output();
    if nextest.is_ok_and(|output| output.status.success()) {
        // Quiet but for failures and the summary.
        let arguments = [
            "run",
            "--workspace",
            "--no-fail-fast",
            "--status-level",
            "fail",
        ];
        return run(cargo("nextest").args(arguments));
    }
    run(cargo("test").args(["--quiet", "--workspace"]))
}
