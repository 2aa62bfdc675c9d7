//! The named bounds on everything that a manifest can make grow, and the deserializers that
//! apply them while reading, before memory is spent.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::text::Text;

/// A whole manifest, in bytes. The largest seen in public images are some 60 KiB.
pub const MANIFEST_BYTES_MAX: usize = 1 << 20;
/// Apps of one pod. Each is a partition of two disks, and a Linux disk has at most 255.
pub const APPS_MAX: usize = 64;
/// Volumes of one pod, and mounts of one app.
pub const VOLUMES_MAX: usize = 256;
/// Ports of one app, or exposed by one pod.
pub const PORTS_MAX: usize = 1024;
/// Isolators of one app or pod; the specification knows fifteen names.
pub const ISOLATORS_MAX: usize = 32;
/// Labels, annotations, or entries of one user map.
pub const ENTRIES_MAX: usize = 1024;
/// Dependencies of one image.
pub const DEPENDENCIES_MAX: usize = 128;
/// Entries of an image's path white list.
pub const PATH_WHITELIST_MAX: usize = 16 * 1024;
/// Words of a command line. Linux bounds their sum, not their number; the manifest's size does too.
pub const ARGUMENTS_MAX: usize = 8192;
/// Variables of one environment.
pub const ENVIRONMENT_MAX: usize = 4096;
/// Supplementary groups: `NGROUPS_MAX` of `linux/limits.h`.
pub const GROUPS_MAX: usize = 65_536;
/// Event handlers: the specification knows two events.
pub const EVENT_HANDLERS_MAX: usize = 2;
/// Names of capabilities or system calls in one set.
pub const SET_MAX: usize = 1024;

/// An AC name is used as a file name with an ending, and a file name has at most 255 bytes.
pub const AC_NAME_BYTES_MAX: usize = 200;
/// An AC identifier (host, path and name of an image).
pub const AC_IDENTIFIER_BYTES_MAX: usize = 1024;
/// `MAX_ARG_STRLEN` of `linux/binfmts.h`: one word of a command line or environment.
pub const ARGUMENT_BYTES_MAX: usize = 128 * 1024;
/// `PATH_MAX` of `linux/limits.h`, with its closing NUL.
pub const PATH_BYTES_MAX: usize = 4095;
/// A user or group as written in a manifest; a path is the longest form.
pub const PRINCIPAL_BYTES_MAX: usize = PATH_BYTES_MAX;
/// A free text: an annotation's or label's value, a key of a user map.
pub const TEXT_BYTES_MAX: usize = 64 * 1024;
/// A quantity as written (`0.5`, `16Mi`).
pub const QUANTITY_BYTES_MAX: usize = 64;

/// A JSON array of at most `MAX` entries; `null` is the empty array, as Go writes it.
pub(super) fn list<'de, D, T, const MAX: usize>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    deserializer.deserialize_any(ListVisitor::<T, MAX>(PhantomData))
}

struct ListVisitor<T, const MAX: usize>(PhantomData<T>);

impl<'de, T: Deserialize<'de>, const MAX: usize> Visitor<'de> for ListVisitor<T, MAX> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_unit<E: Error>(self) -> Result<Vec<T>, E> {
        Ok(Vec::new())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Vec<T>, A::Error> {
        let mut list = Vec::new();
        while let Some(entry) = entries.next_element()? {
            if list.len() == MAX {
                return Err(A::Error::custom(format_args!("more than {MAX} entries")));
            }
            list.push(entry);
        }
        Ok(list)
    }
}

/// A JSON object from text to text of at most [`ENTRIES_MAX`] entries; a key that occurs twice is
/// an error, because two readers could see two different maps.
pub(super) fn text_map<'de, D>(deserializer: D) -> Result<BTreeMap<Text, Text>, D::Error>
where
    D: Deserializer<'de>,
{
    deserializer.deserialize_any(MapVisitor)
}

struct MapVisitor;

impl<'de> Visitor<'de> for MapVisitor {
    type Value = BTreeMap<Text, Text>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of strings")
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(BTreeMap::new())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let mut map = BTreeMap::new();
        while let Some((key, value)) = entries.next_entry::<Text, Text>()? {
            if map.len() == ENTRIES_MAX {
                return Err(A::Error::custom(format_args!(
                    "more than {ENTRIES_MAX} entries"
                )));
            }
            if map.contains_key(&key) {
                return Err(A::Error::custom(format_args!(
                    "{:?} occurs twice",
                    key.as_str()
                )));
            }
            map.insert(key, value);
        }
        Ok(map)
    }
}
