//! Texts of a manifest that have a form, a bound, or both.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::bounds::{ARGUMENT_BYTES_MAX, PATH_BYTES_MAX, PRINCIPAL_BYTES_MAX, TEXT_BYTES_MAX};
use super::error::ValueError;

/// Declares a newtype over `String` whose only constructor is the given check.
macro_rules! checked_text {
    ($(#[$doc:meta])* $name:ident, $check:expr) => {
        $(#[$doc])*
        #[derive(
            Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
        )]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The text as written.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = $crate::manifest::ValueError;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                let check: fn(&str) -> Result<(), $crate::manifest::ValueError> = $check;
                check(&text)?;
                Ok(Self(text))
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::manifest::ValueError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::try_from(text.to_owned())
            }
        }

        impl From<$name> for String {
            fn from(text: $name) -> String {
                text.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}
pub(super) use checked_text;

checked_text! {
    /// A free text: bounded, otherwise anything.
    Text, |text| ValueError::bounded(text, "a text", TEXT_BYTES_MAX)
}

checked_text! {
    /// A word of a command line or a value of an environment: what the kernel takes in `execve`.
    Argument, |text| {
        ValueError::bounded(text, "an argument", ARGUMENT_BYTES_MAX)?;
        no_nul(text)
    }
}

checked_text! {
    /// The name of an environment variable: `[A-Za-z_][A-Za-z0-9_.-]*`.
    EnvironmentName, |text| {
        ValueError::bounded(text, "an environment variable's name", ARGUMENT_BYTES_MAX)?;
        let first = |b: u8| b.is_ascii_alphabetic() || b == b'_';
        let rest = |b: u8| b.is_ascii_alphanumeric() || b"_.-".contains(&b);
        match text.as_bytes() {
            [head, tail @ ..] if first(*head) && tail.iter().all(|b| rest(*b)) => Ok(()),
            _ => Err(ValueError::form(text, "an environment variable's name")),
        }
    }
}

checked_text! {
    /// A path that begins with `/` and has no `..`: nothing that joins it to a root can be led
    /// out of that root by its text alone.
    AbsolutePath, |text| {
        ValueError::bounded(text, "a path", PATH_BYTES_MAX)?;
        no_nul(text)?;
        if !text.starts_with('/') {
            return Err(ValueError::form(text, "an absolute path"));
        }
        if text.split('/').any(|part| part == "..") {
            return Err(ValueError::form(text, "a path without \"..\""));
        }
        Ok(())
    }
}

fn no_nul(text: &str) -> Result<(), ValueError> {
    if text.contains('\0') {
        return Err(ValueError::form(text, "a text without NUL"));
    }
    Ok(())
}

/// A user or group: a number, a name of the image's `/etc/passwd` or `/etc/group`, or the path of
/// a file in the image whose owner is meant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Principal(String);

/// The three ways to write a [`Principal`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PrincipalForm<'a> {
    /// A numeric id.
    Id(u32),
    /// A name to look up in the image. `root` is 0 even when the image has no such file.
    Name(&'a str),
    /// The owner (or group) of this file of the image.
    OwnerOf(&'a str),
}

impl Principal {
    /// The superuser, or the superuser's group.
    #[must_use]
    pub fn root() -> Self {
        Self("0".to_owned())
    }

    /// The principal with this number.
    #[must_use]
    pub fn id(id: u32) -> Self {
        Self(id.to_string())
    }

    /// The text as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Which of the three forms it has.
    #[must_use]
    pub fn form(&self) -> PrincipalForm<'_> {
        if self.0.starts_with('/') {
            return PrincipalForm::OwnerOf(&self.0);
        }
        match self.0.parse() {
            Ok(id) => PrincipalForm::Id(id),
            Err(_) => PrincipalForm::Name(&self.0),
        }
    }
}

impl TryFrom<String> for Principal {
    type Error = ValueError;

    fn try_from(text: String) -> Result<Self, ValueError> {
        ValueError::bounded(&text, "a user or group", PRINCIPAL_BYTES_MAX)?;
        if text.starts_with('/') {
            return AbsolutePath::try_from(text).map(|path| Self(path.into()));
        }
        if text.bytes().all(|b| b.is_ascii_digit()) && text.parse::<u32>().is_err() {
            return Err(ValueError::form(&text, "a user or group"));
        }
        // A colon or line break could only ever match a broken line of /etc/passwd.
        let forbidden = |c: char| c == ':' || c == '/' || c.is_control();
        if text.is_empty() || text.contains(forbidden) {
            return Err(ValueError::form(&text, "a user or group"));
        }
        Ok(Self(text))
    }
}

impl FromStr for Principal {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        Self::try_from(text.to_owned())
    }
}

impl From<Principal> for String {
    fn from(principal: Principal) -> String {
        principal.0
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
#[path = "text_test.rs"]
mod tests;
