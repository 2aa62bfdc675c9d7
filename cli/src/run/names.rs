//! What apps know of names: `--dns…` and `--hosts-entry` become files that stage1 shows them (rkt's order and wording).

use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use bulkhead_pod::name_files::NAME_FILE_BYTES_MAX;
use thiserror::Error;

use super::options::StartOptions;

/// Longest host or domain name (RFC 1035, 2.3.4), and part of one.
const NAME_BYTES_MAX: usize = 253;
const LABEL_BYTES_MAX: usize = 63;

/// Longest option of a resolver; its own are words of some letters.
const RESOLVER_OPTION_BYTES_MAX: usize = 64;

/// Characters of a wrong value that a message shows.
const SHOWN: usize = 80;

/// A value of one of these flags that is not what the flag wants.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum NameError {
    #[error("{0:?} is neither an IP address nor host nor none")]
    NameServer(String),
    #[error("{0:?} is neither IP=NAME nor host")]
    HostsEntry(String),
    #[error("{0:?} is not an IP address")]
    Address(String),
    #[error(
        "{0:?} is not a name (letters, digits, dashes and underscores in parts of at most \
         {LABEL_BYTES_MAX}, joined by dots, {NAME_BYTES_MAX} in all)"
    )]
    Name(String),
    #[error("{0:?} is not an option of a resolver (letters, digits, dashes, dots and a colon)")]
    ResolverOption(String),
}

/// Flags that do not go together, or make a file of too many bytes.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum NamesError {
    #[error("--dns={0} goes without other --dns, --dns-search, --dns-opt and --dns-domain")]
    DnsAlone(&'static str),
    #[error("--hosts-entry=host goes without other --hosts-entry")]
    HostsAlone,
    #[error("{flags} make a file of {bytes} bytes, more than {NAME_FILE_BYTES_MAX}")]
    TooLong { flags: &'static str, bytes: usize },
}

/// A value of `--dns`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NameServer {
    /// Use the host's file.
    Host,
    /// Use none that a network brings.
    None,
    /// Ask this one.
    Address(IpAddr),
}

impl FromStr for NameServer {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        match text {
            "host" => Ok(Self::Host),
            "none" => Ok(Self::None),
            address => match address.parse() {
                Ok(address) => Ok(Self::Address(address)),
                Err(_) => Err(NameError::NameServer(shown(text))),
            },
        }
    }
}

/// A value of `--hosts-entry`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum HostsEntry {
    /// Use the host's file.
    Host,
    /// This address has this name.
    Entry(IpAddr, Name),
}

impl FromStr for HostsEntry {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if text == "host" {
            return Ok(Self::Host);
        }
        let Some((address, name)) = text.split_once('=') else {
            return Err(NameError::HostsEntry(shown(text)));
        };
        let parsed = address.parse();
        let address = parsed.map_err(|_| NameError::Address(shown(address)))?;
        Ok(Self::Entry(address, name.parse()?))
    }
}

/// A name of a host or domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Name(String);

impl FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let label = |label: &str| {
            let inner = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
            let ends = label.starts_with('-') || label.ends_with('-');
            (1..=LABEL_BYTES_MAX).contains(&label.len()) && !ends && label.bytes().all(inner)
        };
        // A dot at the end says that the name is whole.
        let labels = text.strip_suffix('.').unwrap_or(text);
        if labels.len() <= NAME_BYTES_MAX && labels.split('.').all(label) {
            return Ok(Self(text.to_owned()));
        }
        Err(NameError::Name(shown(text)))
    }
}

/// A value of `--dns-opt`, as `ndots:2` (`resolv.conf(5)`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ResolverOption(String);

impl FromStr for ResolverOption {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.:".contains(&b);
        let length = 1..=RESOLVER_OPTION_BYTES_MAX;
        if length.contains(&text.len()) && text.bytes().all(plain) {
            return Ok(Self(text.to_owned()));
        }
        Err(NameError::ResolverOption(shown(text)))
    }
}

fn shown(text: &str) -> String {
    text.chars().take(SHOWN).collect()
}

/// Where a file of names comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NameFile {
    /// Nobody says.
    Default,
    /// It is the host's.
    Host,
    /// Whatever a network says, it is not to be made.
    None,
    /// It is this.
    Stage0(String),
}

impl NameFile {
    /// The word for it in stage1's `--dns-conf-mode`.
    pub(crate) fn mode(&self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Host => "host",
            Self::None => "none",
            Self::Stage0(_) => "stage0",
        }
    }

    fn made(flags: &'static str, text: String) -> Result<Self, NamesError> {
        let bytes = text.len();
        if bytes > NAME_FILE_BYTES_MAX {
            return Err(NamesError::TooLong { flags, bytes });
        }
        Ok(Self::Stage0(text))
    }
}

/// Both files of a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Names {
    /// `/etc/resolv.conf`.
    pub(crate) resolv_conf: NameFile,
    /// `/etc/hosts`, without the pod's own name, which stage1 adds.
    pub(crate) hosts: NameFile,
}

impl Names {
    /// What the flags say.
    pub(crate) fn of(options: &StartOptions) -> Result<Self, NamesError> {
        Ok(Self {
            resolv_conf: resolv_conf(options)?,
            hosts: hosts(&options.hosts_entry)?,
        })
    }
}

fn resolv_conf(options: &StartOptions) -> Result<NameFile, NamesError> {
    let is_alone = options.dns.len() == 1
        && options.dns_search.is_empty()
        && options.dns_opt.is_empty()
        && options.dns_domain.is_none();
    let mut servers = Vec::new();
    for server in &options.dns {
        match server {
            NameServer::Host if is_alone => return Ok(NameFile::Host),
            NameServer::None if is_alone => return Ok(NameFile::None),
            NameServer::Host => return Err(NamesError::DnsAlone("host")),
            NameServer::None => return Err(NamesError::DnsAlone("none")),
            NameServer::Address(address) => servers.push(format!("nameserver {address}")),
        }
    }
    let search: Vec<&str> = options.dns_search.iter().map(|n| n.0.as_str()).collect();
    let opts: Vec<&str> = options.dns_opt.iter().map(|o| o.0.as_str()).collect();
    let mut lines = Vec::new();
    // Before the search list: of the two the last line counts (`resolv.conf(5)`), and the list says more.
    if let Some(Name(domain)) = &options.dns_domain {
        lines.push(format!("domain {domain}"));
    }
    if !search.is_empty() {
        lines.push(format!("search {}", search.join(" ")));
    }
    lines.extend(servers);
    if !opts.is_empty() {
        lines.push(format!("options {}", opts.join(" ")));
    }
    if lines.is_empty() {
        return Ok(NameFile::Default);
    }
    let text = format!("# Generated by bulkhead run\n\n{}\n", lines.join("\n"));
    NameFile::made("--dns and --dns-…", text)
}

/// One line an address, in the order of the flags, below those that every such file has.
fn hosts(entries: &[HostsEntry]) -> Result<NameFile, NamesError> {
    let mut lines: Vec<(IpAddr, String)> = vec![
        (Ipv4Addr::LOCALHOST.into(), "localhost".to_owned()),
        (
            Ipv6Addr::LOCALHOST.into(),
            "localhost ip6-localhost".to_owned(),
        ),
    ];
    for entry in entries {
        let (address, Name(name)) = match entry {
            HostsEntry::Host if entries.len() == 1 => return Ok(NameFile::Host),
            HostsEntry::Host => return Err(NamesError::HostsAlone),
            HostsEntry::Entry(address, name) => (*address, name),
        };
        match lines.iter_mut().find(|(other, _)| *other == address) {
            Some((_, names)) => {
                names.push(' ');
                names.push_str(name);
            }
            None => lines.push((address, name.clone())),
        }
    }
    if entries.is_empty() {
        return Ok(NameFile::Default);
    }
    let mut text = String::new();
    for (address, names) in lines {
        writeln!(text, "{address}\t{names}").expect("writing to a String does not fail");
    }
    NameFile::made("--hosts-entry", text)
}

#[cfg(test)]
#[path = "names_test.rs"]
mod tests;
