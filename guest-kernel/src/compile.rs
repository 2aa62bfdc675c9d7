//! The build itself: unpack, patch, configure, verify, compile, make compact.
//!
//! The source tree lives inside the cache entry's stage only while it is compiled. Time, user, host and
//! directory do not reach the result: the same inputs give the same bytes.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{io, thread};

use crate::cache::Stage;
use crate::compact::{CompactError, compact};
use crate::fragment::{Fragment, Request};
use crate::inputs::Inputs;
use crate::patch::Outcome;
use crate::verify::{Missed, verify};

/// Lines of a failed command's output that its error shows.
const OUTPUT_TAIL_LINES: usize = 30;

/// Why configuring or compiling failed.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// A file could not be written or read.
    #[error("cannot {action} {}", path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A command could not be started.
    #[error("cannot run {command}")]
    Start {
        /// The command line.
        command: String,
        /// The cause.
        source: io::Error,
    },
    /// A command failed.
    #[error("{command} failed; the end of its output:\n{tail}")]
    Failed {
        /// The command line.
        command: String,
        /// Its last lines.
        tail: String,
    },
    /// What was compiled is not a kernel.
    #[error("the compiled vmlinux cannot be made compact")]
    Compact(#[from] CompactError),
    /// The kernel's rules turned requests into something else.
    #[error("the kernel's configuration did not take {} options:\n{}", .0.len(), lines(.0))]
    NotTaken(Vec<Missed>),
}

/// Builds `vmlinux`, `bzImage` and `config` into `stage`.
pub(crate) fn compile(
    inputs: &Inputs,
    requests: &[Request],
    stage: &Stage,
    progress: &mut dyn FnMut(&str),
) -> Result<(), CompileError> {
    let tree = stage.dir().join("tree");
    let log = stage.dir().join("log");
    fs::create_dir(&tree).map_err(failed("create", &tree))?;

    progress("unpacking the kernel source");
    run(
        Command::new("tar")
            .arg("-xf")
            .arg(&inputs.source.tarball)
            .args(["--strip-components=1", "-C"])
            .arg(&tree),
        &log,
    )?;

    for patch in &inputs.patches {
        match patch.apply(&tree) {
            Ok(Outcome::Applied) => {}
            Ok(Outcome::DoesNotFit) => progress(&format!(
                "leaving out patch {}: this kernel source does not take it; guests start slower",
                patch.name
            )),
            Err(source) => {
                return Err(CompileError::Start {
                    command: "patch".into(),
                    source,
                });
            }
        }
    }

    progress("configuring the guest kernel");
    let config = configure(&tree, &inputs.fragments, &log)?;
    let missed = verify(requests, &config);
    if !missed.is_empty() {
        return Err(CompileError::NotTaken(missed));
    }

    let jobs = thread::available_parallelism().map_or(1, usize::from);
    progress(&format!(
        "compiling the guest kernel ({} options set, {jobs} jobs)",
        crate::options_set(&config)
    ));
    run(
        make(&tree)
            .arg(format!("-j{jobs}"))
            .args(["vmlinux", "bzImage"]),
        &log,
    )?;

    progress("making the guest kernel compact");
    let elf = tree.join("vmlinux");
    let bytes = fs::read(&elf).map_err(failed("read", &elf))?;
    let vmlinux = stage.dir().join("vmlinux");
    fs::write(&vmlinux, compact(&bytes)?).map_err(failed("write", &vmlinux))?;
    copy(
        &tree.join("arch/x86/boot/bzImage"),
        &stage.dir().join("bzImage"),
    )?;
    copy(&tree.join(".config"), &stage.dir().join("config"))?;
    fs::remove_dir_all(&tree).map_err(failed("remove", &tree))?;
    fs::remove_file(&log).map_err(failed("remove", &log))
}

/// Lets Kconfig complete the fragments, with "off" wherever they are silent, and returns the result.
fn configure(tree: &Path, fragments: &[Fragment], log: &Path) -> Result<String, CompileError> {
    let wishes = tree.join("wishes.config");
    let text: String = fragments
        .iter()
        .map(|fragment| fragment.text.as_str())
        .collect();
    fs::write(&wishes, text).map_err(failed("write", &wishes))?;
    run(
        make(tree)
            .arg("allnoconfig")
            .env("KCONFIG_ALLCONFIG", &wishes),
        log,
    )?;
    let config = tree.join(".config");
    fs::read_to_string(&config).map_err(failed("read", &config))
}

fn make(tree: &Path) -> Command {
    let mut command = Command::new("make");
    command
        .arg("--silent")
        .arg("-C")
        .arg(tree)
        .env("KBUILD_BUILD_TIMESTAMP", "1970-01-01")
        .env("KBUILD_BUILD_USER", "bulkhead")
        .env("KBUILD_BUILD_HOST", "bulkhead")
        .env("KBUILD_BUILD_VERSION", "1")
        .env("LC_ALL", "C")
        // Of a make that calls us: jobs and variables there are not meant for the kernel.
        .env_remove("MAKEFLAGS")
        .env_remove("MAKELEVEL")
        .env_remove("ARCH")
        .env_remove("CROSS_COMPILE");
    command
}

fn run(command: &mut Command, log: &Path) -> Result<(), CompileError> {
    let line = command_line(command);
    let output = File::create(log).map_err(failed("create", log))?;
    let errors = output.try_clone().map_err(failed("create", log))?;
    let status = command
        .stdin(Stdio::null())
        .stdout(output)
        .stderr(errors)
        .status()
        .map_err(|source| CompileError::Start {
            command: line.clone(),
            source,
        })?;
    if status.success() {
        return Ok(());
    }
    let text = fs::read(log).map_err(failed("read", log))?;
    Err(CompileError::Failed {
        command: line,
        tail: tail(&String::from_utf8_lossy(&text)),
    })
}

fn command_line(command: &Command) -> String {
    let mut words = vec![command.get_program().to_string_lossy()];
    words.extend(command.get_args().map(|word| word.to_string_lossy()));
    words.join(" ")
}

fn tail(text: &str) -> String {
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(OUTPUT_TAIL_LINES)..].join("\n")
}

fn lines(missed: &[Missed]) -> String {
    missed
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("\n")
}

fn copy(from: &Path, to: &Path) -> Result<(), CompileError> {
    fs::copy(from, to).map(drop).map_err(failed("copy", from))
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> CompileError + use<> {
    let path = path.to_owned();
    move |source| CompileError::File {
        action,
        path,
        source,
    }
}

#[cfg(test)]
#[path = "compile_test.rs"]
mod tests;
