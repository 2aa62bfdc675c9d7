//! Keys in directories.
//!
//! ```text
//! SYSTEM/trustedkeys/root.d/FINGERPRINT                      for all images
//! LOCAL/trustedkeys/root.d/FINGERPRINT
//! SYSTEM/trustedkeys/prefix.d/example.com/app/FINGERPRINT    for example.com/app, example.com/app/web, …
//! LOCAL/trustedkeys/prefix.d/example.com/app/FINGERPRINT
//! ```
//!
//! They are read in this order, of a prefix its first parts first. An empty file takes the trust away that files before it gave to the key of its name.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::fs::OFlags;

use crate::key::{KeyError, PublicKey};
use crate::prefix::Prefix;
use crate::signature::{Signature, Unsigned};

/// Longest file of a key: those with thousands of others' signatures.
pub const MAX_KEY_BYTES: u64 = 1 << 20;

/// Files that are looked at for one image.
pub const MAX_KEYS: usize = 1024;

/// Keys, and whom they are trusted for.
#[derive(Debug, Clone)]
pub struct TrustStore {
    system: PathBuf,
    local: PathBuf,
}

/// Keys that cannot be read or written. What cannot be read may be what takes trust away, so nobody is trusted then.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A file or directory fails.
    #[error("{what} {}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// With which.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A file is not a key.
    #[error("trusted key {}", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: KeyError,
    },
    /// A file has the name of another key.
    #[error("trusted key {}: its fingerprint is {fingerprint}, and the file must be called so", path.display())]
    Mismatch {
        /// The file.
        path: PathBuf,
        /// Of what is in it.
        fingerprint: String,
    },
    /// See the bounds.
    #[error("trusted key {}: it is longer than {MAX_KEY_BYTES} bytes, or there are more than {MAX_KEYS}", path.display())]
    TooMuch {
        /// The file.
        path: PathBuf,
    },
}

/// An image that nobody who is trusted has signed.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The keys cannot be read.
    #[error("read the trusted keys")]
    Store(#[from] StoreError),
    /// Nobody who is trusted issued the signature.
    #[error(
        "{name} is signed by {}, and trusted for it {}",
        list(issuers, "nobody"),
        trusted(looked_at, searched)
    )]
    NotTrusted {
        /// Of the image.
        name: String,
        /// Ids of the keys that issued the signature.
        issuers: Vec<String>,
        /// Fingerprints of the keys that are trusted.
        looked_at: Vec<String>,
        /// Where keys were looked for.
        searched: [PathBuf; 2],
    },
    /// Somebody who is trusted did, and it is not good.
    #[error("{name}, key {fingerprint}: {problem}")]
    Bad {
        /// Of the image.
        name: String,
        /// Of the key that is trusted.
        fingerprint: String,
        /// Why it is not taken.
        problem: &'static str,
    },
    /// The image cannot be read.
    #[error("read the signed file")]
    Io(#[source] io::Error),
}

fn list(words: &[String], nothing: &str) -> String {
    match words {
        [] => nothing.to_owned(),
        words => format!("key {}", words.join(", ")),
    }
}

fn trusted(keys: &[String], searched: &[PathBuf; 2]) -> String {
    let [system, local] = searched.each_ref().map(|path| path.display());
    match keys {
        [] => format!("is nobody: {system} and {local} have no key for it"),
        [key] => format!("is key {key} alone"),
        keys => format!("are keys {} alone", keys.join(", ")),
    }
}

impl TrustStore {
    /// The keys below two directories of configuration, that of the system and that of the administrator.
    #[must_use]
    pub fn new(system: &Path, local: &Path) -> Self {
        let keys = |directory: &Path| directory.join("trustedkeys");
        Self {
            system: keys(system),
            local: keys(local),
        }
    }

    /// Who is trusted for images of this name.
    ///
    /// # Errors
    /// When one of the files cannot be read or is none of a key, whichever key it is.
    pub fn keys(&self, name: &Prefix) -> Result<Vec<PublicKey>, StoreError> {
        let all = [&self.system, &self.local];
        let roots = all.map(|keys| keys.join("root.d"));
        let prefixes = all.map(|keys| keys.join("prefix.d"));
        let below = |directory: PathBuf| name.ancestry().map(move |parts| directory.join(parts));
        let mut trusted = BTreeMap::new();
        let mut looked_at = 0;
        for directory in roots
            .into_iter()
            .chain(prefixes.into_iter().flat_map(below))
        {
            for path in files(&directory)? {
                looked_at += 1;
                if looked_at > MAX_KEYS {
                    return Err(StoreError::TooMuch { path });
                }
                let file_name = path
                    .file_name()
                    .unwrap_or_default()
                    .to_string_lossy()
                    .into_owned();
                match read(&path)? {
                    Some(key) => trusted.insert(file_name, key),
                    None => trusted.remove(&file_name),
                };
            }
        }
        Ok(trusted.into_values().collect())
    }

    /// Who has signed an image of this name, of those who are trusted for it. All of what `data` gives is read, from
    /// its start each time.
    ///
    /// # Errors
    /// When nobody has.
    pub fn verify<R: Read>(
        &self,
        name: &Prefix,
        data: impl FnMut() -> R,
        signature: &Signature,
    ) -> Result<PublicKey, VerifyError> {
        let keys = self.keys(name)?;
        let signer = signature.signer(keys.iter(), data, SystemTime::now());
        let name = name.to_string();
        signer.cloned().map_err(|unsigned| match unsigned {
            Unsigned::NobodyKnown => VerifyError::NotTrusted {
                name,
                issuers: signature.issuers(),
                looked_at: keys.iter().map(PublicKey::fingerprint).collect(),
                searched: [self.system.clone(), self.local.clone()],
            },
            Unsigned::Bad {
                fingerprint,
                problem,
            } => VerifyError::Bad {
                name,
                fingerprint,
                problem,
            },
            Unsigned::Io(error) => VerifyError::Io(error),
        })
    }

    /// Whether a key is trusted for images of this name.
    ///
    /// # Errors
    /// As [`TrustStore::keys`].
    pub fn trusts(&self, name: &Prefix, fingerprint: &str) -> Result<bool, StoreError> {
        let keys = self.keys(name)?;
        Ok(keys.iter().any(|key| key.fingerprint() == fingerprint))
    }

    /// Whether there is a file of this key for this prefix or for all images, be it one that takes trust away.
    #[must_use]
    pub fn has(&self, prefix: Option<&Prefix>, key: &PublicKey) -> bool {
        let all = [&self.system, &self.local];
        let scopes = [Some(None), prefix.map(Some)];
        let mut directories = all.into_iter().flat_map(|keys| {
            scopes
                .into_iter()
                .flatten()
                .map(|scope| directory(keys, scope))
        });
        directories.any(|directory| directory.join(key.fingerprint()).exists())
    }

    /// Trusts a key for this prefix, or for all images, in the administrator's directory; gives its file.
    ///
    /// # Errors
    /// When it cannot be written there.
    pub fn add(&self, prefix: Option<&Prefix>, key: &PublicKey) -> Result<PathBuf, StoreError> {
        let directory = directory(&self.local, prefix);
        let failed = |what, path: &Path| {
            let path = path.to_owned();
            move |source| StoreError::Io { what, path, source }
        };
        let mut builder = DirBuilder::new();
        let made = builder.recursive(true).mode(0o755).create(&directory);
        made.map_err(failed("create", &directory))?;
        let path = directory.join(key.fingerprint());
        let armored = key.armored().map_err(|source| StoreError::Key {
            path: path.clone(),
            source,
        })?;
        // Whoever looks meanwhile sees all of it or nothing.
        let fresh = directory.join(format!(".{}", std::process::id()));
        let written = write(&fresh, &armored).and_then(|()| fs::rename(&fresh, &path));
        written.map_err(|error| {
            let _ = fs::remove_file(&fresh);
            failed("write", &path)(error)
        })?;
        Ok(path)
    }
}

fn directory(keys: &Path, prefix: Option<&Prefix>) -> PathBuf {
    match prefix {
        Some(prefix) => keys.join("prefix.d").join(prefix.as_str()),
        None => keys.join("root.d"),
    }
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o644)
        .open(path)?;
    file.write_all(bytes)?;
    file.sync_data()
}

/// The files of a directory in the order of their names; none where there is no directory. Hidden ones do not count.
fn files(directory: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let failed = |source| StoreError::Io {
        what: "read",
        path: directory.to_owned(),
        source,
    };
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed)?,
    };
    let mut files = Vec::new();
    for entry in entries {
        let entry = entry.map_err(failed)?;
        let path = entry.path();
        let is_hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
        // Directories are of longer prefixes.
        if !is_hidden && !fs::metadata(&path).map_err(failed)?.is_dir() {
            files.push(path);
        }
        if files.len() > MAX_KEYS {
            return Err(StoreError::TooMuch {
                path: directory.to_owned(),
            });
        }
    }
    files.sort();
    Ok(files)
}

/// The key of a file; an empty file has none.
fn read(path: &Path) -> Result<Option<PublicKey>, StoreError> {
    let read = || -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        open(path)?
            .take(MAX_KEY_BYTES + 1)
            .read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().map_err(|source| StoreError::Io {
        what: "read",
        path: path.to_owned(),
        source,
    })?;
    if bytes.is_empty() {
        return Ok(None);
    }
    if bytes.len() as u64 > MAX_KEY_BYTES {
        return Err(StoreError::TooMuch {
            path: path.to_owned(),
        });
    }
    let keys = PublicKey::read(&bytes).map_err(|source| StoreError::Key {
        path: path.to_owned(),
        source,
    })?;
    // The first is the one that the file is called after.
    let key = keys
        .into_iter()
        .next()
        .expect("files without keys are errors");
    let fingerprint = key.fingerprint();
    match path.file_name().is_some_and(|name| *name == *fingerprint) {
        true => Ok(Some(key)),
        false => Err(StoreError::Mismatch {
            path: path.to_owned(),
            fingerprint,
        }),
    }
}

/// Opens without waiting for anybody.
fn open(path: &Path) -> io::Result<File> {
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed();
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags)
        .open(path)?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::other("it is not a regular file")),
    }
}
