//! Strings, byte strings and lists that cannot be longer than their type says.
//!
//! The bound is checked wherever a value comes to be: by `try_from` in the sender, by deserialization in the receiver,
//! there before anything is allocated for the elements.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;

use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A value that is longer than its bound, or holds what it must not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BoundError {
    /// More bytes or elements than allowed.
    #[error("length {length} is over the bound of {bound}")]
    TooLong {
        /// Bytes or elements offered.
        length: usize,
        /// The bound.
        bound: usize,
    },
    /// Text that will become a C string holds a NUL byte.
    #[error("a NUL byte at offset {offset}")]
    Nul {
        /// Where, in bytes.
        offset: usize,
    },
}

fn check_length(length: usize, bound: usize) -> Result<(), BoundError> {
    if length > bound {
        Err(BoundError::TooLong { length, bound })
    } else {
        Ok(())
    }
}

/// UTF-8 text of at most `MAX` bytes without NUL, for it ends up in paths, arguments and environments.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Text<const MAX: usize>(String);

impl<const MAX: usize> Text<MAX> {
    /// As much of `text` as fits, cut at a character; NUL becomes U+FFFD. For diagnostics, where a cut is no harm.
    pub fn truncated(text: &str) -> Self {
        let mut clean = text.replace('\0', "\u{fffd}");
        let mut end = clean.len().min(MAX);
        while !clean.is_char_boundary(end) {
            end -= 1;
        }
        clean.truncate(end);
        Self(clean)
    }

    /// The text itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<const MAX: usize> TryFrom<String> for Text<MAX> {
    type Error = BoundError;

    fn try_from(text: String) -> Result<Self, BoundError> {
        check_length(text.len(), MAX)?;
        match text.find('\0') {
            Some(offset) => Err(BoundError::Nul { offset }),
            None => Ok(Self(text)),
        }
    }
}

impl<const MAX: usize> TryFrom<&str> for Text<MAX> {
    type Error = BoundError;

    fn try_from(text: &str) -> Result<Self, BoundError> {
        check_length(text.len(), MAX)?;
        Self::try_from(text.to_owned())
    }
}

impl<const MAX: usize> Deref for Text<MAX> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl<const MAX: usize> fmt::Debug for Text<MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl<const MAX: usize> fmt::Display for Text<MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<const MAX: usize> Serialize for Text<MAX> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de, const MAX: usize> Deserialize<'de> for Text<MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(TextVisitor::<MAX>)
    }
}

struct TextVisitor<const MAX: usize>;

impl<const MAX: usize> Visitor<'_> for TextVisitor<MAX> {
    type Value = Text<MAX>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "text of at most {MAX} bytes without NUL")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
        Text::try_from(text).map_err(E::custom)
    }
}

/// At most `MAX` bytes of any value.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Blob<const MAX: usize>(Vec<u8>);

impl<const MAX: usize> Blob<MAX> {
    /// The bytes, given away.
    pub fn into_vec(self) -> Vec<u8> {
        self.0
    }
}

impl<const MAX: usize> TryFrom<Vec<u8>> for Blob<MAX> {
    type Error = BoundError;

    fn try_from(bytes: Vec<u8>) -> Result<Self, BoundError> {
        check_length(bytes.len(), MAX)?;
        Ok(Self(bytes))
    }
}

impl<const MAX: usize> TryFrom<&[u8]> for Blob<MAX> {
    type Error = BoundError;

    fn try_from(bytes: &[u8]) -> Result<Self, BoundError> {
        check_length(bytes.len(), MAX)?;
        Ok(Self(bytes.to_vec()))
    }
}

impl<const MAX: usize> Deref for Blob<MAX> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl<const MAX: usize> fmt::Debug for Blob<MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{} bytes>", self.0.len())
    }
}

impl<const MAX: usize> Serialize for Blob<MAX> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de, const MAX: usize> Deserialize<'de> for Blob<MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_bytes(BlobVisitor::<MAX>)
    }
}

struct BlobVisitor<const MAX: usize>;

impl<const MAX: usize> Visitor<'_> for BlobVisitor<MAX> {
    type Value = Blob<MAX>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at most {MAX} bytes")
    }

    fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<Self::Value, E> {
        Blob::try_from(bytes).map_err(E::custom)
    }
}

/// At most `MAX` elements.
#[derive(Clone, PartialEq, Eq)]
pub struct List<T, const MAX: usize>(Vec<T>);

impl<T, const MAX: usize> List<T, MAX> {
    /// The elements, given away.
    pub fn into_vec(self) -> Vec<T> {
        self.0
    }
}

impl<T, const MAX: usize> Default for List<T, MAX> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T, const MAX: usize> TryFrom<Vec<T>> for List<T, MAX> {
    type Error = BoundError;

    fn try_from(elements: Vec<T>) -> Result<Self, BoundError> {
        check_length(elements.len(), MAX)?;
        Ok(Self(elements))
    }
}

impl<T, const MAX: usize> Deref for List<T, MAX> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<'a, T, const MAX: usize> IntoIterator for &'a List<T, MAX> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl<T: fmt::Debug, const MAX: usize> fmt::Debug for List<T, MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl<T: Serialize, const MAX: usize> Serialize for List<T, MAX> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(&self.0)
    }
}

impl<'de, T: Deserialize<'de>, const MAX: usize> Deserialize<'de> for List<T, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(ListVisitor::<T, MAX>(PhantomData))
    }
}

struct ListVisitor<T, const MAX: usize>(PhantomData<T>);

impl<'de, T: Deserialize<'de>, const MAX: usize> Visitor<'de> for ListVisitor<T, MAX> {
    type Value = List<T, MAX>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at most {MAX} elements")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        if let Some(length) = seq.size_hint() {
            check_length(length, MAX).map_err(A::Error::custom)?;
        }
        // Grown as elements arrive: an announced length alone allocates nothing.
        let mut elements = Vec::new();
        while let Some(element) = seq.next_element()? {
            check_length(elements.len() + 1, MAX).map_err(A::Error::custom)?;
            elements.push(element);
        }
        Ok(List(elements))
    }
}

#[cfg(test)]
#[path = "bounded_test.rs"]
mod tests;
