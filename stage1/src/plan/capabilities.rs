//! The capabilities that an app's programs can have.

use bulkhead_pod::manifest::{App, Capability, Isolator};

/// What an app has when its manifest says nothing, and what a remove set takes from: Docker's set, and rkt's.
const DEFAULT: [&str; 14] = [
    "CAP_AUDIT_WRITE",
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_MKNOD",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_RAW",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
];

/// The bounding set: bit n stands for capability number n. `unrestricted` is the user's word against any manifest.
pub(super) fn bounding_set(app: &App, unrestricted: bool) -> u64 {
    if unrestricted {
        return u64::MAX;
    }
    let default = DEFAULT.iter().filter_map(|name| name.parse().ok());
    let mut mask = mask(default);
    for isolator in &app.isolators {
        let bits = |set: &[Capability]| self::mask(set.iter().copied());
        match isolator {
            Isolator::CapabilitiesRetain(set) => mask = bits(set.capabilities()),
            Isolator::CapabilitiesRemove(set) => mask &= !bits(set.capabilities()),
            _ => {}
        }
    }
    mask
}

fn mask(capabilities: impl Iterator<Item = Capability>) -> u64 {
    capabilities.fold(0, |mask, capability| mask | bit(capability))
}

/// The bit of a capability in a mask.
pub(super) fn bit(capability: Capability) -> u64 {
    1 << capability.number()
}

#[cfg(test)]
#[path = "capabilities_test.rs"]
mod tests;
