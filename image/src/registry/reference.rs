//! `[HOST[:PORT]/]NAME[:TAG][@DIGEST]`, as Docker reads it.

use std::fmt;
use std::str::FromStr;

use crate::bytes::Escaped;
use crate::digest::Digest;

/// Where images without a host are.
const DEFAULT_HOST: &str = "docker.io";
/// Whose images without an owner are there.
const DEFAULT_OWNER: &str = "library";
const DEFAULT_TAG: &str = "latest";

/// Longest name, without host and tag (distribution/reference).
const MAX_NAME: usize = 255;
/// Longest tag (OCI distribution specification, 1.1).
const MAX_TAG: usize = 128;

/// An image of a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistryReference {
    host: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

/// Text that names no image of a registry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{text}\" names no image of a registry: {problem}")]
pub struct BadReference {
    text: Escaped,
    problem: &'static str,
}

impl RegistryReference {
    /// `HOST[:PORT]`; Docker's own is `docker.io`.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The name without host and tag.
    #[must_use]
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// What the registry is asked for: the digest, if there is one, else the tag.
    #[must_use]
    pub fn wanted(&self) -> String {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => digest.to_string(),
            (None, Some(tag)) => tag.clone(),
            (None, None) => DEFAULT_TAG.to_owned(),
        }
    }

    /// The digest that the image must have.
    pub(crate) fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// Whether a name may stand for another image tomorrow.
    #[must_use]
    pub fn may_move(&self) -> bool {
        self.digest.is_none()
    }
}

impl fmt::Display for RegistryReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.host, self.repository)?;
        match (&self.tag, &self.digest) {
            (Some(tag), _) => write!(f, ":{tag}")?,
            (None, None) => write!(f, ":{DEFAULT_TAG}")?,
            (None, Some(_)) => {}
        }
        self.digest
            .as_ref()
            .map_or(Ok(()), |digest| write!(f, "@{digest}"))
    }
}

impl FromStr for RegistryReference {
    type Err = BadReference;

    fn from_str(text: &str) -> Result<Self, BadReference> {
        let bad = |problem| BadReference {
            text: Escaped::new(text.as_bytes()),
            problem,
        };
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => (name, Some(digest)),
            None => (text, None),
        };
        let digest = digest.map(str::parse).transpose();
        let digest = digest.map_err(|_| bad("behind \"@\" stands no digest"))?;
        let last = name.rfind('/').map_or(0, |slash| slash + 1);
        let (name, tag) = match name[last..].find(':') {
            Some(colon) => (&name[..last + colon], Some(&name[last + colon + 1..])),
            None => (name, None),
        };
        if tag.is_some_and(|tag| !is_tag(tag)) {
            return Err(bad("a tag has letters, digits, \"_\", \".\" and \"-\""));
        }
        let (host, path) = match name.split_once('/') {
            Some((first, rest)) if is_host(first) => (first, rest.to_owned()),
            Some(_) => (DEFAULT_HOST, name.to_owned()),
            None => (DEFAULT_HOST, format!("{DEFAULT_OWNER}/{name}")),
        };
        let path = match (host, path.contains('/')) {
            (DEFAULT_HOST, false) => format!("{DEFAULT_OWNER}/{path}"),
            _ => path,
        };
        if !is_valid_host(host) {
            return Err(bad("its host is none"));
        }
        if path.len() > MAX_NAME || !path.split('/').all(is_component) {
            return Err(bad(
                "a name has small letters, digits, \".\", \"_\" and \"-\" between them, and \"/\"",
            ));
        }
        Ok(Self {
            host: host.to_owned(),
            repository: path,
            tag: tag.map(str::to_owned),
            digest,
        })
    }
}

/// What stands before the first slash is a host if it cannot be a name of Docker's registry.
fn is_host(first: &str) -> bool {
    first.contains(['.', ':']) || first == "localhost" || first.contains(char::is_uppercase)
}

fn is_valid_host(host: &str) -> bool {
    let (name, port) = match host.rsplit_once(':') {
        // An address of IPv6 has colons of its own.
        Some((name, port)) if !port.ends_with(']') => (name, Some(port)),
        _ => (host, None),
    };
    let name = match name
        .strip_prefix('[')
        .and_then(|name| name.strip_suffix(']'))
    {
        Some(address) => return address.parse::<std::net::Ipv6Addr>().is_ok() && is_port(port),
        None => name,
    };
    let is_word = |word: &str| {
        !word.is_empty()
            && word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !word.starts_with('-')
            && !word.ends_with('-')
    };
    name.len() <= MAX_NAME && name.split('.').all(is_word) && is_port(port)
}

fn is_port(port: Option<&str>) -> bool {
    port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0))
}

fn is_tag(tag: &str) -> bool {
    let is_word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    (1..=MAX_TAG).contains(&tag.len())
        && tag.bytes().next().is_some_and(is_word)
        && tag.bytes().all(|b| is_word(b) || b == b'.' || b == b'-')
}

/// Small letters and digits, and between two of them `.`, `_`, `__` or dashes.
fn is_component(component: &str) -> bool {
    let is_word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let separators = component.split(is_word).filter(|part| !part.is_empty());
    let is_separator =
        |part: &str| matches!(part, "." | "_" | "__") || part.bytes().all(|b| b == b'-');
    component.starts_with(is_word)
        && component.ends_with(is_word)
        && separators.into_iter().all(is_separator)
}

#[cfg(test)]
#[path = "reference_test.rs"]
mod tests;
