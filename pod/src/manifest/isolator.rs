//! Isolators: what an app or pod may use, by the names of the appc specification.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::bounds::text_map;
use super::capability::CapabilitySet;
use super::error::{Document, ManifestError, ValueError};
use super::metadata::TextMap;
use super::name::AcIdentifier;
use super::resource::{Bandwidth, Resource};
use super::syscall::SyscallFilter;
use super::text::Text;

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
