//! Waiting for more of a pod's logs, without asking again and again.

use std::io;
use std::os::fd::OwnedFd;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::io::Errno;

use super::Logs;
use crate::found::FoundPod;
use crate::wait::{freed, watch};

/// Notices of whatever is written to a pod's logs, and of the pod's end.
#[derive(Debug)]
pub struct Follower {
    notices: OwnedFd,
    /// At its end when the pod's lock is free.
    lock: OwnedFd,
}

impl Follower {
    /// Of this pod. What is written from now on is noticed.
    ///
    /// # Errors
    ///
    /// When the kernel gives no notice.
    pub fn on(pod: &FoundPod, logs: &Logs) -> io::Result<Self> {
        let notices = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        let changes = WatchFlags::MODIFY | WatchFlags::CREATE;
        watch(&notices, logs.directory(), changes)?;
        let lock = freed(pod)?;
        Ok(Self { notices, lock })
    }

    /// Waits until there may be more, and says whether there can be even more after that: not when the pod has ended.
    ///
    /// # Errors
    ///
    /// When the wait fails.
    pub fn wait(&self) -> io::Result<bool> {
        let mut wanted = [
            PollFd::new(&self.notices, PollFlags::IN),
            PollFd::new(&self.lock, PollFlags::IN),
        ];
        loop {
            match poll(&mut wanted, None) {
                Ok(_) => break,
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let has_ended = !wanted[1].revents().is_empty();
        let mut notices = [0; 4096];
        // All that has happened is looked at by the caller: one notice is as good as many.
        while let Ok(1..) = rustix::io::read(&self.notices, &mut notices) {}
        Ok(!has_ended)
    }
}
