//! A child on its way to an app's program. Everything here runs after the fork, in the child.

use std::borrow::Cow;
use std::convert::Infallible;
use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use bulkhead_protocol::exit::CODE_EXEC_FAILED;
use bulkhead_protocol::plan::{AppName, Process, WindowSize};
use nix::sys::signal::{SigSet, SigmaskHow, sigprocmask};
use nix::unistd::execve;
use rustix::fs::{Access, FileType, Gid, Mode, OFlags, Uid, access, fchown, fstat, open};
use rustix::io::{Errno, fcntl_dupfd_cloexec};
use rustix::process::{chdir, ioctl_tiocsctty, setsid, umask};
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, unlockpt};
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};
use rustix::termios::{Winsize, isatty, tcsetwinsize};
use rustix::thread::{
    LinkNameSpaceType, move_into_link_name_space, set_no_new_privs, set_thread_groups,
    set_thread_res_gid, set_thread_res_uid,
};

use crate::accounts::{self, AccountError, Ids};
use crate::clock::monotonic_ns;
use crate::confine;
use crate::export;
use crate::listeners;
use crate::program::{self, ProgramError};
use crate::reason::reason;
use crate::report::Reporter;
use crate::root::{Root, RootError};
use crate::sys;

/// What a child needs.
#[derive(Debug)]
pub struct Launch<'a> {
    /// Of the process, for messages.
    pub app: &'a AppName,
    /// What to run.
    pub process: &'a Process,
    /// Variables that the agent alone knows, in place of any of these names in the process's own environment.
    pub variables: &'a [(&'static str, String)],
    /// Where.
    pub place: Place<'a>,
    /// Its standard streams.
    pub stdio: ChildStdio<'a>,
    /// To the agent.
    pub reporter: Reporter,
    /// Whether it is the export of the app, and no program.
    pub exports: bool,
    /// Sockets that it listens on.
    pub listeners: Vec<&'a OwnedFd>,
}

/// Where a process runs.
#[derive(Debug)]
pub enum Place<'a> {
    /// In a root that it makes itself: it has a mount namespace of its own already.
    Make(Root<'a>),
    /// In the mount namespace of an app that runs.
    Join(&'a OwnedFd),
}

/// The child's ends of its standard streams.
#[derive(Debug)]
pub enum ChildStdio<'a> {
    /// Input, output, errors.
    Pipes([&'a OwnedFd; 3]),
    /// A terminal of the app, to be opened.
    Terminal(WindowSize),
}

#[derive(Debug, thiserror::Error)]
#[error("cannot prepare app {app}")]
struct CannotPrepare {
    app: AppName,
    source: RootError,
}

#[derive(Debug, thiserror::Error)]
#[error("cannot run {program:?} in app {app}")]
struct CannotRun {
    app: AppName,
    program: String,
    source: StartError,
}

/// Why a process does not run although its app's root is there.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The user or group.
    #[error(transparent)]
    Account(#[from] AccountError),
    /// The working directory.
    #[error("working directory {path:?}")]
    WorkingDirectory {
        /// In the app's root.
        path: String,
        /// Why.
        source: Errno,
    },
    /// The terminal.
    #[error("open a terminal ({step})")]
    Terminal {
        /// What was tried.
        step: &'static str,
        /// Why.
        source: Errno,
    },
    /// A property of the process.
    #[error("{step}")]
    Set {
        /// What was tried.
        step: &'static str,
        /// Why.
        source: Errno,
    },
    /// The program.
    #[error(transparent)]
    Program(#[from] ProgramError),
}

impl Launch<'_> {
    /// Runs the program in place of this process. Comes back only when that fails, after a report, or when the export is done, with
    /// the code to end with.
    pub fn run(mut self) -> u8 {
        umask(Mode::empty());
        // In the agent's root, whose /proc no image or volume can cover.
        let oom = confine::prefer_in_oom(self.process);
        if let Err(source) = self.enter() {
            let error = CannotPrepare {
                app: self.app.clone(),
                source,
            };
            self.reporter.root_failed(&reason(&error));
            return CODE_EXEC_FAILED;
        }
        let prepared = self.prepare(oom).and_then(|()| self.hand_over());
        let executed = prepared.and_then(|()| match self.exports {
            true => Ok(()),
            false => self.execute().map(|never| match never {}),
        });
        let Err(source) = executed else {
            self.reporter.exec(monotonic_ns());
            // The reporter's end says that the export is under way.
            let ended = sys::end_with_standard_streams(export::run);
            return ended.map_or(CODE_EXEC_FAILED, |never| match never {});
        };
        let program = self
            .process
            .arguments
            .first()
            .map_or("", |program| program.as_str());
        let error = CannotRun {
            app: self.app.clone(),
            program: program.to_owned(),
            source,
        };
        self.reporter.failed(&reason(&error));
        CODE_EXEC_FAILED
    }

    fn enter(&self) -> Result<(), RootError> {
        match &self.place {
            Place::Make(root) => root.enter(),
            Place::Join(namespace) => {
                move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Mount))
                    .map_err(|source| RootError::Change {
                        step: "setns",
                        source,
                    })
            }
        }
    }

    fn prepare(&self, oom: io::Result<()>) -> Result<(), StartError> {
        let set = |step| move |source| StartError::Set { step, source };
        oom.map_err(errno)
            .map_err(set("adjust the out-of-memory score"))?;
        let process = self.process;
        let ids = accounts::resolve(Path::new("/"), &process.user, &process.group)?;
        setsid().map_err(set("begin a session"))?;
        match self.stdio {
            ChildStdio::Pipes(ends) => {
                ends.iter()
                    .try_for_each(|end| give(end, ids))
                    .map_err(set("hand over a stream"))?;
                use_streams(ends).map_err(set("take the streams"))?;
            }
            ChildStdio::Terminal(size) => self.open_terminal(size, ids)?,
        }
        chdir(process.working_directory.as_str()).map_err(|source| {
            StartError::WorkingDirectory {
                path: process.working_directory.as_str().to_owned(),
                source,
            }
        })?;
        confine::limit_resources(&process.rlimits).map_err(set("limit resources"))?;
        confine::bound_capabilities(process.capabilities).map_err(set("bound the capabilities"))?;
        become_user(ids, process)?;
        umask(Mode::WGRP | Mode::WOTH);
        sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)
            .map_err(|errno| Errno::from_raw_os_error(errno as i32))
            .map_err(set("let signals in"))?;
        sys::close_others_on_exec()
            .map_err(|_| Errno::INVAL)
            .map_err(set("close other descriptors"))?;
        if process.no_new_privileges {
            set_no_new_privs(true).map_err(set("forbid new privileges"))?;
        }
        Ok(())
    }

    /// Puts the sockets where the program looks for them (sd_listen_fds(3)). After the last use of any other descriptor.
    fn hand_over(&mut self) -> Result<(), StartError> {
        let set = |source| StartError::Set {
            step: "hand over a listening socket",
            source,
        };
        let count = i32::try_from(self.listeners.len()).unwrap_or(i32::MAX);
        let end = listeners::FIRST.saturating_add(count);
        self.reporter.move_to(end).map_err(set)?;
        let sockets = self.listeners.iter();
        let moved: Result<Vec<OwnedFd>, Errno> = sockets
            .map(|socket| fcntl_dupfd_cloexec(socket, end))
            .collect();
        for (number, socket) in (listeners::FIRST..).zip(moved.map_err(set)?) {
            sys::give(socket.as_fd(), number).map_err(|error| set(errno(error)))?;
        }
        Ok(())
    }

    fn open_terminal(&self, size: WindowSize, ids: Ids) -> Result<(), StartError> {
        let failed = |step| move |source| StartError::Terminal { step, source };
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let master =
            open("/dev/pts/ptmx", flags, Mode::empty()).map_err(failed("/dev/pts/ptmx"))?;
        unlockpt(&master).map_err(failed("unlock"))?;
        let slave = ioctl_tiocgptpeer(&master, OpenptFlags::RDWR | OpenptFlags::NOCTTY)
            .map_err(failed("the process's side"))?;
        tcsetwinsize(&master, window(size)).map_err(failed("set its size"))?;
        give(&slave, ids).map_err(failed("hand over"))?;
        ioctl_tiocsctty(&slave).map_err(failed("control"))?;
        use_streams([&slave; 3]).map_err(failed("take the streams"))?;
        self.reporter.terminal(&master).map_err(failed("pass on"))
    }

    fn environment(&self) -> Vec<Cow<'_, str>> {
        let name = |text: &str| {
            text.split_once('=')
                .map_or(text.len(), |(name, _)| name.len())
        };
        let is_ours = |text: &str| {
            let mut ours = self.variables.iter();
            ours.any(|(ours, _)| text[..name(text)] == **ours)
        };
        let own = self.process.environment.iter().map(|text| text.as_str());
        let own = own.filter(|text| !is_ours(text)).map(Cow::Borrowed);
        let ours = self.variables.iter();
        own.chain(ours.map(|(name, value)| Cow::Owned(format!("{name}={value}"))))
            .chain((!self.listeners.is_empty()).then(listeners::own_number))
            .collect()
    }

    fn execute(&self) -> Result<Infallible, StartError> {
        let texts = self.environment();
        let texts: Vec<&str> = texts.iter().map(|text| &**text).collect();
        let environment = c_strings(&texts);
        let arguments: Vec<&str> = self
            .process
            .arguments
            .iter()
            .map(|text| text.as_str())
            .collect();
        let program = *arguments.first().unwrap_or(&"");
        let arguments = c_strings(&arguments);
        let mut denied = None;
        let mut filter = self.process.seccomp.as_deref();
        for candidate in program::candidates(program, &texts) {
            let errno = match can_be_run(&candidate) {
                Ok(()) => {
                    self.reporter.exec(monotonic_ns());
                    install(filter.take())?;
                    execute_file(&candidate, &arguments, &environment)
                }
                Err(errno) => errno,
            };
            match program::explain(&candidate, errno) {
                ProgramError::Refused {
                    errno: Errno::NOENT | Errno::NOTDIR,
                } => {}
                // Another directory may have one that can be run, as in any shell.
                error @ ProgramError::Refused {
                    errno: Errno::ACCESS,
                } => denied = Some(error),
                error => return Err(error.into()),
            }
        }
        let missing = if program.contains('/') {
            ProgramError::Refused {
                errno: Errno::NOENT,
            }
        } else {
            ProgramError::NotInPath {
                path: program::search_path(&texts).to_owned(),
            }
        };
        Err(denied.unwrap_or(missing).into())
    }
}

/// Asked before the filter is there, so that the usual reasons why a program cannot be run are told under any filter.
fn can_be_run(path: &Path) -> Result<(), Errno> {
    access(path, Access::EXISTS)?;
    access(path, Access::EXEC_OK)
}

/// The last step: from here on every call of this process is the filter's to judge.
fn install(filter: Option<&[u8]>) -> Result<(), StartError> {
    let Some(filter) = filter else { return Ok(()) };
    sys::install_filter(filter)
        .map_err(errno)
        .map_err(|source| StartError::Set {
            step: "install the system call filter",
            source,
        })
}

fn execute_file(path: &Path, arguments: &[CString], environment: &[CString]) -> Errno {
    let Ok(name) = CString::new(path.as_os_str().as_encoded_bytes()) else {
        return Errno::NOENT;
    };
    let Err(errno) = execve(&name, arguments, environment);
    Errno::from_raw_os_error(errno as i32)
}

fn errno(error: io::Error) -> Errno {
    Errno::from_io_error(&error).unwrap_or(Errno::INVAL)
}

fn become_user(ids: Ids, process: &Process) -> Result<(), StartError> {
    let set = |step| move |source| StartError::Set { step, source };
    let groups = process.groups.iter().map(|&gid| Gid::from_raw(gid));
    let groups: Vec<Gid> = groups.collect();
    let (uid, gid) = (Uid::from_raw(ids.uid), Gid::from_raw(ids.gid));
    let keeps = process.seccomp.is_some() && !uid.is_root();
    set_thread_groups(&groups).map_err(set("set supplementary groups"))?;
    set_thread_res_gid(gid, gid, gid).map_err(set("change the group"))?;
    if keeps {
        confine::keep_over_change_of_user().map_err(set("keep capabilities"))?;
    }
    set_thread_res_uid(uid, uid, uid).map_err(set("change the user"))?;
    if keeps {
        confine::keep_only_for_filter().map_err(set("give capabilities up"))?;
    }
    Ok(())
}

/// So that a program of another user can open `/dev/stdout` again, which is its maker's.
fn give(descriptor: &OwnedFd, ids: Ids) -> Result<(), Errno> {
    let kind = FileType::from_raw_mode(fstat(descriptor)?.st_mode);
    let is_terminal = || isatty(descriptor);
    // The null device is everybody's.
    if ids.uid != 0 && (kind == FileType::Fifo || is_terminal()) {
        fchown(descriptor, Some(Uid::from_raw(ids.uid)), None)?;
    }
    Ok(())
}

fn use_streams([input, output, errors]: [&OwnedFd; 3]) -> Result<(), Errno> {
    dup2_stdin(input)?;
    dup2_stdout(output)?;
    dup2_stderr(errors)
}

/// A terminal's size in the kernel's terms.
pub fn window(size: WindowSize) -> Winsize {
    Winsize {
        ws_row: size.rows,
        ws_col: size.columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    }
}

fn c_strings(texts: &[&str]) -> Vec<CString> {
    // Protocol texts have no NUL.
    texts
        .iter()
        .filter_map(|text| CString::new(*text).ok())
        .collect()
}
