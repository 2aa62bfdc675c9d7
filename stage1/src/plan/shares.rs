//! Directories and files of the host that a machine sees by virtio-fs: one share for each root of an app that is a directory, one for each volume, and a second one where some
//! mounts of it are read-only and others are not. So what is read-only is read-only on the host's side.

use std::collections::BTreeMap;

use bulkhead_protocol::vmm::MAX_SHARES;

/// What of the host is shared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    /// What it is to the pod, for messages: `volume NAME`.
    pub whose: String,
    /// Path on the host, absolute or from the pod's directory.
    pub source: String,
    /// What lies there.
    pub kind: ShareKind,
    /// Whether the guest can change nothing.
    pub read_only: bool,
    /// Whether it sees what is mounted below the source.
    pub recursive: bool,
}

/// What of it is shared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShareKind {
    /// A directory: the share's root.
    Directory,
    /// A directory that is an app's root: set-user-id programs in it are the app's to use.
    Root,
    /// A regular file: the only one in the share, and nothing of what lies beside it.
    File,
}

/// The shares so far, by volume and by whether they are read-only.
#[derive(Debug, Default)]
pub(super) struct Shares<K> {
    known: BTreeMap<(K, bool), u8>,
    pub(super) all: Vec<Share>,
}

impl<K: Ord> Shares<K> {
    /// The index of the share of this volume.
    ///
    /// # Errors
    /// When there are more than a machine can have.
    pub(super) fn index(&mut self, volume: K, share: Share) -> Result<u8, String> {
        let key = (volume, share.read_only);
        if let Some(index) = self.known.get(&key) {
            return Ok(*index);
        }
        let index = self.push(share)?;
        self.known.insert(key, index);
        Ok(index)
    }

    /// The index of a share that is no volume's.
    ///
    /// # Errors
    /// As above.
    pub(super) fn push(&mut self, share: Share) -> Result<u8, String> {
        if self.all.len() == MAX_SHARES {
            return Err(format!(
                "{} is one more than the {MAX_SHARES} directories and files of the host that a pod can have (a volume that is mounted read-only and writable counts twice)",
                share.whose
            ));
        }
        let index = u8::try_from(self.all.len()).expect("bounded by MAX_SHARES");
        self.all.push(share);
        Ok(index)
    }
}
