//! Pods as anybody finds them on disk, whatever happens to them meanwhile.
//!
//! A pod is read through its open directory: its files stay within reach wherever the directory is moved, and what is
//! deleted while it is read is simply not there. Only where a pod lies is asked by path, and asked again when it has moved.
//!
//! Pods move one way, in the order of [`LISTED`]: whoever looks into the directories in that order misses none.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::thread::{ScopedJoinHandle, available_parallelism};

use thiserror::Error;

use crate::lifecycle::{Phase, PodError, failed};
use crate::lock::{is_locked, lies_at, lock_shared, open_directory};
use crate::state::State;
use crate::uuid::Uuid;

/// Where pods are that a user may name.
const LISTED: [Phase; 4] = [
    Phase::Prepare,
    Phase::Prepared,
    Phase::Run,
    Phase::ExitedGarbage,
];

/// How often a pod is looked for that moves on while it is looked for: it has five moves in its life.
const LOOKS: usize = 6;

/// How many pods an ambiguous name is explained with.
const SHOWN_MATCHES: usize = 5;

/// A thread that looks at fewer pods takes longer to start than to look.
const SHARE_MIN: usize = 32;

/// Characters of a UUID.
const UUID_LENGTH: usize = 36;

/// No one pod has this name.
#[derive(Debug, Error)]
pub enum FindError {
    /// The text can begin no UUID.
    #[error("{0:?} is not a UUID or the beginning of one")]
    NotAUuid(String),
    /// There is no such pod.
    #[error("no pod has the UUID {0}, or one that begins so")]
    NoPod(String),
    /// There are several.
    #[error("{prefix} is ambiguous: {count} pods have a UUID that begins so: {shown}")]
    Ambiguous {
        /// The text.
        prefix: String,
        /// How many there are.
        count: usize,
        /// Some of them.
        shown: String,
    },
    /// Pods could not be read.
    #[error(transparent)]
    Pod(#[from] PodError),
}

/// A pod, as it was when it was found.
#[derive(Debug)]
pub struct FoundPod {
    uuid: Uuid,
    phase: Phase,
    path: PathBuf,
    directory: OwnedFd,
    state: State,
}

impl FoundPod {
    /// The pod in this place, if it is there.
    pub(crate) fn open(data: &Path, phase: Phase, uuid: Uuid) -> Result<Option<Self>, PodError> {
        let path = phase.directory(data).join(uuid.to_string());
        let directory = match open_directory(&path) {
            Ok(directory) => directory,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed("open", &path)(error)),
        };
        let locked = is_locked(&directory).map_err(failed("look at the lock of", &path))?;
        // Moved before its lock was looked at, it is in another state than these two make.
        if !lies_at(&directory, &path).map_err(failed("look at", &path))? {
            return Ok(None);
        }
        Ok(Some(Self {
            uuid,
            phase,
            path,
            directory,
            state: State::of(phase, locked),
        }))
    }

    /// The pod wherever it is now; none when it is nowhere any more.
    ///
    /// # Errors
    ///
    /// When its directory cannot be opened.
    pub fn look_up(data: &Path, uuid: Uuid) -> Result<Option<Self>, PodError> {
        Self::look_in(data, uuid, &Phase::ALL)
    }

    fn look_in(data: &Path, uuid: Uuid, phases: &[Phase]) -> Result<Option<Self>, PodError> {
        for _ in 0..LOOKS {
            for phase in phases {
                if let Some(pod) = Self::open(data, *phase, uuid)? {
                    return Ok(Some(pod));
                }
            }
        }
        Ok(None)
    }

    /// The one pod whose UUID begins like this, among those that may be named.
    ///
    /// # Errors
    ///
    /// When there is none, when there are several, and when pods cannot be read.
    pub fn find(data: &Path, prefix: &str) -> Result<Self, FindError> {
        let of_uuid = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b) || b == b'-';
        let length = 1..=UUID_LENGTH;
        if !length.contains(&prefix.len()) || !prefix.bytes().all(of_uuid) {
            let shown = prefix.chars().take(UUID_LENGTH).collect();
            return Err(FindError::NotAUuid(shown));
        }
        let matches: Vec<Uuid> = match prefix.parse() {
            Ok(uuid) => vec![uuid],
            Err(_) => names(data)?
                .into_keys()
                .filter(|uuid| uuid.to_string().starts_with(prefix))
                .collect(),
        };
        let none = || FindError::NoPod(prefix.to_owned());
        match matches[..] {
            [] => Err(none()),
            [uuid] => Self::look_in(data, uuid, &LISTED)?.ok_or_else(none),
            _ => Err(FindError::Ambiguous {
                prefix: prefix.to_owned(),
                count: matches.len(),
                shown: shown(&matches),
            }),
        }
    }

    /// Its identity.
    #[must_use]
    pub fn uuid(&self) -> Uuid {
        self.uuid
    }

    /// Where it was found.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// The directory that it had there.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What it was doing then.
    #[must_use]
    pub fn state(&self) -> State {
        self.state
    }

    /// Keeps a pod that does not run from being deleted, for as long as this is there. False when it runs, or is being deleted already.
    ///
    /// # Errors
    ///
    /// When the lock cannot be asked for.
    pub fn keep(&self) -> Result<bool, PodError> {
        lock_shared(&self.directory).map_err(failed("lock", &self.path))
    }

    /// Its directory, wherever that is now.
    #[must_use]
    pub fn directory(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }
}

fn shown(matches: &[Uuid]) -> String {
    let first = matches.iter().take(SHOWN_MATCHES).map(Uuid::to_string);
    let mut shown = first.collect::<Vec<_>>().join(", ");
    if matches.len() > SHOWN_MATCHES {
        shown.push_str(", …");
    }
    shown
}

/// What a look at all pods gives.
#[derive(Debug)]
pub struct Listing<T> {
    /// Of each pod what was made of it, in order of UUID.
    pub pods: Vec<T>,
    /// Why others could not be read.
    pub unreadable: Vec<PodError>,
}

impl<T> Default for Listing<T> {
    fn default() -> Self {
        Self {
            pods: Vec::new(),
            unreadable: Vec::new(),
        }
    }
}

/// Looks at every pod that a user may name; none is made of one that is deleted meanwhile.
///
/// All processors take part, for thousands of pods are tens of thousands of system calls. A pod is open only while it is
/// looked at: there may be more of them than a process may have files.
///
/// # Errors
///
/// When a directory of pods cannot be listed.
pub fn list<T: Send>(
    data: &Path,
    look: impl Fn(FoundPod) -> Result<Option<T>, PodError> + Sync,
) -> Result<Listing<T>, PodError> {
    let names: Vec<_> = names(data)?.into_iter().collect();
    let look_at = |(uuid, phase): &(Uuid, Phase)| {
        // Most are still where their name was seen.
        let pod = match FoundPod::open(data, *phase, *uuid)? {
            None => FoundPod::look_in(data, *uuid, &LISTED)?,
            found => found,
        };
        pod.map_or(Ok(None), &look)
    };
    let looked = |names: &[(Uuid, Phase)]| names.iter().map(look_at).collect::<Vec<_>>();
    let share = names.len().div_ceil(processors()).max(SHARE_MIN);
    let looked = std::thread::scope(|scope| {
        let looked = &looked;
        let shares = names.chunks(share);
        let threads: Vec<_> = shares.map(|names| scope.spawn(|| looked(names))).collect();
        let joined = threads.into_iter().map(ScopedJoinHandle::join);
        joined
            .flat_map(|looked| looked.unwrap_or_else(|panic| resume_unwind(panic)))
            .collect::<Vec<_>>()
    });
    let mut listing = Listing::default();
    for pod in looked {
        match pod {
            Ok(pod) => listing.pods.extend(pod),
            Err(error) => listing.unreadable.push(error),
        }
    }
    Ok(listing)
}

fn processors() -> usize {
    available_parallelism().map_or(1, NonZeroUsize::get)
}

/// The names of pods, with the last place where each was seen.
fn names(data: &Path) -> Result<BTreeMap<Uuid, Phase>, PodError> {
    let mut found = BTreeMap::new();
    for phase in LISTED {
        let uuids = names_in(data, phase)?;
        found.extend(uuids.into_iter().map(|uuid| (uuid, phase)));
    }
    Ok(found)
}

/// What lies in one place under the name of a pod. Other names are nobody's.
pub(crate) fn names_in(data: &Path, phase: Phase) -> Result<Vec<Uuid>, PodError> {
    let path = phase.directory(data);
    let entries = match fs::read_dir(&path) {
        Ok(entries) => entries,
        // No pod was ever made.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed("list", &path)(error)),
    };
    let mut uuids = Vec::new();
    for entry in entries {
        let name = entry.map_err(failed("list", &path))?.file_name();
        uuids.extend(name.to_str().and_then(|name| name.parse::<Uuid>().ok()));
    }
    Ok(uuids)
}

#[cfg(test)]
#[path = "found_test.rs"]
mod tests;
