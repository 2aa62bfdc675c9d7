//! PAX extended headers: records of the form `LENGTH KEYWORD=VALUE\n`.

use super::{Timestamp, number};
use crate::limits::{MAX_XATTR_BYTES_PER_ENTRY, MAX_XATTRS_PER_ENTRY};

/// The overrides that we know, of one entry or of all that follow (`g`).
#[derive(Debug, Clone, Default)]
pub(super) struct Overrides {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) uid: Option<u64>,
    pub(super) gid: Option<u64>,
    pub(super) mtime: Option<Timestamp>,
    pub(super) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    xattr_bytes: usize,
}

/// Where star and GNU tar keep extended attributes.
const XATTR_PREFIX: &[u8] = b"SCHILY.xattr.";

/// A record that is refused: the keyword (or "record") and why.
pub(super) struct BadRecord(pub(super) &'static str, pub(super) String);

impl Overrides {
    /// Adds the records of one header's data.
    ///
    /// An unknown keyword is skipped (`comment`, `atime`, vendors' own), a known one with a bad
    /// value is an error: a reader that falls back to the header's field would see another archive
    /// than we do.
    pub(super) fn parse(&mut self, mut data: &[u8]) -> Result<(), BadRecord> {
        while !data.is_empty() {
            let (keyword, value, rest) = split_record(data)
                .ok_or_else(|| BadRecord("PAX record", "is malformed".to_owned()))?;
            self.set(keyword, value)?;
            data = rest;
        }
        Ok(())
    }

    fn set(&mut self, keyword: &[u8], value: &[u8]) -> Result<(), BadRecord> {
        let bad = |field: &'static str| {
            BadRecord(
                field,
                format!("is \"{}\"", crate::bytes::Escaped::new(value)),
            )
        };
        match keyword {
            b"path" => self.path = Some(no_nul("PAX path", value)?),
            b"linkpath" => self.link = Some(no_nul("PAX linkpath", value)?),
            b"size" => self.size = Some(number::decimal(value).ok_or_else(|| bad("PAX size"))?),
            b"uid" => self.uid = Some(number::decimal(value).ok_or_else(|| bad("PAX uid"))?),
            b"gid" => self.gid = Some(number::decimal(value).ok_or_else(|| bad("PAX gid"))?),
            b"mtime" => {
                self.mtime = Some(number::pax_time(value).ok_or_else(|| bad("PAX mtime"))?);
            }
            _ if keyword.starts_with(b"GNU.sparse.") => {
                return Err(BadRecord(
                    "PAX GNU.sparse",
                    "marks a sparse file, which is not supported".to_owned(),
                ));
            }
            _ => {
                if let Some(name) = keyword.strip_prefix(XATTR_PREFIX) {
                    self.add_xattr(name, value)?;
                }
            }
        }
        Ok(())
    }

    fn add_xattr(&mut self, name: &[u8], value: &[u8]) -> Result<(), BadRecord> {
        let refuse = |problem: String| Err(BadRecord("PAX SCHILY.xattr", problem));
        if name.is_empty() || name.len() > 255 || name.contains(&0) {
            return refuse(format!(
                "has a bad attribute name \"{}\"",
                crate::bytes::Escaped::new(name)
            ));
        }
        if self.xattrs.iter().any(|(known, _)| known == name) {
            return refuse(format!(
                "names attribute \"{}\" twice",
                crate::bytes::Escaped::new(name)
            ));
        }
        self.xattr_bytes += name.len() + value.len();
        if self.xattrs.len() >= MAX_XATTRS_PER_ENTRY {
            return refuse(format!("has more than {MAX_XATTRS_PER_ENTRY} attributes"));
        }
        if self.xattr_bytes > MAX_XATTR_BYTES_PER_ENTRY {
            return refuse(format!(
                "has more than {MAX_XATTR_BYTES_PER_ENTRY} bytes of attributes"
            ));
        }
        self.xattrs.push((name.to_vec(), value.to_vec()));
        Ok(())
    }
}

fn no_nul(field: &'static str, value: &[u8]) -> Result<Vec<u8>, BadRecord> {
    if value.contains(&0) {
        return Err(BadRecord(field, "contains a NUL byte".to_owned()));
    }
    Ok(value.to_vec())
}

/// Keyword, value and the records behind this one.
fn split_record(data: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let blank = data.iter().take(20).position(|&b| b == b' ')?;
    let length = usize::try_from(number::decimal(&data[..blank])?).ok()?;
    if length > data.len() || length < blank + 2 {
        return None;
    }
    let (record, rest) = data.split_at(length);
    let body = record[blank + 1..].strip_suffix(b"\n")?;
    let equals = body.iter().position(|&b| b == b'=')?;
    (equals > 0).then(|| (&body[..equals], &body[equals + 1..], rest))
}
