//! `test`: everything that can fail, in the order of what fails fastest.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};
use bulkhead_kvm::probe::{Verdict, probe};
use bulkhead_tests::images;
use serde_json::Value;

use crate::process::{progress, run};
use crate::workspace::cargo;
use crate::{check, nested, setup, stage1};

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

/// What is tested over the stage1 without machines too. The other modules are about images, machines, or the command line alone.
const CONTAINER_MODULES: [&str; 15] = [
    "cgroup::",
    "devices::",
    "ends::",
    "enter::",
    "environment::",
    "exit::",
    "files::",
    "handlers::",
    "isolators::",
    "lifecycle::",
    "metadata::",
    "root::",
    "stop::",
    "streams::",
    "volumes::",
];

/// Tests of those modules that are about what only a machine has: file servers, and what they close to a guest.
const MACHINE_TESTS: [&str; 4] = [
    "in_a_machine",
    "file_server",
    "a_read_only_host_volume_stays_so",
    "pipes_sockets_and_devices_of_the_host",
];

/// Memory of the nested machine: the largest test has twenty apps and images in the page cache.
const NESTED_MEMORY_MIB: u32 = 6144;

/// Exit status of errors of bulkhead itself.
const REFUSAL: i32 = 254;

/// Runs the tests; the exit status is that of the end-to-end tests when all before it passed.
pub(crate) fn all(options: &Options) -> Result<ExitCode> {
    setup::install(&setup::EVERYTHING)?;
    if !options.e2e {
        check::all()?;
        native()?;
    }
    let dist = stage1::build(&stage1::kernel()?)?;
    let images = images::prepare(&mut progress)?;
    refuses_an_interpreting_kvm(&dist, &images)?;
    let binary = build_end_to_end()?;
    progress("end-to-end tests");
    let command = vec![
        "sh".to_owned(),
        "-c".to_owned(),
        script(options, &images),
        binary.display().to_string(),
    ];
    nested::run(&nested::Options {
        always: options.nested,
        memory: NESTED_MEMORY_MIB,
        copy: Some(dist),
        ..nested::Options::of(command)
    })
}

/// One run over each stage1, in one boot of the nested machine; `$0` is the tests' binary.
fn script(options: &Options, images: &Path) -> String {
    let filters = |filters: &[String]| filters.join(" ");
    let run = |variables: &str, filters: &str| {
        format!("{variables} \"$0\" --test-threads=1 --nocapture {filters}")
    };
    let over_machines = run("", &filters(&options.filter));
    let modules = CONTAINER_MODULES.map(str::to_owned);
    let chosen = match options.filter.is_empty() {
        true => &modules[..],
        false => &options.filter[..],
    };
    let skipped = MACHINE_TESTS.map(|test| format!(" --skip {test}")).concat();
    let chosen = filters(chosen) + &skipped;
    let over_containers = run("BULKHEAD_TEST_STAGE1=container", &chosen);
    let runs = match (options.container, options.filter.is_empty()) {
        (true, _) => over_containers,
        (false, true) => format!("{over_machines} && {over_containers}"),
        (false, false) => over_machines,
    };
    let directory = images::DIRECTORY_VARIABLE;
    format!(
        "export BULKHEAD_DIST=$NESTED_COPY {directory}={}; {runs}",
        images.display()
    )
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
        return run(cargo("nextest").args(["run", "--workspace", "--status-level", "fail"]));
    }
    run(cargo("test").args(["--quiet", "--workspace"]))
}

/// Builds the binary of the end-to-end tests and returns where it is.
fn build_end_to_end() -> Result<PathBuf> {
    progress("building the end-to-end tests");
    let output = cargo("test")
        .args(["--package", "bulkhead-tests", "--test", "e2e", "--no-run"])
        .args(["--quiet", "--message-format", "json-render-diagnostics"])
        .stderr(std::process::Stdio::inherit())
        .output()
        .context("start cargo")?;
    if !output.status.success() {
        bail!("building the end-to-end tests: {}", output.status);
    }
    String::from_utf8(output.stdout)?
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|message| message["target"]["name"] == "e2e")
        .find_map(|message| Some(PathBuf::from(message["executable"].as_str()?)))
        .context("cargo named no binary of the end-to-end tests")
}
