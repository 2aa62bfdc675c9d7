//! From the host's `Start` to a running program.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use bulkhead_protocol::agent::{FromAgent, MAX_PROCESSES, Stream};
use bulkhead_protocol::exit::{CODE_EXEC_FAILED, Exit};
use bulkhead_protocol::plan::{Process, ProcessId, Stdio, WindowSize};
use rustix::event::epoll::EventFlags;
use rustix::fs::{Mode, OFlags, open};
use rustix::io::{fcntl_dupfd_cloexec, ioctl_fionbio};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::Pid;
use rustix::termios::tcsetwinsize;

use super::Agent;
use super::connections::of_program;
use super::damage;
use crate::cgroup::Cgroup;
use crate::clock::monotonic_ns;
use crate::launch::{ChildStdio, Launch, Place, window};
use crate::listeners;
use crate::notify::{self, NotifySocket};
use crate::pod::{PrepareError, RootState};
use crate::poller::{Poller, Token};
use crate::process::{Entry, InputEnd, State};
use crate::reason::{Reason, reason};
use crate::report::{self, Next, Report, Reports};
use crate::root::Root;
use crate::setup::Kernel;
use crate::sys;

/// A process that the agent cannot even begin.
#[derive(Debug, thiserror::Error)]
enum BeginError {
    #[error(transparent)]
    Prepare(#[from] PrepareError),
    #[error("{what} for a process in app {app}")]
    System {
        what: &'static str,
        app: String,
        source: io::Error,
    },
}

/// Standard streams of a process that begins: the child's ends and ours.
struct Pipes {
    theirs: [OwnedFd; 3],
    /// None when the agent has them from a program before.
    ours: Option<OurEnds>,
}

struct OurEnds {
    input: Option<OwnedFd>,
    outputs: [OwnedFd; 2],
}

impl Agent {
    /// Begins a process. One that the host has started already, on a connection that was lost, is not started again.
    pub(super) fn start(&mut self, process: Process) {
        let id = process.id;
        if self.processes.contains_key(&id) {
            return;
        }
        self.forget_ended();
        let app = self.pod.as_ref().and_then(|pod| pod.find(&process.app));
        let refusal = self.refusal(&process, app);
        self.processes.insert(id, Entry::new(app, process));
        match refusal {
            Some(text) => self.refuse(id, Reason::truncated(&text)),
            None => self.begin_if_possible(id),
        }
    }

    fn refusal(&self, process: &Process, app: Option<usize>) -> Option<String> {
        let name = &process.app;
        let alive = self
            .processes
            .values()
            .filter(|entry| !(entry.is_ended() || entry.is_connection()))
            .count();
        if app.is_none() {
            Some(format!("the pod has no app {name}"))
        } else if process
            .arguments
            .first()
            .is_none_or(|program| program.is_empty())
        {
            Some(format!("a process in app {name} names no program"))
        } else if matches!(process.stdio, Stdio::Terminal { .. })
            && !(process.pre_start.is_empty() && process.post_stop.is_empty())
        {
            Some(format!(
                "a process in app {name} has handlers and a terminal"
            ))
        } else if alive >= MAX_PROCESSES {
            Some(format!("{MAX_PROCESSES} processes of the pod run already"))
        } else if self.is_ending() {
            Some(format!(
                "cannot run {:?} in app {name}: the pod is being stopped",
                process.arguments[0]
            ))
        } else {
            None
        }
    }

    /// It, or what was to follow in it, will not run.
    fn refuse(&mut self, id: ProcessId, reason: Reason) {
        if self
            .processes
            .get(&id)
            .is_some_and(|entry| !entry.is_started)
        {
            self.end_outputs(id);
        }
        self.ended_as(id, Exit::Code(CODE_EXEC_FAILED), Some(reason));
    }

    /// Begins a waiting process, unless its app's root is being made.
    pub(super) fn begin_if_possible(&mut self, id: ProcessId) {
        let Some(entry) = self.processes.get_mut(&id) else {
            return;
        };
        let (State::Waiting(process), Some(app)) = (&entry.state, entry.app) else {
            return;
        };
        let process = process.clone();
        let Some(pod) = &self.pod else { return };
        match pod.root(app) {
            RootState::Preparing { .. } => {}
            RootState::Failed(reason) => {
                let reason = reason.clone();
                self.refuse(id, reason);
            }
            RootState::Missing | RootState::Ready(_) => {
                if let Err(error) = self.begin(app, &process) {
                    self.refuse(id, reason(&error));
                }
            }
        }
    }

    fn begin(&mut self, app: usize, process: &Process) -> Result<(), BeginError> {
        let failed = |what| {
            let app = process.app.to_string();
            move |source: io::Error| BeginError::System { what, app, source }
        };
        let (Some(pod), Some(entry)) = (&mut self.pod, self.processes.get_mut(&process.id)) else {
            return Ok(());
        };
        let devices = pod.prepare(app, &self.machine)?;
        damage::listen(&mut self.damage, &self.machine, &self.poller)
            .map_err(failed("listen for damage of its image"))?;
        let mut variables = Vec::new();
        if process.says_ready {
            let socket = listen_to(process.id, &self.poller);
            let socket = socket.map_err(failed("make the socket of its readiness"))?;
            variables.push((notify::VARIABLE, socket.address().to_owned()));
            entry.notify = Some(socket);
        }
        let sockets = of_program(&self.listeners, process);
        if !sockets.is_empty() {
            variables.extend(listeners::variables(&pod.names_of(process)));
        }
        let pipes = pipes_of(entry, process.stdio).map_err(failed("make pipes"))?;
        let (reporter, reports) =
            report::pair().map_err(|errno| failed("make a socket pair")(errno.into()))?;
        let plan = pod.app(app);
        let (place, makes_root) = match pod.root(app) {
            RootState::Ready(namespace) => (Place::Join(namespace), false),
            _ => (
                Place::Make(Root {
                    base: &self.machine.base,
                    image: &plan.image,
                    layers: &devices.layers,
                    scratch: &devices.scratch,
                    read_only: plan.read_only_root,
                    mounts: &plan.mounts,
                    empty_volumes: pod.empty_volumes(),
                    volume_scratch: devices.volume_scratch.as_deref(),
                    fills: &devices.fills,
                    disks: &devices.disks,
                    has_shares: self.machine.kernel == Kernel::Shared,
                    cgroup: pod.cgroup(app).map(Cgroup::directory),
                    masked: &plan.masked_paths,
                    closed: &plan.read_only_paths,
                    is_provided: !plan.exported,
                }),
                true,
            ),
        };
        let launch = Launch {
            app: &process.app,
            process,
            variables: &variables,
            place,
            stdio: streams_of(&pipes, process.stdio),
            reporter,
            exports: plan.exported,
            listeners: sockets,
        };
        let cgroup = pod.cgroup(app).map(|cgroup| cgroup.directory().as_fd());
        let pid = sys::spawn(makes_root, cgroup, || launch.run()).map_err(failed("clone3"))?;
        if makes_root {
            pod.root_begun(app, process.id, pid);
        }
        self.watch(process.id, pid, reports, pipes)
            .map_err(failed("watch pipes"))
    }

    fn watch(
        &mut self,
        id: ProcessId,
        pid: Pid,
        reports: Reports,
        pipes: Option<Pipes>,
    ) -> io::Result<()> {
        let Some(entry) = self.processes.get_mut(&id) else {
            return Ok(());
        };
        self.poller
            .add(&reports, Token::Reports(id), EventFlags::IN)?;
        entry.state = State::Starting {
            pid,
            reports,
            failure: None,
        };
        let ours = pipes.and_then(|pipes| pipes.ours);
        if let Some(OurEnds {
            input,
            outputs: [stdout, stderr],
        }) = ours
        {
            if let Some(input) = input {
                self.attach_input(id, input)?;
            }
            self.attach_output(id, Stream::Stdout, stdout)?;
            self.attach_output(id, Stream::Stderr, stderr)?;
        }
        Ok(())
    }

    /// Takes what a child on its way has to say.
    pub(super) fn take_reports(&mut self, id: ProcessId) {
        while let Some(Entry {
            state: State::Starting { reports, .. },
            ..
        }) = self.processes.get(&id)
        {
            match reports.next() {
                Next::Later => return,
                Next::Report(report) => self.take_report(id, report),
                Next::End => {
                    self.poller.remove(reports);
                    self.is_underway(id);
                    return;
                }
            }
        }
    }

    fn take_report(&mut self, id: ProcessId, report: Report) {
        let Some(entry) = self.processes.get_mut(&id) else {
            return;
        };
        let app = entry.app;
        match report {
            Report::Terminal(master) => {
                if self.attach_terminal(id, master).is_err() {
                    // Without it the program is cut off; the hang-up tells it so.
                    self.end_outputs(id);
                }
            }
            Report::Exec { ns } => {
                entry.exec_ns.get_or_insert(ns);
                self.root_is_ready(app);
            }
            Report::Failed(reason) => {
                note_failure(entry, reason);
                self.root_is_ready(app);
            }
            Report::RootFailed(reason) => {
                note_failure(entry, reason.clone());
                if let (Some(pod), Some(app)) = (&mut self.pod, app) {
                    pod.root_failed(app, reason);
                }
                self.begin_waiting(app);
            }
        }
    }

    /// The child has closed its end: it runs its program, or it failed and ends.
    fn is_underway(&mut self, id: ProcessId) {
        let Some(entry) = self.processes.get_mut(&id) else {
            return;
        };
        let State::Starting {
            pid, failure: None, ..
        } = entry.state
        else {
            return;
        };
        let Some(exec_ns) = entry.exec_ns else { return };
        entry.state = State::Running { pid };
        if !std::mem::replace(&mut entry.is_started, true) {
            self.late_devices.program_started(monotonic_ns());
            self.send(&FromAgent::Started {
                process: id,
                exec_ns,
                sent_ns: monotonic_ns(),
            });
            self.tell_that_it_is_ready(id);
        }
    }

    fn root_is_ready(&mut self, app: Option<usize>) {
        if let (Some(pod), Some(index)) = (&mut self.pod, app) {
            pod.root_ready(index);
        }
        self.begin_waiting(app);
    }

    /// Processes of an app that waited for its root.
    pub(super) fn begin_waiting(&mut self, app: Option<usize>) {
        let is_waiting =
            |entry: &Entry| entry.app == app && matches!(entry.state, State::Waiting(_));
        let entries = self.processes.iter();
        let waiting: Vec<ProcessId> = entries
            .filter(|(_, entry)| is_waiting(entry))
            .map(|(id, _)| *id)
            .collect();
        for id in waiting {
            self.begin_if_possible(id);
        }
    }

    fn attach_terminal(&mut self, id: ProcessId, master: OwnedFd) -> io::Result<()> {
        ioctl_fionbio(&master, true)?;
        if let Some(size) = self.processes.get(&id).and_then(|entry| entry.terminal) {
            tcsetwinsize(&master, window(size))?;
        }
        let input = fcntl_dupfd_cloexec(&master, 0)?;
        self.attach_input(id, input)?;
        self.attach_output(id, Stream::Stdout, master)
    }

    /// A terminal has a new size. It may not be there yet: then it gets it when it comes.
    pub(super) fn resize(&mut self, id: ProcessId, size: WindowSize) {
        let Some(entry) = self.processes.get_mut(&id) else {
            return;
        };
        if entry.terminal.is_none() {
            return;
        }
        entry.terminal = Some(size);
        if let InputEnd::Open(master) = &entry.input.end {
            // A terminal that is gone has no size.
            let _ = tcsetwinsize(master, window(size));
        }
    }
}

/// Where the process says that it is ready.
fn listen_to(id: ProcessId, poller: &Poller) -> io::Result<NotifySocket> {
    let socket = NotifySocket::open()?;
    poller.add(&socket, Token::Notify(id), EventFlags::IN)?;
    Ok(socket)
}

fn note_failure(entry: &mut Entry, reason: Reason) {
    if let State::Starting { failure, .. } = &mut entry.state {
        *failure = Some(reason);
    }
}

/// What the program finds, and the agent keeps: made for the first program, and left to those behind it.
fn pipes_of(entry: &mut Entry, stdio: Stdio) -> io::Result<Option<Pipes>> {
    let Some(handlers) = &mut entry.handlers else {
        return make_pipes(stdio);
    };
    let mut pipes = match handlers.take_streams()? {
        Some(theirs) => Some(Pipes { theirs, ours: None }),
        None => make_pipes(stdio)?,
    };
    if let Some(pipes) = &mut pipes {
        handlers.keep_streams(&mut pipes.theirs)?;
    }
    Ok(pipes)
}

/// The child's ends.
fn streams_of(pipes: &Option<Pipes>, stdio: Stdio) -> ChildStdio<'_> {
    match (pipes, stdio) {
        (_, Stdio::Terminal { size }) => ChildStdio::Terminal(size),
        (
            Some(Pipes {
                theirs: [input, output, errors],
                ..
            }),
            Stdio::Pipes { .. },
        ) => ChildStdio::Pipes([input, output, errors]),
        (None, Stdio::Pipes { .. }) => unreachable!("make_pipes makes them for this kind"),
    }
}

/// None for a terminal: the child opens that in its app's root.
fn make_pipes(stdio: Stdio) -> io::Result<Option<Pipes>> {
    let Stdio::Pipes { stdin } = stdio else {
        return Ok(None);
    };
    let (input, their_input) = if stdin {
        let (theirs, ours) = pipe_with(PipeFlags::CLOEXEC)?;
        ioctl_fionbio(&ours, true)?;
        (Some(ours), theirs)
    } else {
        let null = PathBuf::from("/dev/null");
        (
            None,
            open(&null, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?,
        )
    };
    let (stdout, their_stdout) = pipe_with(PipeFlags::CLOEXEC)?;
    let (stderr, their_stderr) = pipe_with(PipeFlags::CLOEXEC)?;
    ioctl_fionbio(&stdout, true)?;
    ioctl_fionbio(&stderr, true)?;
    Ok(Some(Pipes {
        theirs: [their_input, their_stdout, their_stderr],
        ours: Some(OurEnds {
            input,
            outputs: [stdout, stderr],
        }),
    }))
}
