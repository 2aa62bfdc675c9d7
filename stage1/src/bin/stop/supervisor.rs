//! The process that is the pod, found by the file `pid` and known by the pod's lock.

use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// Longest file `pid`: a number.
const PID_BYTES_MAX: u64 = 16;

/// Between two looks at a pod that is just starting, which takes a fraction of a second.
const PAUSE: Duration = Duration::from_millis(10);

/// A pod's supervisor, by a descriptor that is no other process's ever.
pub(crate) struct Supervisor {
    pid: Pid,
    pidfd: OwnedFd,
}

impl Supervisor {
    /// The process that holds the pod's lock; none when nobody does. A pod that is just starting is waited for.
    pub(crate) fn find(pod: &File, deadline: Instant) -> Result<Option<Self>> {
        loop {
            let found = open(pod)?;
            if found.is_some() {
                return Ok(found);
            }
            if !is_locked().context("look at the pod's lock")? {
                return Ok(None);
            }
            if Instant::now() > deadline {
                bail!("no process of the pod is known, and its lock is held");
            }
            thread::sleep(PAUSE);
        }
    }

    pub(crate) fn process(&self) -> &OwnedFd {
        &self.pidfd
    }

    /// Sends a signal; one that has ended needs none.
    pub(crate) fn signal(&self, signal: Signal) -> io::Result<()> {
        match pidfd_send_signal(&self.pidfd, signal) {
            Ok(()) | Err(Errno::SRCH) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// The processes that it has started, as far as the kernel tells.
    pub(crate) fn children(&self) -> Vec<OwnedFd> {
        let pid = self.pid.as_raw_nonzero();
        let list = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
        let list = list.unwrap_or_default();
        let pids = list.split_whitespace().filter_map(|pid| pid.parse().ok());
        let pids = pids.filter_map(Pid::from_raw);
        // One that has ended, and whose number is another's now, is waited for in vain; but its parent lives still, and no
        // number is used again before the parent has taken notice.
        pids.filter_map(|pid| pidfd_open(pid, PidfdFlags::empty()).ok())
            .collect()
    }
}

/// The process of the file `pid`, if it is there and is the pod.
fn open(pod: &File) -> Result<Option<Supervisor>> {
    let Some(pid) = read_pid().context("read the file pid")? else {
        return Ok(None);
    };
    let pidfd = match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(pidfd) => pidfd,
        Err(Errno::SRCH) => return Ok(None),
        Err(error) => return Err(error).context("open the pod's process"),
    };
    let number = pid.as_raw_nonzero();
    let holds = holds_lock(&Path::new("/proc").join(number.to_string()), pod)
        .with_context(|| format!("look at process {number}"))?;
    Ok(holds.then_some(Supervisor { pid, pidfd }))
}

fn read_pid() -> Result<Option<Pid>> {
    use std::io::Read;
    let file = match File::open("pid") {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let mut text = String::new();
    file.take(PID_BYTES_MAX).read_to_string(&mut text)?;
    // Made, and not yet written.
    if text.is_empty() {
        return Ok(None);
    }
    let number: i32 = text.trim().parse().with_context(|| format!("{text:?}"))?;
    Pid::from_raw(number)
        .filter(|pid| pid.as_raw_nonzero().get() > 1)
        .map(Some)
        .with_context(|| format!("{number} is no pod's process"))
}

/// Whether a process has the pod's directory open with the exclusive lock on it. One that is gone has nothing.
fn holds_lock(process: &Path, pod: &File) -> io::Result<bool> {
    let pod = pod.metadata()?;
    let gone = |error: &io::Error| {
        error.kind() == io::ErrorKind::NotFound || Errno::from_io_error(error) == Some(Errno::SRCH)
    };
    let descriptors = match fs::read_dir(process.join("fd")) {
        Ok(descriptors) => descriptors,
        Err(error) if gone(&error) => return Ok(false),
        Err(error) => return Err(error),
    };
    for descriptor in descriptors {
        let name = match descriptor {
            Ok(descriptor) => descriptor.file_name(),
            Err(error) if gone(&error) => return Ok(false),
            Err(error) => return Err(error),
        };
        // Closed meanwhile, it is not the one.
        let is_pod = fs::metadata(process.join("fd").join(&name))
            .is_ok_and(|file| (file.dev(), file.ino()) == (pod.dev(), pod.ino()));
        let locks = fs::read_to_string(process.join("fdinfo").join(&name));
        if is_pod && locks.is_ok_and(|info| info.lines().any(is_exclusive_lock)) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// `lock: 1: FLOCK  ADVISORY  WRITE 4711 fe:00:383193 0 EOF` (proc_pid_fdinfo(5)).
fn is_exclusive_lock(line: &str) -> bool {
    let words: Vec<&str> = line.split_whitespace().collect();
    matches!(words[..], ["lock:", _, "FLOCK", _, "WRITE", ..])
}

/// Whether somebody holds the pod's lock. A lock belongs to what was opened: this is opened for it.
fn is_locked() -> io::Result<bool> {
    match flock(File::open(".")?, FlockOperation::NonBlockingLockShared) {
        Ok(()) => Ok(false),
        Err(Errno::WOULDBLOCK) => Ok(true),
        Err(error) => Err(error.into()),
    }
}

/// Waits until nobody holds the pod's lock; false when that comes too late.
pub(crate) fn lets_go(deadline: Instant) -> io::Result<bool> {
    let directory = File::open(".")?;
    let (sender, freed) = mpsc::channel();
    // The kernel wakes it. It ends with this process.
    thread::Builder::new().spawn(move || {
        let taken = loop {
            match flock(&directory, FlockOperation::LockShared) {
                Err(Errno::INTR) => {}
                taken => break taken,
            }
        };
        drop(directory);
        // Nobody listens any more when it comes too late.
        let _ = sender.send(taken);
    })?;
    match freed.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
        Ok(taken) => Ok(taken.map(|()| true)?),
        Err(_) => Ok(false),
    }
}

/// Waits for the end of a process; false when it comes too late.
pub(crate) fn ends(process: &OwnedFd, deadline: Instant) -> io::Result<bool> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let left = Timespec::try_from(left).map_err(io::Error::other)?;
        match poll(&mut [PollFd::new(process, PollFlags::IN)], Some(&left)) {
            Ok(ready) => return Ok(ready > 0),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}
