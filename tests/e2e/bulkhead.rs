//! Calls of the `bulkhead` command that read as sentences, and what came of them.

mod words;

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

pub(crate) use crate::finished::Finished;

/// Longest run of one call: a pod boots in seconds on a software processor, and the largest image
/// takes a minute to convert there; a busy host takes several times as long. Past it the call is
/// killed and the test fails.
const TIME_LIMIT: Duration = Duration::from_secs(900);

/// Set to `1`: every pod runs with `--debug`, to see more when a test fails.
const DEBUG_VARIABLE: &str = "BULKHEAD_TEST_DEBUG";

/// Names the stage1 image of all pods; without it, it is the one whose pods have machines.
pub(crate) const STAGE1_VARIABLE: &str = "BULKHEAD_TEST_STAGE1";

/// The tree that `cargo xtask stage1` makes.
pub(crate) fn dist() -> PathBuf {
    std::env::var_os("BULKHEAD_DIST").map_or_else(
        || panic!("BULKHEAD_DIST is not set: start the end-to-end tests by `cargo xtask test`"),
        PathBuf::from,
    )
}

/// The stage1 image of the tree whose pods have machines.
pub(crate) fn stage1() -> PathBuf {
    dist().join("lib/bulkhead/stage1/kvm")
}

/// Whether the pods of this run have machines of their own.
pub(crate) fn has_machines() -> bool {
    std::env::var_os(STAGE1_VARIABLE).is_none()
}

/// The data directory that tests share, so that each image is converted once.
pub(crate) fn data() -> &'static Path {
    static DATA: OnceLock<tempfile::TempDir> = OnceLock::new();
    DATA.get_or_init(|| data_directory("bulkhead-e2e-")).path()
}

/// A data directory of its own, for a test that looks at what is left in it.
pub(crate) fn own_data() -> tempfile::TempDir {
    data_directory("bulkhead-e2e-own-")
}

fn data_directory(prefix: &str) -> tempfile::TempDir {
    tempfile::Builder::new()
        .prefix(prefix)
        .tempdir_in("/var/tmp")
        .expect("a directory in /var/tmp")
}

/// A call with these words.
pub(crate) fn bulkhead<const N: usize>(words: [&str; N]) -> Call {
    Call::new(words.map(OsString::from).to_vec())
}

/// A pod of one app; [`Call::app`] adds more.
pub(crate) fn pod(image: &Path) -> Call {
    let mut call = Call::new(Vec::new());
    call.data = Some(data().to_owned());
    call.app(image)
}

/// The digits of an image's id in the store of `data`, where a pod of it has run then: for manifests of pods.
pub(crate) fn image_id(image: &Path, data: &Path) -> String {
    let uuid = data.join("uuid");
    pod(image)
        .data(data)
        .pod_flag(format!("--uuid-file-save={}", uuid.display()))
        .exec("/bin/true")
        .run()
        .exits(0);
    let uuid = fs::read_to_string(uuid).expect("the UUID");
    let made = data.join("pods/run").join(uuid.trim()).join("pod");
    let made = fs::read_to_string(made).expect("the pod's manifest");
    let digits = made.split("sha512-").nth(1).expect("an image id");
    digits[..128].to_owned()
}

/// A call that is being put together.
pub(crate) struct Call {
    words: Vec<OsString>,
    data: Option<PathBuf>,
    pod_flags: Vec<OsString>,
    apps: Vec<App>,
    input: Vec<u8>,
    variables: Vec<(String, String)>,
    prefix: Vec<OsString>,
    program: PathBuf,
    directory: Option<PathBuf>,
    takes_unsigned: bool,
}

struct App {
    image: OsString,
    flags: Vec<OsString>,
    arguments: Vec<OsString>,
}

impl Call {
    /// With these words and no others.
    pub(crate) fn of(words: &[&str]) -> Self {
        Self::new(words.iter().map(OsString::from).collect())
    }

    fn new(words: Vec<OsString>) -> Self {
        Self {
            words,
            data: None,
            pod_flags: Vec::new(),
            apps: Vec::new(),
            input: Vec::new(),
            variables: Vec::new(),
            prefix: Vec::new(),
            program: dist().join("bin/bulkhead"),
            directory: None,
            takes_unsigned: true,
        }
    }

    /// Of another program than ours, with this working directory.
    pub(crate) fn to(mut self, program: impl Into<PathBuf>, directory: &Path) -> Self {
        self.program = program.into();
        self.directory = Some(directory.to_owned());
        self
    }

    /// Another program runs the call: these words stand before it.
    pub(crate) fn under<const N: usize>(mut self, words: [&str; N]) -> Self {
        self.prefix = words.map(OsString::from).to_vec();
        self
    }

    /// Adds an app to the pod; the app methods below are about the last one.
    pub(crate) fn app(mut self, image: impl AsRef<OsStr>) -> Self {
        self.apps.push(App {
            image: image.as_ref().to_owned(),
            flags: Vec::new(),
            arguments: Vec::new(),
        });
        self
    }

    /// A flag of the pod, or of the whole call.
    pub(crate) fn pod_flag(mut self, flag: impl Into<OsString>) -> Self {
        self.pod_flags.push(flag.into());
        self
    }

    /// A flag of the app.
    pub(crate) fn flag(mut self, flag: impl Into<OsString>) -> Self {
        self.last_app().flags.push(flag.into());
        self
    }

    /// The app's name.
    pub(crate) fn name(self, name: &str) -> Self {
        self.flag(format!("--name={name}"))
    }

    /// The app's program.
    pub(crate) fn exec(self, program: &str) -> Self {
        self.flag(format!("--exec={program}"))
    }

    /// Arguments of the app's program.
    pub(crate) fn args<const N: usize>(mut self, arguments: [&str; N]) -> Self {
        self.last_app()
            .arguments
            .extend(arguments.map(OsString::from));
        self
    }

    /// The app runs a shell script.
    pub(crate) fn shell(self, script: &str) -> Self {
        self.exec("/bin/sh").args(["-c", script])
    }

    fn last_app(&mut self) -> &mut App {
        self.apps
            .last_mut()
            .expect("a pod has an app before its flags")
    }

    /// Images and pods are kept here.
    pub(crate) fn data(mut self, directory: &Path) -> Self {
        self.data = Some(directory.to_owned());
        self
    }

    /// Takes only signed images; those of other tests are not signed.
    pub(crate) fn strict(mut self) -> Self {
        self.takes_unsigned = false;
        self
    }

    /// Standard input; without this it is empty.
    pub(crate) fn input(mut self, input: impl Into<Vec<u8>>) -> Self {
        self.input = input.into();
        self
    }

    /// A variable of the caller's own environment.
    pub(crate) fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Starts the call and goes on while it runs.
    pub(crate) fn start(self) -> Running {
        self.start_on([Stdio::piped(), Stdio::piped(), Stdio::piped()])
    }

    /// The same with these streams: of one that is no pipe nothing is seen.
    pub(crate) fn start_on(self, [stdin, stdout, stderr]: [Stdio; 3]) -> Running {
        let words = self.all_words();
        let mut program = self.prefix.clone();
        program.push(self.program.into());
        let mut command = Command::new(&program[0]);
        if let Some(directory) = &self.directory {
            command.current_dir(directory);
        }
        let mut child = command
            .args(&program[1..])
            .args(&words)
            .envs(self.variables)
            .stdin(stdin)
            .stdout(stdout)
            .stderr(stderr)
            .spawn()
            .expect("bulkhead starts");
        let input = self.input;
        // The pod need not read its input: a broken pipe is for the test to judge by the output.
        if let Some(mut stdin) = child.stdin.take() {
            std::thread::spawn(move || stdin.write_all(&input));
        }
        let (lines, stdout_lines) = mpsc::channel();
        let stdout = child.stdout.take();
        let stderr = child.stderr.take();
        Running {
            pid: Pid::from_raw(child.id().try_into().expect("process ids fit")),
            words,
            child: Called(child),
            stdout: std::thread::spawn(move || {
                let mut all = Vec::new();
                let Some(stdout) = stdout else { return all };
                let mut stdout = BufReader::new(stdout);
                loop {
                    let start = all.len();
                    if stdout.read_until(b'\n', &mut all).unwrap_or(0) == 0 {
                        return all;
                    }
                    // The test may wait for no line, or have ended.
                    let _ = lines.send(all[start..].to_vec());
                }
            }),
            stdout_lines,
            stderr: std::thread::spawn(move || {
                let mut all = Vec::new();
                // What was read until an error is what there is to show.
                let _ = stderr.map(|mut stderr| stderr.read_to_end(&mut all));
                all
            }),
        }
    }

    /// Runs the call to its end.
    pub(crate) fn run(self) -> Finished {
        self.start().finish()
    }
}

/// A process that does not outlive its test, so that one that fails leaves nothing for the next ones to find.
struct Called(Child);

impl Drop for Called {
    fn drop(&mut self) {
        // Of one that was waited for nothing is left to kill.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A call that runs.
pub(crate) struct Running {
    pub(crate) pid: Pid,
    words: Vec<OsString>,
    child: Called,
    stdout: JoinHandle<Vec<u8>>,
    stdout_lines: Receiver<Vec<u8>>,
    stderr: JoinHandle<Vec<u8>>,
}

impl Running {
    /// Waits until a line of standard output contains this text.
    pub(crate) fn wait_for(self, text: &str) -> Self {
        let limit = Instant::now() + TIME_LIMIT;
        loop {
            let left = limit.saturating_duration_since(Instant::now());
            match self.stdout_lines.recv_timeout(left) {
                Ok(line) if String::from_utf8_lossy(&line).contains(text) => return self,
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    let finished = self.kill();
                    finished.fail(&format!("no line of standard output contains {text:?}"));
                }
            }
        }
    }

    /// Sends a signal to the process that was called.
    pub(crate) fn signal(self, signal: Signal) -> Self {
        kill(self.pid, signal).expect("the call still runs");
        self
    }

    /// Ends the call by force.
    fn kill(mut self) -> Finished {
        // It may have ended already.
        let _ = self.child.0.kill();
        self.finish()
    }

    /// Waits for the end, at most for [`TIME_LIMIT`].
    pub(crate) fn finish(mut self) -> Finished {
        let limit = Instant::now() + TIME_LIMIT;
        let mut late = false;
        let status = loop {
            if let Some(status) = self.child.0.try_wait().expect("waiting for a child works") {
                break status;
            }
            if Instant::now() > limit && !late {
                late = true;
                // It may end by itself right now.
                let _ = self.child.0.kill();
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        let finished = Finished {
            words: self.words,
            status,
            stdout: self.stdout.join().expect("the reader of stdout ends"),
            stderr: self.stderr.join().expect("the reader of stderr ends"),
        };
        if late {
            finished.fail(&format!("did not end within {TIME_LIMIT:?}"));
        }
        finished
    }
}

/// The exit status that an app of a finished pod left, by the file that `--uuid-file-save` made.
pub(crate) fn app_status(data: &Path, uuid_file: &Path, app: &str) -> String {
    let uuid = fs::read_to_string(uuid_file).expect("the file with the UUID");
    let status = data
        .join("pods/run")
        .join(uuid.trim())
        .join("stage1/rootfs/rkt/status")
        .join(app);
    let text = fs::read_to_string(&status)
        .unwrap_or_else(|error| panic!("read {}: {error}", status.display()));
    text.trim().to_owned()
}
