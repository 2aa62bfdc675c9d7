//! The process that speaks to a registry, and what it has brought so far.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use bulkhead_jail::Child;
use bulkhead_protocol::bounded::{BoundError, Text};
use bulkhead_protocol::fetch::{self as protocol, FromFetcher, MAX_PENDING, ToFetcher};
use bulkhead_protocol::import::MAX_DIGEST;

use super::{Observer, Registries, RegistryReference, Transfer};
use crate::channel::{Channel, ChannelError};
use crate::helper::{Helper, HelperError, how};
use crate::told::Told;

/// Who the fetcher is when its keeper is root.
const ID: u32 = 65_530;

/// What it means when it aborts.
pub(crate) const OUT_OF_MEMORY: &str =
    "has ended: the registry sends more at once than the fetcher may hold";

/// Descriptors that a fetcher may have open: a file for each blob that is asked for, its connections, and its own few.
const OPEN_FILES: u64 = MAX_PENDING as u64 + 256;

/// What tells programs how to reach the world, and whom to trust there.
const PASSED_ON: &[&str] = &[
    "HTTP_PROXY",
    "http_proxy",
    "HTTPS_PROXY",
    "https_proxy",
    "ALL_PROXY",
    "all_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
];

/// Whom no proxy is asked for, whatever the user says: servers of this host, which another host cannot reach, and must not be told the
/// passwords of.
const OF_THIS_HOST: &str = "localhost,127.0.0.0/8,::1";

/// What a registry does not give.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The fetcher cannot be started.
    #[error("start the fetcher")]
    Start(#[from] HelperError),
    /// It makes no sense.
    #[error("what the fetcher says")]
    Channel(#[from] ChannelError),
    /// It said nothing before its end.
    #[error("the fetcher {0}")]
    Died(String),
    /// A name is longer than any registry's.
    #[error("what is asked for")]
    Bound(#[from] BoundError),
    /// The registry's word, or the way to it.
    #[error(transparent)]
    Told(#[from] Told),
    /// A file cannot be made or read.
    #[error("{what}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// Another image than the reference names.
    #[error("the registry sent {found} where {expected} was asked for")]
    Digest {
        /// The digest of what came.
        found: String,
        /// The reference's.
        expected: String,
    },
    /// Another blob than the image's.
    #[error("blob {expected}: digest is {found}")]
    Blob {
        /// The digest of what came.
        found: String,
        /// The image's.
        expected: String,
    },
    /// The policy does not let it in.
    #[error(transparent)]
    Policy(#[from] super::PolicyError),
    /// More than an image may be.
    #[error(
        "the image's blobs are {bytes} bytes, more than {} bytes",
        crate::limits::MAX_IMAGE_BYTES
    )]
    TooLarge {
        /// All of them.
        bytes: u64,
    },
}

impl FetchError {
    /// Whether another attempt would come to the same, for the fault is the image's or this host's.
    pub(super) fn is_final(&self) -> bool {
        match self {
            Self::Bound(_)
            | Self::Io { .. }
            | Self::Digest { .. }
            | Self::Blob { .. }
            | Self::Policy(_)
            | Self::TooLarge { .. } => true,
            // What the fetcher tells it says with more.
            Self::Start(_) | Self::Channel(_) | Self::Died(_) | Self::Told(_) => false,
        }
    }

    pub(crate) fn io(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { what, source }
    }
}

/// How far a blob is.
#[derive(Debug, Clone)]
pub(super) enum State {
    /// So many bytes are in its file.
    Coming(u64),
    /// All of it.
    There,
}

type Digest = Text<MAX_DIGEST>;

/// A blob that was asked for.
struct Blob {
    state: State,
    size: u64,
}

/// What went wrong, and whether another attempt may succeed.
#[derive(Clone)]
pub(super) struct Failed {
    pub(super) why: Told,
    pub(super) may_pass: bool,
}

/// A running fetcher.
pub(crate) struct Fetcher {
    channel: Arc<Channel>,
    child: RefCell<Option<Child>>,
    pub(super) progress: Arc<Progress>,
}

/// What has been brought, told by the fetcher and waited for by others.
#[derive(Default)]
pub(super) struct Progress {
    table: Mutex<Table>,
    changed: Condvar,
}

#[derive(Default)]
struct Table {
    blobs: HashMap<String, Blob>,
    manifests: u32,
    failed: Option<Failed>,
    /// A blob that is not what it should be: what came, and what was asked for.
    wrong: Option<(String, String)>,
    /// It has ended, or makes no sense.
    ended: Option<ChannelError>,
}

/// Starts the program. It knows of nothing yet.
pub(crate) fn start(program: &Path) -> Result<(Channel, Child), HelperError> {
    let variable = |name: &&str| {
        let value = std::env::var(name).ok()?;
        CString::new(format!("{name}={value}")).ok()
    };
    let mut environment: Vec<CString> = PASSED_ON.iter().filter_map(variable).collect();
    let without = std::env::var("NO_PROXY").or_else(|_| std::env::var("no_proxy"));
    let without = without.map_or_else(
        |_| OF_THIS_HOST.to_owned(),
        |said| format!("{said},{OF_THIS_HOST}"),
    );
    environment.extend(CString::new(format!("NO_PROXY={without}")).ok());
    let helper = Helper {
        program,
        name: c"bulkhead-fetch",
        id: ID,
        open_files: OPEN_FILES,
        environment,
    };
    helper.start()
}

impl Fetcher {
    /// Starts one for a repository.
    pub(super) fn start(
        reference: &RegistryReference,
        registries: &Registries,
    ) -> Result<Self, FetchError> {
        let (channel, child) = start(&registries.fetcher)?;
        let fetcher = Self {
            channel: Arc::new(channel),
            child: RefCell::new(Some(child)),
            progress: Arc::default(),
        };
        let access = &registries.access;
        let registry = protocol::Registry {
            host: Text::try_from(reference.host())?,
            repository: Text::try_from(reference.repository())?,
            plain_http: access.plain_http,
            any_certificate: access.any_certificate,
            authorities: Text::try_from(access.authorities.as_str())?,
            credentials: access.credentials.clone(),
        };
        fetcher.channel.send(&ToFetcher::Open(registry), &[])?;
        let (channel, progress) = (Arc::clone(&fetcher.channel), Arc::clone(&fetcher.progress));
        // It ends with the fetcher.
        let observer = Arc::clone(&registries.observer);
        std::thread::spawn(move || progress.listen(&channel, &observer));
        Ok(fetcher)
    }

    /// A manifest by its tag or digest.
    pub(super) fn manifest(&self, wanted: &str, file: &File) -> Result<(), FetchError> {
        let before = self.progress.table().manifests;
        let message = ToFetcher::Manifest(Text::try_from(wanted)?);
        self.channel.send(&message, &[file.as_fd()])?;
        let waited = self
            .progress
            .wait(|table| (table.manifests > before).then_some(()));
        waited.map_err(|error| self.explain(error))
    }

    /// Asks for a blob; [`Progress`] knows of it from now on.
    pub(super) fn ask(&self, blob: &protocol::Blob, file: &File) -> Result<(), FetchError> {
        let digest = blob.digest.to_string();
        self.progress.table().blobs.insert(
            digest,
            Blob {
                state: State::Coming(blob.have),
                size: blob.size,
            },
        );
        self.channel
            .send(&ToFetcher::Blob(blob.clone()), &[file.as_fd()])?;
        Ok(())
    }

    /// Why something did not come.
    pub(super) fn explain(&self, error: FetchError) -> FetchError {
        if let FetchError::Channel(ChannelError::End) = error
            && let Some(child) = self.child.take()
        {
            return FetchError::Died(how(child.wait(), OUT_OF_MEMORY));
        }
        error
    }
}

impl Progress {
    fn table(&self) -> MutexGuard<'_, Table> {
        // Whoever panicked left whole entries.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn listen(&self, channel: &Channel, observer: &Observer) {
        loop {
            let heard = channel.receive();
            let mut table = self.table();
            match heard {
                Ok((message, _)) => {
                    let news = table.take(message);
                    drop(table);
                    if let Some((digest, bytes, size)) = news {
                        observer(Transfer {
                            what: digest.as_str(),
                            bytes,
                            size: Some(size),
                        });
                    }
                }
                Err(error) => {
                    table.ended = Some(error);
                    self.changed.notify_all();
                    return;
                }
            }
            self.changed.notify_all();
        }
    }

    /// Waits for something that the fetcher tells.
    fn wait<T>(&self, mut look: impl FnMut(&Table) -> Option<T>) -> Result<T, FetchError> {
        let mut table = self.table();
        loop {
            if let Some(found) = look(&table) {
                return Ok(found);
            }
            if let Some(failed) = &table.failed {
                return Err(failed.why.clone().into());
            }
            if let Some(ended) = &table.ended {
                return Err(ended.again().into());
            }
            let waited = self.changed.wait(table);
            table = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Waits until more than `position` bytes of a blob are there, or all.
    pub(super) fn beyond(&self, digest: &str, position: u64) -> Result<State, FetchError> {
        self.wait(|table| match table.blobs.get(digest) {
            Some(&Blob {
                state: State::Coming(bytes),
                ..
            }) if bytes <= position => None,
            Some(blob) => Some(blob.state.clone()),
            None => None,
        })
    }

    /// A blob that needs no fetcher.
    pub(super) fn there(&self, digest: &str, size: u64) {
        let state = State::There;
        let blob = Blob { state, size };
        self.table().blobs.insert(digest.to_owned(), blob);
    }

    /// A blob that has come is another one.
    pub(super) fn tell_wrong(&self, found: String, expected: String) {
        self.table().wrong.get_or_insert((found, expected));
    }

    /// The first blob that was another one.
    pub(super) fn wrong(&self) -> Option<FetchError> {
        let wrong = self.table().wrong.clone();
        wrong.map(|(found, expected)| FetchError::Blob { found, expected })
    }

    /// What went wrong, if something did.
    pub(super) fn failure(&self) -> Option<Failed> {
        self.table().failed.clone()
    }
}

impl Table {
    /// What there is to say of a blob: its digest, bytes and size.
    fn take(&mut self, message: FromFetcher) -> Option<(Digest, u64, u64)> {
        match message {
            FromFetcher::Manifest => self.manifests += 1,
            FromFetcher::Progress { digest, bytes } => {
                // Of what was never asked for nobody wants to know.
                let blob = self.blobs.get_mut(digest.as_str())?;
                blob.state = State::Coming(bytes);
                return Some((digest, bytes, blob.size));
            }
            FromFetcher::Blob { digest } => {
                let blob = self.blobs.get_mut(digest.as_str())?;
                blob.state = State::There;
                return Some((digest, blob.size, blob.size));
            }
            // Of web servers nothing was asked for.
            FromFetcher::Came { .. }
            | FromFetcher::Got { .. }
            | FromFetcher::Unchanged { .. }
            | FromFetcher::Metas(_) => {}
            FromFetcher::Failed { why, may_pass, .. } => {
                let why = Told::from(why);
                self.failed.get_or_insert(Failed { why, may_pass });
            }
        }
        None
    }
}
