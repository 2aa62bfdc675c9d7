//! Isolators: what an app or pod may use, by the names of the appc specification.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::bounds::{SET_MAX, list, text_map};
use super::capability::CapabilitySet;
use super::error::{Document, ManifestError, ValueError};
use super::metadata::TextMap;
use super::name::AcIdentifier;
use super::quantity::Quantity;
use super::text::{Text, checked_text};

/// An isolator that the specification knows, with its value in its own type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "UnknownIsolator")]
#[serde(tag = "name", content = "value")]
pub enum Isolator {
    /// Cores of CPU time.
    #[serde(rename = "resource/cpu")]
    Cpu(Resource),
    /// Bytes of memory.
    #[serde(rename = "resource/memory")]
    Memory(Resource),
    /// Bytes a second to and from disks.
    #[serde(rename = "resource/block-bandwidth")]
    BlockBandwidth(Bandwidth),
    /// Operations a second on disks.
    #[serde(rename = "resource/block-iops")]
    BlockIops(Bandwidth),
    /// Bits a second on the network.
    #[serde(rename = "resource/network-bandwidth")]
    NetworkBandwidth(Bandwidth),
    /// The only capabilities that the app's processes may have.
    #[serde(rename = "os/linux/capabilities-retain-set")]
    CapabilitiesRetain(CapabilitySet),
    /// Capabilities that are taken from the default set.
    #[serde(rename = "os/linux/capabilities-remove-set")]
    CapabilitiesRemove(CapabilitySet),
    /// The only system calls that the app may make.
    #[serde(rename = "os/linux/seccomp-retain-set")]
    SeccompRetain(SyscallFilter),
    /// System calls that the app must not make.
    #[serde(rename = "os/linux/seccomp-remove-set")]
    SeccompRemove(SyscallFilter),
    /// Whether `execve` can no longer gain privileges.
    #[serde(rename = "os/linux/no-new-privileges")]
    NoNewPrivileges(bool),
    /// The out-of-memory killer's preference.
    #[serde(rename = "os/linux/oom-score-adj")]
    OomScoreAdjust(OomScoreAdjust),
    /// Weight against the pod's other apps when CPU time is short.
    #[serde(rename = "os/linux/cpu-shares")]
    CpuShares(CpuShares),
    /// The app's SELinux context.
    #[serde(rename = "os/linux/selinux-context")]
    SeLinuxContext(SeLinuxContext),
    /// The app's AppArmor profile.
    #[serde(rename = "os/linux/apparmor-profile")]
    AppArmorProfile(AppArmorProfile),
    /// Kernel parameters of the pod.
    #[serde(rename = "os/unix/sysctl")]
    Sysctl(TextMap),
}

/// An isolator of a pod: the specification lets an executor pass over the ones it does not know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "UnknownIsolator", untagged)]
pub enum PodIsolator {
    /// One of the names above.
    Known(Isolator),
    /// Any other name; kept so that the manifest is written back whole.
    Unknown(UnknownIsolator),
}

/// A name and a value of any shape.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnknownIsolator {
    /// The isolator's name.
    pub name: AcIdentifier,
    /// Its value, as it stands in the manifest.
    #[serde(default)]
    pub value: Value,
}

impl Isolator {
    /// The isolator's name in manifests.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Cpu(_) => "resource/cpu",
            Self::Memory(_) => "resource/memory",
            Self::BlockBandwidth(_) => "resource/block-bandwidth",
            Self::BlockIops(_) => "resource/block-iops",
            Self::NetworkBandwidth(_) => "resource/network-bandwidth",
            Self::CapabilitiesRetain(_) => "os/linux/capabilities-retain-set",
            Self::CapabilitiesRemove(_) => "os/linux/capabilities-remove-set",
            Self::SeccompRetain(_) => "os/linux/seccomp-retain-set",
            Self::SeccompRemove(_) => "os/linux/seccomp-remove-set",
            Self::NoNewPrivileges(_) => "os/linux/no-new-privileges",
            Self::OomScoreAdjust(_) => "os/linux/oom-score-adj",
            Self::CpuShares(_) => "os/linux/cpu-shares",
            Self::SeLinuxContext(_) => "os/linux/selinux-context",
            Self::AppArmorProfile(_) => "os/linux/apparmor-profile",
            Self::Sysctl(_) => "os/unix/sysctl",
        }
    }

    /// None: the specification does not know the name.
    fn from_raw(raw: &UnknownIsolator) -> Option<Result<Self, ValueError>> {
        let isolator = match raw.name.as_str() {
            "resource/cpu" => value(raw).map(Self::Cpu),
            "resource/memory" => value(raw).map(Self::Memory),
            "resource/block-bandwidth" => value(raw).map(Self::BlockBandwidth),
            "resource/block-iops" => value(raw).map(Self::BlockIops),
            "resource/network-bandwidth" => value(raw).map(Self::NetworkBandwidth),
            "os/linux/capabilities-retain-set" => value(raw).map(Self::CapabilitiesRetain),
            "os/linux/capabilities-remove-set" => value(raw).map(Self::CapabilitiesRemove),
            "os/linux/seccomp-retain-set" => value(raw).map(Self::SeccompRetain),
            "os/linux/seccomp-remove-set" => value(raw).map(Self::SeccompRemove),
            "os/linux/no-new-privileges" => value(raw).map(Self::NoNewPrivileges),
            "os/linux/oom-score-adj" => value(raw).map(Self::OomScoreAdjust),
            "os/linux/cpu-shares" => value(raw).map(Self::CpuShares),
            "os/linux/selinux-context" => value(raw).map(Self::SeLinuxContext),
            "os/linux/apparmor-profile" => value(raw).map(Self::AppArmorProfile),
            "os/unix/sysctl" => value(raw).map(|Sysctls(map)| Self::Sysctl(map)),
            _ => return None,
        };
        Some(isolator)
    }
}

#[derive(Deserialize)]
#[serde(transparent)]
struct Sysctls(#[serde(deserialize_with = "text_map")] TextMap);

fn value<T: DeserializeOwned>(raw: &UnknownIsolator) -> Result<T, ValueError> {
    serde_path_to_error::deserialize(&raw.value).map_err(|error| {
        let path = match error.path().to_string() {
            path if path == "." => String::new(),
            path => format!("{path}: "),
        };
        ValueError::Rule(format!(
            "isolator \"{}\": {path}{}",
            raw.name,
            error.inner()
        ))
    })
}

impl TryFrom<UnknownIsolator> for Isolator {
    type Error = ValueError;

    fn try_from(raw: UnknownIsolator) -> Result<Self, ValueError> {
        Self::from_raw(&raw).unwrap_or_else(|| {
            Err(ValueError::Rule(format!(
                "unknown isolator \"{}\"",
                raw.name
            )))
        })
    }
}

impl TryFrom<UnknownIsolator> for PodIsolator {
    type Error = ValueError;

    fn try_from(raw: UnknownIsolator) -> Result<Self, ValueError> {
        match Isolator::from_raw(&raw) {
            Some(isolator) => isolator.map(Self::Known),
            None => Ok(Self::Unknown(raw)),
        }
    }
}

impl PodIsolator {
    /// The isolator's name in manifests.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Known(isolator) => isolator.name(),
            Self::Unknown(isolator) => isolator.name.as_str(),
        }
    }
}

/// What is wanted at least, and allowed at most; at least one of the two is given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "RawResource")]
pub struct Resource {
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<Quantity>,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<Quantity>,
}

#[derive(Deserialize)]
struct RawResource {
    request: Option<Quantity>,
    limit: Option<Quantity>,
}

impl Resource {
    /// A resource with this limit and no request.
    ///
    /// # Errors
    ///
    /// When the limit is zero.
    pub fn limited(limit: Quantity) -> Result<Self, ValueError> {
        Self::try_from(RawResource {
            request: None,
            limit: Some(limit),
        })
    }

    /// What the app asks for at least.
    #[must_use]
    pub fn request(&self) -> Option<&Quantity> {
        self.request.as_ref()
    }

    /// What the app may use at most; never zero.
    #[must_use]
    pub fn limit(&self) -> Option<&Quantity> {
        self.limit.as_ref()
    }
}

impl TryFrom<RawResource> for Resource {
    type Error = ValueError;

    fn try_from(raw: RawResource) -> Result<Self, ValueError> {
        if raw.request.is_none() && raw.limit.is_none() {
            return Err(ValueError::Rule("has neither request nor limit".to_owned()));
        }
        if raw
            .limit
            .as_ref()
            .is_some_and(|limit| limit.milli_units() == 0)
        {
            return Err(ValueError::Rule("limit: nothing runs with 0".to_owned()));
        }
        Ok(Self {
            request: raw.request,
            limit: raw.limit,
        })
    }
}

/// A limit that holds for all devices: the specification has no other form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "RawBandwidth")]
pub struct Bandwidth {
    default: bool,
    limit: Quantity,
}

#[derive(Deserialize)]
struct RawBandwidth {
    #[serde(default)]
    default: bool,
    request: Option<Quantity>,
    limit: Quantity,
}

impl Bandwidth {
    /// What the app may use at most.
    #[must_use]
    pub fn limit(&self) -> &Quantity {
        &self.limit
    }
}

impl TryFrom<RawBandwidth> for Bandwidth {
    type Error = ValueError;

    fn try_from(raw: RawBandwidth) -> Result<Self, ValueError> {
        if !raw.default {
            return Err(ValueError::Rule("default: must be true".to_owned()));
        }
        if raw.request.is_some() {
            return Err(ValueError::Rule("request: must not be given".to_owned()));
        }
        Ok(Self {
            default: true,
            limit: raw.limit,
        })
    }
}

checked_text! {
    /// A system call (`openat`) or a named group of them (`@appc.io/all`).
    SyscallName, |text| {
        let word = |part: &str| {
            !part.is_empty()
                && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-.".contains(&b))
        };
        let valid = match text.strip_prefix('@') {
            Some(group) => group.split_once('/').is_some_and(|(from, name)| word(from) && word(name)),
            None => word(text),
        };
        if valid && text.len() <= SYSCALL_NAME_BYTES_MAX {
            return Ok(());
        }
        Err(ValueError::form(text, "a system call's name or an @group"))
    }
}

/// Twice the longest name of a system call in Linux 6.12.
const SYSCALL_NAME_BYTES_MAX: usize = 64;

checked_text! {
    /// The name of an error number, as `EPERM`.
    Errno, |text| {
        let rest = text.strip_prefix('E').unwrap_or_default();
        let upper = rest.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit());
        if !rest.is_empty() && rest.len() < ERRNO_BYTES_MAX && upper {
            return Ok(());
        }
        Err(ValueError::form(text, "the name of an error number (as EPERM)"))
    }
}

/// `ENOTRECOVERABLE` is the longest of Linux, with 15.
const ERRNO_BYTES_MAX: usize = 20;

/// The value of the two seccomp isolators: at least one name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "RawFilter")]
pub struct SyscallFilter {
    set: Vec<SyscallName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    errno: Option<Errno>,
}

#[derive(Deserialize)]
struct RawFilter {
    #[serde(default, deserialize_with = "list::<_, _, SET_MAX>")]
    set: Vec<SyscallName>,
    #[serde(default)]
    errno: Option<String>,
}

impl SyscallFilter {
    /// The filter for these names.
    ///
    /// # Errors
    ///
    /// When `set` is empty; the specification has `@appc.io/empty` for that.
    pub fn new(set: Vec<SyscallName>, errno: Option<Errno>) -> Result<Self, ValueError> {
        if set.is_empty() {
            let text = "set: names no system call (@appc.io/empty stands for none)";
            return Err(ValueError::Rule(text.to_owned()));
        }
        Ok(Self { set, errno })
    }

    /// System calls and groups, as written.
    #[must_use]
    pub fn names(&self) -> &[SyscallName] {
        &self.set
    }

    /// What a forbidden call returns; none: the process is killed with SIGSYS.
    #[must_use]
    pub fn errno(&self) -> Option<&Errno> {
        self.errno.as_ref()
    }
}

impl TryFrom<RawFilter> for SyscallFilter {
    type Error = ValueError;

    fn try_from(raw: RawFilter) -> Result<Self, ValueError> {
        // Go writes an absent errno as "".
        let errno = raw
            .errno
            .filter(|text| !text.is_empty())
            .map(Errno::try_from)
            .transpose()?;
        Self::new(raw.set, errno)
    }
}

/// -1000 (never killed) to 1000 (first).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "i64")]
pub struct OomScoreAdjust(i16);

impl OomScoreAdjust {
    /// The number for `/proc/PID/oom_score_adj`.
    #[must_use]
    pub fn value(self) -> i16 {
        self.0
    }
}

impl TryFrom<i64> for OomScoreAdjust {
    type Error = ValueError;

    fn try_from(value: i64) -> Result<Self, ValueError> {
        match i16::try_from(value) {
            Ok(score @ -1000..=1000) => Ok(Self(score)),
            _ => Err(ValueError::Range {
                value: value.to_string(),
                range: "-1000..1000",
            }),
        }
    }
}

/// 2 to 262144; 1024 is what every app has without it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "i64")]
pub struct CpuShares(u32);

impl CpuShares {
    /// The number, in the scale of cgroup v1's `cpu.shares`.
    #[must_use]
    pub fn value(self) -> u32 {
        self.0
    }
}

impl TryFrom<i64> for CpuShares {
    type Error = ValueError;

    fn try_from(value: i64) -> Result<Self, ValueError> {
        match u32::try_from(value) {
            Ok(shares @ 2..=262_144) => Ok(Self(shares)),
            _ => Err(ValueError::Range {
                value: value.to_string(),
                range: "2..262144",
            }),
        }
    }
}

/// The four parts of an SELinux context.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeLinuxContext {
    /// The SELinux user.
    pub user: Text,
    /// The role.
    pub role: Text,
    /// The type.
    #[serde(rename = "type")]
    pub kind: Text,
    /// The level.
    pub level: Text,
}

/// The name of an AppArmor profile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AppArmorProfile(pub Text);

/// No name twice, and not both a retain set and a remove set of one kind.
pub(super) fn check<'a>(
    document: Document,
    path: &str,
    names: impl Iterator<Item = &'a str>,
) -> Result<(), ManifestError> {
    let mut seen: Vec<&str> = Vec::new();
    for (index, name) in names.enumerate() {
        let path = || format!("{path}[{index}].name");
        if seen.contains(&name) {
            return Err(ManifestError::new(
                document,
                path(),
                format!("\"{name}\" occurs twice"),
            ));
        }
        let other = match name.strip_suffix("-retain-set") {
            Some(kind) => Some(format!("{kind}-remove-set")),
            None => name
                .strip_suffix("-remove-set")
                .map(|kind| format!("{kind}-retain-set")),
        };
        if let Some(other) = other.filter(|other| seen.contains(&other.as_str())) {
            let problem = format!("\"{name}\" excludes \"{other}\"");
            return Err(ManifestError::new(document, path(), problem));
        }
        seen.push(name);
    }
    Ok(())
}

#[cfg(test)]
#[path = "isolator_test.rs"]
mod tests;
