//! Ports: those on which an app listens, and those of the host that lead to them.

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::error::ValueError;
use super::name::AcName;

/// A port of the transport layer, 1 to 65535.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "i64")]
pub struct PortNumber(u16);

impl PortNumber {
    /// The number.
    #[must_use]
    pub fn get(self) -> u16 {
        self.0
    }
}

impl TryFrom<i64> for PortNumber {
    type Error = ValueError;

    fn try_from(value: i64) -> Result<Self, ValueError> {
        match u16::try_from(value) {
            Ok(port @ 1..) => Ok(Self(port)),
            _ => Err(ValueError::Range {
                value: value.to_string(),
                range: "1..65535",
            }),
        }
    }
}

impl fmt::Display for PortNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The transport protocol of a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

/// Ports on which an app listens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", try_from = "RawPort")]
pub struct Port {
    /// Unique among the app's ports.
    pub name: AcName,
    /// Transport protocol.
    pub protocol: Protocol,
    /// The first port.
    pub port: PortNumber,
    /// How many ports, from the first on; the last is not above 65535.
    pub count: u16,
    /// Whether the app gets the listening socket handed to it.
    #[serde(default)]
    pub socket_activated: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawPort {
    name: AcName,
    protocol: Protocol,
    port: PortNumber,
    #[serde(default = "one")]
    count: i64,
    #[serde(default)]
    socket_activated: bool,
}

fn one() -> i64 {
    1
}

impl TryFrom<RawPort> for Port {
    type Error = ValueError;

    fn try_from(raw: RawPort) -> Result<Self, ValueError> {
        let count = u16::try_from(raw.count).ok().filter(|count| {
            *count > 0 && u32::from(raw.port.0) + u32::from(*count) - 1 <= u32::from(u16::MAX)
        });
        let Some(count) = count else {
            let text = format!("count: {} ports from {} do not fit", raw.count, raw.port);
            return Err(ValueError::Rule(text));
        };
        Ok(Self {
            name: raw.name,
            protocol: raw.protocol,
            port: raw.port,
            count,
            socket_activated: raw.socket_activated,
        })
    }
}

/// A port of the host that leads to a port of the pod.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExposedPort {
    /// The port of exactly one app, unless `pod_port` is given.
    pub name: AcName,
    /// The host's port.
    pub host_port: PortNumber,
    /// The host's address; none: all of them.
    #[serde(rename = "hostIP", default, skip_serializing_if = "Option::is_none")]
    pub host_ip: Option<IpAddr>,
    /// The pod's port, where no app declares it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_port: Option<Port>,
}
