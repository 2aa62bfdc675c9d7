//! What the files of an image were when it came into the store.
//!
//! ```text
//! cas/images/sha512-…/digests   SHA-256 of its small files, as `sha256sum` writes and reads them
//! cas/images/sha512-…/verity    what vouches for the big one, the image itself
//! ```
//!
//! An image's id is the digest of what it was made of, which is not kept: only these tell whether its files have changed since.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use bulkhead_protocol::verity::Verity;
use sha2::{Digest as _, Sha256};

use super::parts::PARTS_FILE;
use super::{IMAGE_FILE, MANIFEST_FILE, Store, StoreError, VERITY_FILE};
use crate::digest::{Hashing, ImageId, to_hex};
use crate::verity::is_intact;

/// Where they are.
pub(super) const DIGESTS_FILE: &str = "digests";
/// Bytes of such a file: a line for each.
const MAX_BYTES: u64 = 512;
/// Of which files of every image,
const FILES: [&str; 2] = [MANIFEST_FILE, VERITY_FILE];
/// and of one that is put together from several.
const FURTHER: [&str; 1] = [PARTS_FILE];

/// Why an image is not what it was.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// A file is not what it was.
    #[error("{} is damaged", .0.display())]
    Damaged(PathBuf),
    /// A file is gone.
    #[error("{} is missing", .0.display())]
    Missing(PathBuf),
    /// There is nothing to compare with.
    #[error("{} says of no files what they were", .0.display())]
    NoDigests(PathBuf),
    /// A file cannot be read, as happens on a disk that fails.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl VerifyError {
    /// Whether the image is known to be bad: it should go, so that the next import makes it anew.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        matches!(self, Self::Damaged(_) | Self::Missing(_))
    }
}

/// The digests of an image's small files in this directory, as they are written down.
pub(super) fn digests_of(directory: &Path) -> Result<String, StoreError> {
    let mut text = String::new();
    let further = FURTHER.into_iter().filter(|n| directory.join(n).exists());
    for name in FILES.into_iter().chain(further) {
        let path = directory.join(name);
        let digest = digest(&path).map_err(StoreError::io("read", &path))?;
        writeln!(text, "{digest}  {name}").expect("a string takes all");
    }
    Ok(text)
}

fn digest(path: &Path) -> io::Result<String> {
    let mut hasher = Sha256::new();
    let mut hashing = Hashing {
        inner: File::open(path)?,
        hasher: &mut hasher,
    };
    io::copy(&mut hashing, &mut io::sink())?;
    Ok(to_hex(&hasher.finalize()))
}

impl Store {
    /// Reads an image as a whole, and compares its files with what they were when it came into the store.
    ///
    /// # Errors
    /// When one is not the same, when it is not known what they were, or when one cannot be read.
    pub fn verify(&self, id: &ImageId) -> Result<(), VerifyError> {
        let directory = self.image(id);
        let path = directory.join(DIGESTS_FILE);
        let digests = read_digests(&path)?;
        for name in FILES.into_iter().chain(FURTHER) {
            let expected = digests.iter().find(|(_, of)| of == name);
            let Some((expected, _)) = expected else {
                if FURTHER.contains(&name) {
                    continue;
                }
                return Err(VerifyError::NoDigests(path));
            };
            let path = directory.join(name);
            match digest(&path) {
                Ok(found) if found == *expected => {}
                Ok(_) => return Err(VerifyError::Damaged(path)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    return Err(VerifyError::Missing(path));
                }
                Err(error) => return Err(StoreError::io("read", &path)(error).into()),
            }
        }
        verify_image(&directory.join(IMAGE_FILE), &directory.join(VERITY_FILE))
    }
}

fn verify_image(image: &Path, verity: &Path) -> Result<(), VerifyError> {
    let text = fs::read_to_string(verity).map_err(StoreError::io("read", verity))?;
    let damaged = || VerifyError::Damaged(image.to_owned());
    let verity = Verity::from_str(&text).map_err(|_| VerifyError::Damaged(verity.to_owned()))?;
    let file = match File::open(image) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(VerifyError::Missing(image.to_owned()));
        }
        opened => opened.map_err(StoreError::io("open", image))?,
    };
    let length = file.metadata().map_err(StoreError::io("look at", image))?;
    if length.len() != verity.length() {
        return Err(damaged());
    }
    match is_intact(&file, &verity) {
        Ok(true) => Ok(()),
        Ok(false) => Err(damaged()),
        Err(error) => Err(StoreError::io("read", image)(io::Error::other(error)).into()),
    }
}

/// Digest and name of each file; none of what is no such file.
fn read_digests(path: &Path) -> Result<Vec<(String, String)>, StoreError> {
    let length = match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        metadata => metadata.map_err(StoreError::io("read", path))?.len(),
    };
    if length > MAX_BYTES {
        return Ok(Vec::new());
    }
    let bytes = fs::read(path).map_err(StoreError::io("read", path))?;
    let text = String::from_utf8_lossy(&bytes);
    let lines = text.lines().filter_map(|line| line.split_once("  "));
    let is_digest =
        |digest: &str| digest.len() == 64 && digest.bytes().all(|b| b.is_ascii_hexdigit());
    let digests = lines.filter(|(digest, _)| is_digest(digest));
    Ok(digests
        .map(|(digest, name)| (digest.to_owned(), name.to_owned()))
        .collect())
}
