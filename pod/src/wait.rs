//! Waiting for a pod, without asking again and again.
//!
//! The kernel wakes the waiter: by the lock, which the pod's death frees (a thread waits for it), by the directory's move
//! or deletion, and by what appears in the directories that say that a pod can be entered or is ready (inotify). Only a locked pod is watched
//! through its own directory, for only that cannot be deleted.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::fs::{FlockOperation, Mode, OFlags, flock, openat};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use thiserror::Error;

use crate::found::FoundPod;
use crate::lifecycle::PodError;
use crate::lock::lies_at;
use crate::record::open_below;
use crate::state::State;
use crate::uuid::Uuid;

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// The pod has ended, or never will run.
    Finished,
    /// It runs, and its stage1 says that it can be entered: by writing down the number of its process.
    Enterable,
    /// Its apps have been started.
    Ready,
}

/// Why the wait was in vain.
#[derive(Debug, Error)]
pub enum WaitError {
    /// The time is over.
    #[error("pod {0} is still {1}")]
    Timeout(Uuid, State),
    /// It was deleted.
    #[error("pod {0} is no more")]
    Gone(Uuid),
    /// It ended, and never will be ready or to be entered.
    #[error("pod {0} is not ready, and never will be: it is {1}")]
    NeverReady(Uuid, State),
    /// The kernel gives no notice.
    #[error("watch pod {uuid}")]
    Watch {
        /// The pod.
        uuid: Uuid,
        /// Why.
        source: io::Error,
    },
    /// It cannot be read.
    #[error(transparent)]
    Pod(#[from] PodError),
}

/// Waits for a pod, for ever or for so long, and gives it as it is then.
///
/// # Errors
///
/// When the time is over, when what is waited for can no longer come, and when the pod cannot be read.
pub fn wait(
    data: &Path,
    uuid: Uuid,
    until: Until,
    timeout: Option<Duration>,
) -> Result<FoundPod, WaitError> {
    // So late that no clock tells it is never.
    let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    loop {
        let pod = FoundPod::look_up(data, uuid)?.ok_or(WaitError::Gone(uuid))?;
        let failed = |source| WaitError::Watch { uuid, source };
        let watch = Watch::on(&pod).map_err(failed)?;
        match until {
            Until::Finished if pod.state().is_finished() => return Ok(pod),
            Until::Ready if pod.is_ready() && pod.state() == State::Running => return Ok(pod),
            // A file that is being written has no number yet.
            Until::Enterable
                if pod.state() == State::Running && matches!(pod.process(), Ok(Some(_))) =>
            {
                return Ok(pod);
            }
            Until::Ready | Until::Enterable if pod.state().is_finished() => {
                return Err(WaitError::NeverReady(uuid, pod.state()));
            }
            Until::Finished | Until::Ready | Until::Enterable => {}
        }
        // Moved before it was watched, it may never move again.
        if !lies_at(pod.directory(), pod.path()).map_err(failed)? {
            continue;
        }
        if !watch.changes(deadline).map_err(failed)? {
            return Err(WaitError::Timeout(uuid, pod.state()));
        }
    }
}

/// Notices of whatever can change the state of one pod.
struct Watch {
    notices: OwnedFd,
    /// At its end when the pod's lock is free.
    lock: Option<OwnedFd>,
}

impl Watch {
    fn on(pod: &FoundPod) -> io::Result<Self> {
        let notices = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        if ![State::Preparing, State::Running].contains(&pod.state()) {
            // It can be deleted at any time, of which an open directory tells nothing; the one that it lies in does.
            let around = pod.path().parent().unwrap_or(pod.path());
            let gone = WatchFlags::MOVED_FROM | WatchFlags::DELETE;
            inotify::add_watch(&notices, around, gone)?;
            let lock = None;
            return Ok(Self { notices, lock });
        }
        let changes = WatchFlags::MOVE_SELF | WatchFlags::CLOSE_WRITE | WatchFlags::MOVED_TO;
        watch(&notices, pod.directory(), changes)?;
        // Not yet there while the pod is prepared, which ends with a move.
        if let Ok(rkt) = open_below(pod.directory(), "stage1/rootfs/rkt", OFlags::DIRECTORY) {
            watch(&notices, &rkt, WatchFlags::CREATE | WatchFlags::MOVED_TO)?;
        }
        let lock = Some(freed(pod)?);
        Ok(Self { notices, lock })
    }

    /// Waits for the first notice; false when there is none in time.
    fn changes(&self, deadline: Option<Instant>) -> io::Result<bool> {
        let mut wanted = vec![PollFd::new(&self.notices, PollFlags::IN)];
        wanted.extend(
            self.lock
                .iter()
                .map(|lock| PollFd::new(lock, PollFlags::IN)),
        );
        loop {
            let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
            let left = left.and_then(|left| Timespec::try_from(left).ok());
            match poll(&mut wanted, left.as_ref()) {
                Ok(ready) => return Ok(ready > 0),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// By its descriptor, for its path may be another's by now.
pub(crate) fn watch(notices: &OwnedFd, directory: impl AsFd, events: WatchFlags) -> io::Result<()> {
    let path = format!("/proc/self/fd/{}", directory.as_fd().as_raw_fd());
    inotify::add_watch(notices, path, events)?;
    Ok(())
}

/// A pipe that is closed when nobody holds the pod's lock. The thread that waits for it ends with the pod, or the process.
pub(crate) fn freed(pod: &FoundPod) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    // A lock belongs to what was opened: the pod's own descriptor stays without one.
    let directory = openat(pod.directory(), ".", flags, Mode::empty())?;
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC)?;
    std::thread::Builder::new().spawn(move || {
        while flock(&directory, FlockOperation::LockShared) == Err(Errno::INTR) {}
        drop(directory);
        drop(writer);
    })?;
    Ok(reader)
}

#[cfg(test)]
#[path = "wait_test.rs"]
mod tests;
