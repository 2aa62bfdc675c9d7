//! `test`: everything that can fail, in the order of what fails fastest.

mod chosen;
mod round_trip;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, bail};
use bulkhead_kvm::probe::{Verdict, probe};
use bulkhead_tests::images;
use serde_json::Value;

use crate::process::{self, output, progress, run};
use crate::workspace::{cargo, target};
use crate::{check, fuzz, nested, setup, stage1};
use chosen::Chosen;

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

/// Memory of the nested machine: the largest test has twenty apps and images in the page cache.
const NESTED_MEMORY_MIB: u32 = 6144;

/// Outer limit of one nested machine's tests: twice what they take on a machine of two processors.
const TIME_LIMIT_SECONDS: u64 = 65 * 60;

/// What this machine keeps when two nested ones have theirs.
const MEMORY_FOR_THE_REST_MIB: u64 = 2048;

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
    let binary = build_end_to_end()?;
    let chosen = Chosen::of(&list(&binary)?, options);
    if chosen.is_empty() {
        bail!("no end-to-end test has {:?} in its name", options.filter);
    }
    progress("end-to-end tests");
    let run = Run {
        binary,
        dist,
        images,
        nested: options.nested,
    };
    match options.filter.is_empty() && run.has_room_for_two()? {
        true => run.on_two_machines(chosen),
        false => nested::run(&run.machine(&chosen)),
    }
}

/// The names of all end-to-end tests.
fn list(binary: &Path) -> Result<Vec<String>> {
    let list = output(Command::new(binary).args(["--list", "--format", "terse"]))?;
    let names = list.lines().filter_map(|line| line.strip_suffix(": test"));
    Ok(names.map(str::to_owned).collect())
}

/// A run of the end-to-end tests.
struct Run {
    binary: PathBuf,
    dist: PathBuf,
    images: PathBuf,
    nested: bool,
}

impl Run {
    /// Whether two nested machines can run beside each other: one uses little more than one processor. On a KVM of its own the
    /// machine is one, and tests look at all of it.
    fn has_room_for_two(&self) -> Result<bool> {
        if matches!(probe(), Verdict::Hardware) && !self.nested {
            return Ok(false);
        }
        let available = process::memory_available_mib()?;
        Ok(available > 2 * u64::from(NESTED_MEMORY_MIB) + MEMORY_FOR_THE_REST_MIB)
    }

    /// A nested machine with these tests: in one boot those over machines, then those over containers.
    fn machine(&self, chosen: &Chosen) -> nested::Options {
        let command = vec![
            "sh".to_owned(),
            "-c".to_owned(),
            self.script(chosen),
            self.binary.display().to_string(),
        ];
        nested::Options {
            always: self.nested,
            memory: NESTED_MEMORY_MIB,
            timeout: TIME_LIMIT_SECONDS,
            copy: Some(self.dist.clone()),
            ..nested::Options::of(command)
        }
    }

    /// `$0` is the tests' binary. What fails over machines does not keep the rest from being run.
    fn script(&self, chosen: &Chosen) -> String {
        let run = |variables: &str, tests: &[String]| match tests.is_empty() {
            true => "true".to_owned(),
            false => {
                let tests = tests.join(" ");
                format!("{variables} \"$0\" --test-threads=1 --nocapture --exact {tests}")
            }
        };
        format!(
            "export BULKHEAD_DIST=$NESTED_COPY {directory}={images}; {over_machines}; first=$?; {over_containers} && exit $first",
            directory = images::DIRECTORY_VARIABLE,
            images = self.images.display(),
            over_machines = run("", &chosen.over_machines),
            over_containers = run("BULKHEAD_TEST_STAGE1=container", &chosen.over_containers),
        )
    }

    /// Half of the tests on each of two machines at a time. The output of the second one comes when the first is through, and
    /// lies in a file until then.
    fn on_two_machines(&self, chosen: Chosen) -> Result<ExitCode> {
        let [first, second] = chosen.halves();
        let path = target().join("e2e-second-machine.log");
        let log = File::create(&path).with_context(|| format!("make {}", path.display()))?;
        progress(&format!(
            "two machines; the second one's output is in {}",
            path.display()
        ));
        let machine = self.machine(&second);
        let mut child = Command::new(std::env::current_exe().context("find xtask")?)
            .arg("nested")
            .args(self.nested.then_some("--always"))
            .args(["--memory", &machine.memory.to_string()])
            .args(["--timeout", &machine.timeout.to_string()])
            .arg("--copy")
            .arg(&self.dist)
            .arg("--")
            .args(&machine.command)
            .stdin(Stdio::null())
            .stderr(log.try_clone().context("share the log")?)
            .stdout(log)
            .spawn()
            .context("start the second machine")?;
        let first = nested::run_to_end(&self.machine(&first));
        let second = child.wait().context("wait for the second machine")?;
        progress("end-to-end tests on the second machine");
        let mut log = File::open(&path).with_context(|| format!("open {}", path.display()))?;
        io::copy(&mut log, &mut io::stderr()).context("show the second machine's output")?;
        progress(&format!("the second machine ended with {second}"));
        match second.success() {
            true => first,
            false => first.map(|_| ExitCode::FAILURE),
        }
    }
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
