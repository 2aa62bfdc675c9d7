//! Volumes: what a pod's apps can share.

use serde::{Deserialize, Serialize};

use super::error::ValueError;
use super::name::AcName;
use super::text::AbsolutePath;

/// A volume that apps of the pod can mount.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "RawVolume", into = "RawVolume")]
pub struct Volume {
    /// Unique in the pod.
    pub name: AcName,
    /// Where its files are.
    pub kind: VolumeKind,
    /// Whether no app may write to it; none: each mount point says so for itself.
    pub read_only: Option<bool>,
}

/// Where a volume's files are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VolumeKind {
    /// A directory or file of the host.
    Host {
        /// Its path on the host.
        source: AbsolutePath,
        /// Whether what is mounted below it is seen too; none: yes.
        recursive: Option<bool>,
    },
    /// An empty directory that lives as long as the pod.
    Empty {
        /// Permissions; none: 0755.
        mode: Option<FileMode>,
        /// Owner; none: 0.
        uid: Option<u32>,
        /// Group; none: 0.
        gid: Option<u32>,
    },
    /// A disk of the machine: a block device of the host, or a file with a disk's bytes. appc knows no such kind: a runtime
    /// without it refuses the volume, where it would pass over an unknown field of another kind.
    Disk {
        /// The device's or file's path on the host.
        source: AbsolutePath,
        /// The file system on it, which apps then see; none: they see the disk itself, as a device node.
        fs_type: Option<FsType>,
    },
}

/// A file system that a guest mounts from a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FsType {
    /// Readable and writable.
    Ext4,
    /// Read-only.
    Erofs,
}

impl std::str::FromStr for FsType {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        match text {
            "ext4" => Ok(Self::Ext4),
            "erofs" => Ok(Self::Erofs),
            _ => Err(ValueError::form(text, "a file system type (ext4, erofs)")),
        }
    }
}

/// Permission bits, written in octal: `0755`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FileMode(u16);

impl FileMode {
    /// The bits, at most 0o7777.
    #[must_use]
    pub fn bits(self) -> u16 {
        self.0
    }
}

impl std::str::FromStr for FileMode {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let digits = !text.is_empty() && text.bytes().all(|b| (b'0'..=b'7').contains(&b));
        match u16::from_str_radix(text, 8) {
            Ok(bits @ 0..=0o7777) if digits => Ok(Self(bits)),
            _ => Err(ValueError::form(text, "an octal file mode (as 0755)")),
        }
    }
}

impl TryFrom<String> for FileMode {
    type Error = ValueError;

    fn try_from(text: String) -> Result<Self, ValueError> {
        text.parse()
    }
}

impl From<FileMode> for String {
    fn from(mode: FileMode) -> String {
        format!("{:04o}", mode.0)
    }
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawVolume {
    name: AcName,
    kind: RawKind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    source: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    read_only: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    recursive: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mode: Option<FileMode>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    uid: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    gid: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fs_type: Option<FsType>,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum RawKind {
    Host,
    Empty,
    Disk,
}

impl TryFrom<RawVolume> for Volume {
    type Error = ValueError;

    fn try_from(raw: RawVolume) -> Result<Self, ValueError> {
        let rule = |text: &str| Err(ValueError::Rule(text.to_owned()));
        if raw.fs_type.is_some() && raw.kind != RawKind::Disk {
            return rule("only a disk volume has an fsType");
        }
        let kind = match raw.kind {
            RawKind::Host => {
                if raw.mode.is_some() || raw.uid.is_some() || raw.gid.is_some() {
                    return rule("a host volume has no mode, uid or gid");
                }
                let Some(source) = raw.source else {
                    return rule("a host volume needs a source");
                };
                VolumeKind::Host {
                    source: source.try_into()?,
                    recursive: raw.recursive,
                }
            }
            RawKind::Empty => {
                // Go writes an absent source as "".
                if raw.source.is_some_and(|source| !source.is_empty()) {
                    return rule("an empty volume has no source");
                }
                if raw.recursive.is_some() {
                    return rule("an empty volume has nothing below it to be recursive");
                }
                VolumeKind::Empty {
                    mode: raw.mode,
                    uid: raw.uid,
                    gid: raw.gid,
                }
            }
            RawKind::Disk => {
                if raw.mode.is_some() || raw.uid.is_some() || raw.gid.is_some() {
                    return rule("a disk volume has no mode, uid or gid");
                }
                if raw.recursive.is_some() {
                    return rule("a disk volume has nothing below it to be recursive");
                }
                let Some(source) = raw.source else {
                    return rule("a disk volume needs a source");
                };
                VolumeKind::Disk {
                    source: source.try_into()?,
                    fs_type: raw.fs_type,
                }
            }
        };
        Ok(Self {
            name: raw.name,
            kind,
            read_only: raw.read_only,
        })
    }
}

impl From<Volume> for RawVolume {
    fn from(volume: Volume) -> Self {
        let bare = |kind| Self {
            name: volume.name,
            kind,
            source: None,
            read_only: volume.read_only,
            recursive: None,
            mode: None,
            uid: None,
            gid: None,
            fs_type: None,
        };
        match volume.kind {
            VolumeKind::Host { source, recursive } => Self {
                source: Some(source.into()),
                recursive,
                ..bare(RawKind::Host)
            },
            VolumeKind::Empty { mode, uid, gid } => Self {
                mode,
                uid,
                gid,
                ..bare(RawKind::Empty)
            },
            VolumeKind::Disk { source, fs_type } => Self {
                source: Some(source.into()),
                fs_type,
                ..bare(RawKind::Disk)
            },
        }
    }
}
