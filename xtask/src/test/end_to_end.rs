//! The end-to-end tests: on two nested machines beside each other where there is room, else on one.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::thread;

use anyhow::{Context, Result, anyhow, bail};
use bulkhead_kvm::probe::{Verdict, probe};
use bulkhead_tests::images;
use serde_json::Value;

use super::Options;
use super::chosen::Chosen;
use super::results::Results;
use crate::nested::MACHINE_DIED;
use crate::process::{self, output, progress};
use crate::workspace::{cargo, target};

/// Memory of the nested machine: the largest test has twenty apps and images in the page cache.
const NESTED_MEMORY_MIB: u32 = 6144;

/// Outer limit of one nested machine's tests: twice what they take on a machine of two processors.
const TIME_LIMIT_SECONDS: u64 = 65 * 60;

/// Several times what the longest test takes between two lines of output.
const SILENCE_SECONDS: u64 = 10 * 60;

/// What this machine keeps when two nested ones have theirs.
const MEMORY_FOR_THE_REST_MIB: u64 = 2048;

/// Machines that run one part of the tests: a software processor that hangs is no fault of what is tested, twice is.
const MACHINES_FOR_A_PART: usize = 2;

/// Runs the chosen tests with what was built into `dist` and the images.
pub(super) fn run(options: &Options, dist: PathBuf, images: PathBuf) -> Result<ExitCode> {
    let binary = build()?;
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
    let passed = match options.filter.is_empty() && run.has_room_for_two()? {
        true => run.on_two_machines(chosen)?,
        false => run.part("e2e", chosen, None)?,
    };
    Ok(match passed {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

/// Builds the binary of the end-to-end tests and returns where it is.
fn build() -> Result<PathBuf> {
    progress("building the end-to-end tests");
    let output = cargo("test")
        .args(["--package", "bulkhead-tests", "--test", "e2e", "--no-run"])
        .args(["--quiet", "--message-format", "json-render-diagnostics"])
        .stderr(Stdio::inherit())
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

    /// Half of the tests on each of two machines at a time. The output of the second one comes when the first is through, and
    /// lies in a file until then.
    fn on_two_machines(&self, chosen: Chosen) -> Result<bool> {
        let [first, second] = chosen.halves();
        let path = target().join("e2e-second-machine.log");
        let log = File::create(&path).with_context(|| format!("make {}", path.display()))?;
        progress(&format!(
            "two machines; the second one's output is in {}",
            path.display()
        ));
        let (first, second) = thread::scope(|scope| {
            let second = scope.spawn(|| self.part("e2e-second", second, Some(&log)));
            let first = self.part("e2e-first", first, None);
            let second = second.join();
            (
                first,
                second.unwrap_or_else(|_| Err(anyhow!("the second machine's thread panicked"))),
            )
        });
        progress("end-to-end tests on the second machine");
        let mut log = File::open(&path).with_context(|| format!("open {}", path.display()))?;
        io::copy(&mut log, &mut io::stderr()).context("show the second machine's output")?;
        Ok(first? & second?)
    }

    /// Runs tests on a machine and, where that dies, those that had not ended on another. Whether all have passed.
    fn part(&self, name: &str, mut chosen: Chosen, log: Option<&File>) -> Result<bool> {
        let directory = target().join(name);
        let mut passed = true;
        for _ in 0..MACHINES_FOR_A_PART {
            let results = Results::in_new(&directory)?;
            let status = self.machine(&chosen, &results, log)?;
            if status != Some(i32::from(MACHINE_DIED)) {
                return Ok(passed && status == Some(0));
            }
            let ended = results.read()?;
            passed &= ended.failed.is_empty();
            chosen = chosen.without(&ended);
            progress(&format!(
                "THE NESTED MACHINE OF {name} DIED; on another one go on {} tests over machines and {} over containers",
                chosen.over_machines.len(),
                chosen.over_containers.len()
            ));
        }
        bail!("{MACHINES_FOR_A_PART} nested machines died under the tests of {name}")
    }

    /// A machine with these tests: in one boot those over machines, then those over containers. Its status.
    fn machine(
        &self,
        chosen: &Chosen,
        results: &Results,
        log: Option<&File>,
    ) -> Result<Option<i32>> {
        // It must not outlive this process, however this one ends.
        let mut machine = Command::new("setpriv");
        machine
            .args(["--pdeathsig", "KILL"])
            .arg(std::env::current_exe().context("find the running program")?)
            .arg("nested")
            .args(self.nested.then_some("--always"))
            .args(["--memory", &NESTED_MEMORY_MIB.to_string()])
            .args(["--timeout", &TIME_LIMIT_SECONDS.to_string()])
            .args(["--silence", &SILENCE_SECONDS.to_string()])
            .arg("--share")
            .arg(&results.directory)
            .arg("--copy")
            .arg(&self.dist)
            .args(["--", "sh", "-c", &self.script(chosen, results)])
            .arg(&self.binary);
        if let Some(log) = log {
            let copy = || log.try_clone().context("share the log");
            machine.stdin(Stdio::null()).stdout(copy()?).stderr(copy()?);
        }
        let status = machine.status().context("start a nested machine")?;
        Ok(status.code())
    }

    /// `$0` is the tests' binary. What fails over machines does not keep the rest from being run.
    fn script(&self, chosen: &Chosen, results: &Results) -> String {
        let run = |variables: &str, results: PathBuf, tests: &[String]| match tests.is_empty() {
            true => "true".to_owned(),
            false => {
                let tests = tests.join(" ");
                let results = results.display();
                format!(
                    "{variables} \"$0\" --test-threads=1 --nocapture --logfile '{results}' --exact {tests}"
                )
            }
        };
        format!(
            "export BULKHEAD_DIST=$NESTED_COPY {directory}={images}; {over_machines}; first=$?; {over_containers} && exit $first",
            directory = images::DIRECTORY_VARIABLE,
            images = self.images.display(),
            over_machines = run("", results.over_machines(), &chosen.over_machines),
            over_containers = run(
                "BULKHEAD_TEST_STAGE1=container",
                results.over_containers(),
                &chosen.over_containers
            ),
        )
    }
}
