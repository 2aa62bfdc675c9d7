//! The values of `--volume`, `--mount` and `--mnt-volume`: rkt's form (`kind=disk` is ours), in which a value is written as in the query of a URL.
//!
//! ```text
//! --volume NAME,kind=host,source=/srv/data,readOnly=true,recursive=false
//! --volume NAME,kind=empty,mode=0700,uid=100,gid=100
//! --volume NAME,kind=disk,source=/srv/disk.img,readOnly=true,fsType=ext4
//! --mount  volume=NAME,target=/data
//! --mnt-volume NAME,kind=empty,target=/data
//! ```
//!
//! `+` is a space, and `%2C` a comma: otherwise a path with a comma in it could not be said.

use std::str::FromStr;

use bulkhead_pod::manifest::{AbsolutePath, AcName, Mount, ValueError, Volume, VolumeKind};
use thiserror::Error;

/// A value of `--volume` or `--mount` that says no volume and no mount.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum VolumeError {
    #[error(transparent)]
    Value(#[from] ValueError),
    #[error("{field}={value:?}: {source}")]
    Field {
        field: &'static str,
        value: String,
        source: ValueError,
    },
    #[error("{0:?} is not of the form NAME=VALUE")]
    NotAPair(String),
    #[error("{0:?} has a % that two hexadecimal digits of UTF-8 do not follow")]
    Escape(String),
    #[error("{0} is given twice")]
    Twice(&'static str),
    #[error("there is no {0:?} here, only {1}")]
    Unknown(String, &'static str),
    #[error("{0} is missing")]
    Missing(&'static str),
    #[error("{field}={value:?} is not {wanted}")]
    Wrong {
        field: &'static str,
        value: String,
        wanted: &'static str,
    },
    #[error("a volume of kind {kind} has no {field}")]
    NotOfThisKind {
        kind: &'static str,
        field: &'static str,
    },
}

/// What a volume can be told.
const VOLUME_FIELDS: [&str; 8] = [
    "kind",
    "source",
    "readOnly",
    "recursive",
    "mode",
    "uid",
    "gid",
    "fsType",
];

/// What a mount can be told.
const MOUNT_FIELDS: [&str; 2] = ["volume", "target"];

/// Reads a value of `--volume`.
pub(crate) fn volume(text: &str) -> Result<Volume, VolumeError> {
    let (name, rest) = text.split_once(',').unwrap_or((text, ""));
    let name: AcName = decode(name)?.parse()?;
    let mut fields = Fields::parse(rest, &VOLUME_FIELDS)?;
    let read_only = fields.read("readOnly", "true or false", truth)?;
    let kind = match fields.take("kind").as_deref() {
        None => return Err(VolumeError::Missing("kind")),
        Some("host") => VolumeKind::Host {
            source: fields.source()?,
            recursive: fields.read("recursive", "true or false", truth)?,
        },
        Some("disk") => VolumeKind::Disk {
            source: fields.source()?,
            fs_type: fields.read("fsType", "ext4 or erofs", parsed)?,
        },
        Some("empty") => VolumeKind::Empty {
            mode: fields.read("mode", "an octal file mode (as 0755)", parsed)?,
            uid: fields.read("uid", "a number", parsed)?,
            gid: fields.read("gid", "a number", parsed)?,
        },
        Some(other) => {
            return Err(VolumeError::Wrong {
                field: "kind",
                value: other.to_owned(),
                wanted: "host, empty or disk",
            });
        }
    };
    fields.end(match kind {
        VolumeKind::Host { .. } => "host",
        VolumeKind::Empty { .. } => "empty",
        VolumeKind::Disk { .. } => "disk",
    })?;
    Ok(Volume {
        name,
        kind,
        read_only,
    })
}

/// Reads a value of `--mount`.
pub(crate) fn mount(text: &str) -> Result<Mount, VolumeError> {
    let mut fields = Fields::parse(text, &MOUNT_FIELDS)?;
    let mut take = |field| fields.take(field).ok_or(VolumeError::Missing(field));
    let volume = take("volume")?;
    let target = take("target")?;
    let wrong = |field, value: String| {
        move |source| VolumeError::Field {
            field,
            value,
            source,
        }
    };
    Ok(Mount {
        volume: volume.parse().map_err(wrong("volume", volume))?,
        path: target.parse().map_err(wrong("target", target))?,
        app_volume: None,
    })
}

/// Reads a value of `--mnt-volume`: a volume of one app, and where it is mounted.
pub(crate) fn app_volume(text: &str) -> Result<Mount, VolumeError> {
    let is_target = |part: &&str| part.starts_with("target=");
    let (targets, of_volume): (Vec<&str>, Vec<&str>) = text.split(',').partition(is_target);
    let target = match targets[..] {
        [] => return Err(VolumeError::Missing("target")),
        [target] => target,
        _ => return Err(VolumeError::Twice("target")),
    };
    let volume = volume(&of_volume.join(","))?;
    Ok(Mount {
        app_volume: Some(volume.clone()),
        ..mount(&format!("volume={},{target}", volume.name))?
    })
}

/// One app's mounts: its own, and those for every app whose targets it does not take itself.
pub(crate) fn merge(for_every_app: &[Mount], own: &[Mount]) -> Vec<Mount> {
    let taken = |mount: &&Mount| !own.iter().any(|other| other.path == mount.path);
    let inherited = for_every_app.iter().filter(taken);
    own.iter().chain(inherited).cloned().collect()
}

/// `NAME=VALUE` pairs between commas, each name once.
struct Fields(Vec<(&'static str, String)>);

impl Fields {
    fn parse(text: &str, known: &[&'static str]) -> Result<Self, VolumeError> {
        let mut fields = Vec::new();
        for part in text.split(',').filter(|part| !part.is_empty()) {
            let (name, value) = part
                .split_once('=')
                .ok_or_else(|| VolumeError::NotAPair(part.to_owned()))?;
            let (name, value) = (decode(name)?, decode(value)?);
            let Some(field) = known.iter().find(|known| **known == name) else {
                let all = if known.contains(&"target") {
                    "volume, target"
                } else {
                    "kind, source, readOnly, recursive, mode, uid, gid, fsType"
                };
                return Err(VolumeError::Unknown(name, all));
            };
            if fields.iter().any(|(other, _)| other == field) {
                return Err(VolumeError::Twice(field));
            }
            fields.push((*field, value));
        }
        Ok(Self(fields))
    }

    fn take(&mut self, field: &str) -> Option<String> {
        let index = self.0.iter().position(|(name, _)| *name == field)?;
        Some(self.0.swap_remove(index).1)
    }

    fn source(&mut self) -> Result<AbsolutePath, VolumeError> {
        let source = self.take("source").ok_or(VolumeError::Missing("source"))?;
        AbsolutePath::try_from(source.clone()).map_err(|error| VolumeError::Field {
            field: "source",
            value: source,
            source: error,
        })
    }

    fn read<T>(
        &mut self,
        field: &'static str,
        wanted: &'static str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, VolumeError> {
        let Some(value) = self.take(field) else {
            return Ok(None);
        };
        let wrong = || VolumeError::Wrong {
            field,
            value: value.clone(),
            wanted,
        };
        parse(&value).map(Some).ok_or_else(wrong)
    }

    /// What is left belongs to the other kind.
    fn end(self, kind: &'static str) -> Result<(), VolumeError> {
        match self.0.first() {
            None => Ok(()),
            Some((field, _)) => Err(VolumeError::NotOfThisKind { kind, field }),
        }
    }
}

fn parsed<T: FromStr>(text: &str) -> Option<T> {
    text.parse().ok()
}

/// The words that rkt took.
fn truth(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "True" | "TRUE" => Some(true),
        "0" | "f" | "F" | "false" | "False" | "FALSE" => Some(false),
        _ => None,
    }
}

/// `application/x-www-form-urlencoded`.
fn decode(text: &str) -> Result<String, VolumeError> {
    let wrong = || VolumeError::Escape(text.to_owned());
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                let (high, low) = (digit().ok_or_else(wrong)?, digit().ok_or_else(wrong)?);
                u8::try_from(high * 16 + low).map_err(|_| wrong())?
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).map_err(|_| wrong())
}

#[cfg(test)]
#[path = "volumes_test.rs"]
mod tests;
