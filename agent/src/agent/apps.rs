//! Apps that come and go while the pod runs.
//!
//! The host's word that a disk has grown may be here before the disk has: an addition waits for it. A removal waits for processes
//! that were killed. Each is tried again after a pause, and given up after a while; the host hears how it ended.

use std::fs;
use std::io;

use bulkhead_protocol::agent::FromAgent;
use bulkhead_protocol::mutable::AddedApp;
use bulkhead_protocol::plan::{ImageFiles, share_tag};
use rustix::mount::{UnmountFlags, unmount};

use super::{Agent, Fatal};
use crate::clock::monotonic_ns;
use crate::pod::RootState;
use crate::process::Entry;
use crate::reason::{Reason, reason};
use crate::setup::Kernel;

/// Between two attempts.
const PAUSE_NS: u64 = 5_000_000;

/// Longest wait for a disk to grow, or for killed processes to end.
const PATIENCE_NS: u64 = 10_000_000_000;

/// A change that is not done yet.
#[derive(Debug)]
pub(super) struct Change {
    app: usize,
    kind: Kind,
    again_ns: u64,
    until_ns: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Add,
    Remove,
}

/// How an attempt ended.
enum Attempt {
    Done,
    /// Perhaps later. If not, this is why.
    Later(Reason),
    Failed(Reason),
}

impl Change {
    pub(super) fn deadline_ns(&self) -> u64 {
        self.again_ns
    }
}

impl Agent {
    /// Makes room for an app. One that the host has added already, on a connection that was lost, is told of again.
    pub(super) fn add_app(&mut self, added: AddedApp) -> Result<(), Fatal> {
        let Some(pod) = &mut self.pod else {
            return Err(Fatal::OutOfOrder {
                what: "an app before its pod",
            });
        };
        let app = usize::from(added.number);
        if app >= pod.count() {
            pod.add(added)?;
            self.begin_change(app, Kind::Add);
        } else if !self.changes.iter().any(|change| change.app == app) {
            let failure = pod.is_removed(app);
            let failure = failure.then(|| Reason::truncated("it could not be added"));
            self.answer(app, Kind::Add, failure);
        }
        Ok(())
    }

    pub(super) fn kill_app(&self, number: u16) {
        if let Some(pod) = &self.pod
            && usize::from(number) < pod.count()
        {
            pod.kill_app(usize::from(number));
        }
    }

    /// Kills what is left of an app, and gives up what it has.
    pub(super) fn remove_app(&mut self, number: u16) {
        let app = usize::from(number);
        let Some(pod) = &self.pod else { return };
        if app >= pod.count() || pod.is_removed(app) {
            self.answer(app, Kind::Remove, None);
        } else if !self.changes.iter().any(|change| change.app == app) {
            pod.kill_app(app);
            self.begin_change(app, Kind::Remove);
        }
    }

    fn begin_change(&mut self, app: usize, kind: Kind) {
        let now_ns = monotonic_ns();
        self.changes.push(Change {
            app,
            kind,
            again_ns: now_ns,
            until_ns: now_ns + PATIENCE_NS,
        });
        self.changes_are_due();
    }

    /// Tries what is to be tried now.
    pub(super) fn changes_are_due(&mut self) {
        let now_ns = monotonic_ns();
        for mut change in std::mem::take(&mut self.changes) {
            if change.again_ns > now_ns {
                self.changes.push(change);
                continue;
            }
            let attempt = match change.kind {
                Kind::Add => self.try_to_add(change.app),
                Kind::Remove => self.try_to_remove(change.app),
            };
            match attempt {
                Attempt::Done => self.answer(change.app, change.kind, None),
                Attempt::Later(_) if change.until_ns > now_ns => {
                    change.again_ns = now_ns + PAUSE_NS;
                    self.changes.push(change);
                }
                Attempt::Later(why) | Attempt::Failed(why) => {
                    if let (Some(pod), Kind::Add) = (&mut self.pod, change.kind) {
                        pod.give_up(change.app);
                        self.give_root_back(change.app);
                    }
                    self.answer(change.app, change.kind, Some(why));
                }
            }
        }
    }

    /// Takes the devices that have come.
    fn take_arrivals(&mut self) -> io::Result<()> {
        let (Some(arrive), Some(pod)) = (&mut self.arrive, &mut self.pod) else {
            return Ok(());
        };
        while let Some(arrived) = arrive()? {
            if let Some((number, part)) = &arrived.image {
                self.machine.image_disk.insert(*number, part);
            }
            let (number, part) = &arrived.scratch;
            self.machine.scratch_disk.insert(*number, part);
            pod.provide(arrived);
        }
        Ok(())
    }

    fn try_to_add(&mut self, app: usize) -> Attempt {
        if let Err(error) = self.take_arrivals() {
            return Attempt::Failed(reason(&error));
        }
        let Some(pod) = &mut self.pod else {
            return Attempt::Done;
        };
        if !pod.has_disks(app) {
            let name = &pod.app(app).name;
            let text = format!("the disks have no room for app {name}: they did not grow");
            return Attempt::Later(Reason::truncated(&text));
        }
        if let (Kernel::Own, ImageFiles::Share(index)) = (self.machine.kernel, &pod.app(app).image)
            && let Err(error) = self.late_devices.bind_share(*index)
        {
            let text = format!("the directory of the host has no driver: {error}");
            return Attempt::Failed(Reason::truncated(&text));
        }
        match pod.prepare(app, &self.machine) {
            Ok(_) => Attempt::Done,
            Err(error) => Attempt::Failed(reason(&error)),
        }
    }

    fn try_to_remove(&mut self, app: usize) -> Attempt {
        self.reap();
        let ends = |entry: &Entry| entry.app == Some(app) && !entry.is_ended();
        if self.processes.values().any(ends) {
            return Attempt::Later(Reason::truncated("its processes do not end"));
        }
        let Some(pod) = &mut self.pod else {
            return Attempt::Done;
        };
        if matches!(pod.root(app), RootState::Preparing { .. }) {
            return Attempt::Later(Reason::truncated("its root is being made"));
        }
        match pod.remove(app) {
            Ok(()) => {
                let number = u16::try_from(app).unwrap_or(u16::MAX);
                self.machine.scratch_disk.remove(number);
                self.give_root_back(app);
                Attempt::Done
            }
            Err(error) => Attempt::Later(reason(&error)),
        }
    }

    /// Unmounts the directory of the host that was an app's root: whoever gave it may want to delete it.
    fn give_root_back(&self, app: usize) {
        let Some(pod) = &self.pod else { return };
        if let (Kernel::Shared, ImageFiles::Share(index)) =
            (self.machine.kernel, &pod.app(app).image)
        {
            let path = self.machine.base.join("shares").join(share_tag(*index));
            // One that never came is not mounted.
            let _ = unmount(&path, UnmountFlags::DETACH);
            let _ = fs::remove_dir(&path);
        }
    }

    fn answer(&mut self, app: usize, kind: Kind, failure: Option<Reason>) {
        let app = u16::try_from(app).unwrap_or(u16::MAX);
        self.send(&match kind {
            Kind::Add => FromAgent::AppAdded { app, failure },
            Kind::Remove => FromAgent::AppRemoved { app, failure },
        });
    }
}
