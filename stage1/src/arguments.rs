//! The argument vector of the `run` entrypoint, version 6 of stage1's interface (rkt, `stage1-implementors-guide.md`).
//!
//! Everything that the interface knows is known here. What cannot be done yet is refused by name: a pod must not run
//! with less than was asked for.

use std::ffi::OsString;

use bulkhead_protocol::metadata::MAX_TOKEN;

/// A call of the `run` entrypoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arguments {
    /// Say on standard error what happens.
    pub debug: bool,
    /// Standard input goes to the app.
    pub interactive: bool,
    /// The pod's host name, if one was chosen.
    pub hostname: Option<String>,
    /// Apps are added and removed while the pod runs.
    pub mutable: bool,
    /// Stage0 hands the roots of all apps over as block images. Not of rkt's interface: an annotation of the image says that it is
    /// understood.
    pub block_images: bool,
    /// Where the apps' `/etc/resolv.conf` comes from.
    pub resolv_conf: NameSource,
    /// Where the apps' `/etc/hosts` comes from.
    pub hosts: NameSource,
    /// What the path of every request to the metadata service begins with, if it was chosen.
    pub metadata_token: Option<String>,
    /// Restrictions of the apps that are left out.
    pub insecure: Insecure,
    /// The app whose tree is wanted of a pod that has ended, in place of a run. Not of rkt's interface: an annotation of the image
    /// says that it is understood.
    pub export: Option<String>,
    /// The pod's UUID.
    pub uuid: String,
}

/// Restrictions that the user has asked to leave out (`--insecure-options`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Insecure {
    /// Apps keep every capability, whatever their manifests say.
    pub capabilities: bool,
    /// No path of `/proc` and `/sys` is hidden or read-only.
    pub paths: bool,
    /// Apps have no system call filter, whatever their manifests say.
    pub seccomp: bool,
}

/// Where a file of names comes from (`--dns-conf-mode`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NameSource {
    /// It stays what image, volumes and stage1 make of it: for `resolv.conf` the word of a network is missing yet, so
    /// that `none`, which means to ignore that, is the same.
    #[default]
    Default,
    /// The host's own.
    Host,
    /// stage0 wrote it into the stage1 image's root.
    Stage0,
}

/// An argument vector that cannot be followed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ArgumentError {
    /// Not part of the interface.
    #[error("unknown argument {0:?}")]
    Unknown(String),
    /// Part of the interface, and not there yet.
    #[error("{flag}{value} is not supported yet: {why}")]
    Unsupported {
        /// The flag.
        flag: &'static str,
        /// Its value with the `=`, if it has one.
        value: String,
        /// What is missing.
        why: &'static str,
    },
    /// A value that the flag does not take.
    #[error("{flag}: {value:?} is not {expected}")]
    Value {
        /// The flag.
        flag: &'static str,
        /// The value.
        value: String,
        /// What the flag takes.
        expected: &'static str,
    },
    /// No UUID, or more than one.
    #[error("expected one pod UUID, found {0}")]
    Uuid(usize),
}

/// Longest host name (`__NEW_UTS_LEN`, `include/uapi/linux/utsname.h`).
const HOSTNAME_MAX: usize = 64;

/// Characters of a UUID.
const UUID_LENGTH: usize = 36;

impl Arguments {
    /// Reads the arguments behind the program's name.
    ///
    /// # Errors
    /// When one is unknown, not supported yet, or has a wrong value.
    pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, ArgumentError> {
        let mut parsed = Self {
            debug: false,
            interactive: false,
            hostname: None,
            mutable: false,
            block_images: false,
            resolv_conf: NameSource::Default,
            hosts: NameSource::Default,
            metadata_token: None,
            insecure: Insecure::default(),
            export: None,
            uuid: String::new(),
        };
        let mut uuids = 0;
        for argument in arguments {
            let text = argument
                .into_string()
                .map_err(|other| ArgumentError::Unknown(other.to_string_lossy().into_owned()))?;
            if text.starts_with('-') {
                parsed.flag(&text)?;
            } else {
                uuids += 1;
                parsed.uuid = check_uuid(text)?;
            }
        }
        if parsed.mutable && parsed.interactive {
            let why = "the apps of a mutable pod share its streams (--mutable)";
            return Err(unsupported("--interactive", None, why));
        }
        if uuids == 1 {
            Ok(parsed)
        } else {
            Err(ArgumentError::Uuid(uuids))
        }
    }

    /// The pod's host name.
    #[must_use]
    pub fn pod_name(&self) -> String {
        let chosen = self.hostname.clone();
        chosen.unwrap_or_else(|| format!("bulkhead-{}", self.uuid))
    }

    fn flag(&mut self, text: &str) -> Result<(), ArgumentError> {
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (text, None),
        };
        match name {
            "--debug" => self.debug = boolean("--debug", value)?,
            "--interactive" => self.interactive = boolean("--interactive", value)?,
            "--net" => check_net(value.unwrap_or("default"))?,
            "--hostname" => self.hostname = Some(check_hostname(value.unwrap_or(""))?),
            "--ipc" => check_ipc(value.unwrap_or(""))?,
            "--dns-conf-mode" => {
                (self.resolv_conf, self.hosts) = name_sources(value.unwrap_or(""))?;
            }
            // A setting of the host that nothing reads before there are networks.
            "--local-config" => {}
            "--private-users" => {
                return Err(unsupported(
                    "--private-users",
                    value,
                    "an app's users are the guest's own",
                ));
            }
            "--mds-token" => self.metadata_token = Some(check_token(value.unwrap_or(""))?),
            "--mutable" => self.mutable = boolean("--mutable", value)?,
            "--block-images" => self.block_images = boolean("--block-images", value)?,
            "--export" => self.export = Some(value.unwrap_or("").to_owned()),
            "--disable-capabilities-restriction" => {
                self.insecure.capabilities = boolean("--disable-capabilities-restriction", value)?;
            }
            "--disable-paths" => self.insecure.paths = boolean("--disable-paths", value)?,
            "--disable-seccomp" => self.insecure.seccomp = boolean("--disable-seccomp", value)?,
            _ => return Err(ArgumentError::Unknown(text.to_owned())),
        }
        Ok(())
    }
}

fn unsupported(flag: &'static str, value: Option<&str>, why: &'static str) -> ArgumentError {
    ArgumentError::Unsupported {
        flag,
        value: value.map(|v| format!("={v}")).unwrap_or_default(),
        why,
    }
}

fn boolean(flag: &'static str, value: Option<&str>) -> Result<bool, ArgumentError> {
    match value {
        None | Some("true") => Ok(true),
        Some("false") => Ok(false),
        Some(other) => Err(ArgumentError::Value {
            flag,
            value: other.to_owned(),
            expected: "true or false",
        }),
    }
}

fn check_net(list: &str) -> Result<(), ArgumentError> {
    if list == "none" {
        return Ok(());
    }
    let why = "a pod has loopback only (--net=none)";
    Err(unsupported("--net", Some(list), why))
}

fn check_ipc(mode: &str) -> Result<(), ArgumentError> {
    match mode {
        // A pod is a machine: its IPC objects are its own whatever one does.
        "" | "auto" | "private" => Ok(()),
        "parent" => {
            let why = "a machine cannot share the host's IPC objects";
            Err(unsupported("--ipc", Some(mode), why))
        }
        _ => Err(ArgumentError::Value {
            flag: "--ipc",
            value: mode.to_owned(),
            expected: "auto, private or parent",
        }),
    }
}

/// Of `resolv.conf` and of `hosts`, in this order.
fn name_sources(modes: &str) -> Result<(NameSource, NameSource), ArgumentError> {
    let (mut resolv_conf, mut hosts) = (NameSource::Default, NameSource::Default);
    for mode in modes.split(',') {
        match mode.split_once('=') {
            Some(("resolv", "default" | "none")) => resolv_conf = NameSource::Default,
            Some(("resolv", "host")) => resolv_conf = NameSource::Host,
            Some(("resolv", "stage0")) => resolv_conf = NameSource::Stage0,
            Some(("hosts", "default")) => hosts = NameSource::Default,
            Some(("hosts", "host")) => hosts = NameSource::Host,
            Some(("hosts", "stage0")) => hosts = NameSource::Stage0,
            _ => {
                return Err(ArgumentError::Value {
                    flag: "--dns-conf-mode",
                    value: mode.to_owned(),
                    expected: "resolv=host|stage0|none|default or hosts=host|stage0|default",
                });
            }
        }
    }
    Ok((resolv_conf, hosts))
}

fn check_hostname(name: &str) -> Result<String, ArgumentError> {
    let label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    if name.len() <= HOSTNAME_MAX && name.split('.').all(label) {
        return Ok(name.to_owned());
    }
    Err(ArgumentError::Value {
        flag: "--hostname",
        value: name.to_owned(),
        expected: "a host name of at most 64 characters",
    })
}

fn check_token(token: &str) -> Result<String, ArgumentError> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    if !token.is_empty() && token.len() <= MAX_TOKEN && token.bytes().all(plain) {
        return Ok(token.to_owned());
    }
    Err(ArgumentError::Value {
        flag: "--mds-token",
        // It may be most of a secret.
        value: "…".to_owned(),
        expected: "1 to 64 letters and digits",
    })
}

/// Reads a pod's UUID.
///
/// # Errors
/// When it is none.
pub fn check_uuid(text: String) -> Result<String, ArgumentError> {
    let hex = |b: u8| b.is_ascii_hexdigit() || b == b'-';
    if text.len() == UUID_LENGTH && text.bytes().all(hex) {
        return Ok(text);
    }
    Err(ArgumentError::Value {
        flag: "UUID",
        value: text,
        expected: "a pod's UUID",
    })
}

#[cfg(test)]
#[path = "arguments_test.rs"]
mod tests;
